"""The last pass: what iptables or the kernel would refuse, or take for something else.

Every finding here is a bug of netfw, because the policy was found sound before.
"""

from __future__ import annotations

from collections.abc import Iterator

from netfw.compiler.check_rule import check_rule
from netfw.compiler.draft import Draft
from netfw.errors import Fault, NetfwBug, Where
from netfw.ir.names import BUILTIN_CHAINS, MAX_CHAIN_NAME, Hook, TableName
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Goto, Jump

MAX_NESTING = 15
"""User chains below a built-in one: nf_tables has a stack of 16 with the base chain
(NFT_JUMP_STACK_SIZE, net/netfilter/nf_tables.h), and its check counts gotos too."""


def check_ruleset(draft: Draft) -> Draft:
    """Return the draft as it is, or raise NetfwBug with everything that is wrong."""
    faults: list[Fault] = []
    for table, chains in draft.chains.items():
        faults += _check_table(draft, table, chains)
    faults += _check_identities(draft)
    if faults:
        raise NetfwBug.of(faults)
    return draft


def _check_table(draft: Draft, table: TableName, chains: tuple[Chain, ...]) -> Iterator[Fault]:
    by_name = {chain.name: chain for chain in chains}
    if len(by_name) != len(chains):
        yield Fault(str(table), "two chains have the same name")
        return
    hooks_of: dict[str, set[Hook]] = {name: set() for name in by_name}
    calls = {chain.name: _callees(chain) for chain in chains}
    yield from _check_jumps(table, by_name, calls)
    for hook in BUILTIN_CHAINS[table]:
        if hook.value in by_name:
            yield from _reach(table, hook, calls, hooks_of)
    for chain in chains:
        place = f"{table}/{chain.name}"
        if len(chain.name.encode()) > MAX_CHAIN_NAME:
            yield Fault(place, f"the name is longer than {MAX_CHAIN_NAME} bytes")
        if not chain.is_builtin and not chain.is_ours:
            yield Fault(place, "the name does not say that the chain is ours")
        if not hooks_of[chain.name]:
            yield Fault(place, "no hook leads to this chain")
        for number, rule in enumerate(chain.rules, 1):
            problems = check_rule(
                rule,
                table,
                frozenset(hooks_of[chain.name]),
                draft.family,
                draft.policy.owned_bits,
                is_builtin=chain.is_builtin,
            )
            for problem in problems:
                yield Fault(f"{place}:{number}", problem)


def _callees(chain: Chain) -> dict[str, int]:
    """The chains that its rules go to, each with the number of the first rule that does."""
    found: dict[str, int] = {}
    for number, rule in enumerate(chain.rules, 1):
        if isinstance(rule.target, Jump | Goto):
            found.setdefault(rule.target.chain, number)
    return found


def _check_jumps(
    table: TableName, by_name: dict[str, Chain], calls: dict[str, dict[str, int]]
) -> Iterator[Fault]:
    for name, callees in calls.items():
        for callee, number in callees.items():
            target = by_name.get(callee)
            if target is None:
                yield Fault(f"{table}/{name}:{number}", f"there is no chain {callee}")
            elif target.is_builtin:
                yield Fault(f"{table}/{name}:{number}", f"{callee} is a built-in chain")


def _reach(
    table: TableName,
    hook: Hook,
    calls: dict[str, dict[str, int]],
    hooks_of: dict[str, set[Hook]],
) -> Iterator[Fault]:
    """Follow jumps and gotos from a hook; note who is reached, loops, and how deep it goes."""
    depth: dict[str, int] = {}
    level = {hook.value}
    nesting = 0
    while level:
        for name in level:
            depth[name] = nesting
            hooks_of[name].add(hook)
        level = {callee for name in level for callee in calls[name]} & calls.keys()
        nesting += 1
        # the longest way without a loop passes every chain once
        if nesting > len(calls):
            yield Fault(f"{table}/{hook}", "chains call each other in a loop")
            return
    if max(depth.values()) > MAX_NESTING:
        deepest = max(depth, key=lambda name: depth[name])
        yield Fault(
            f"{table}/{deepest}",
            f"{depth[deepest]} chains deep below {hook} (the most is {MAX_NESTING})",
        )


def _check_identities(draft: Draft) -> Iterator[Fault]:
    """One identity has one origin, or the way back from the kernel would be a guess."""
    places: dict[str, Where] = {}
    for rule in _all_rules(draft):
        if rule.origin is None:
            continue
        first = places.setdefault(rule.origin.identity, rule.origin.where)
        if first != rule.origin.where:
            yield Fault(
                str(rule.origin.where), f"identity '{rule.origin.identity}' is also at {first}"
            )


def _all_rules(draft: Draft) -> Iterator[Rule]:
    for chains in draft.chains.values():
        for chain in chains:
            yield from chain.rules
