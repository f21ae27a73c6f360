"""What ``iptables-save`` and ``iptables -S`` print, as data."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netfw.errors import FactError, Fault, Where
from netfw.facts.parse_rule import parse_rule
from netfw.facts.words import split_words
from netfw.ir.names import BUILTIN_CHAINS, ChainPolicy, Family, TableName
from netfw.ir.ruleset import OWN_COMMENT_PREFIX, Chain, Origin, Rule, Ruleset, Table

_COUNTERS = re.compile(r"\[(\d+):(\d+)\]")
_APPEND = frozenset({"-A", "--append"})
_NEW = frozenset({"-N", "--new-chain"})
_POLICY = frozenset({"-P", "--policy"})


class _TableDraft:
    """A table that is still being read."""

    def __init__(self, name: TableName) -> None:
        self.name = name
        self.policies: dict[str, ChainPolicy | None] = {}
        self.rules: dict[str, list[Rule]] = {}
        self.builtin = {hook.value for hook in BUILTIN_CHAINS[name]}

    def declare(self, chain: str, policy: ChainPolicy | None) -> None:
        if chain in self.builtin and policy is None:
            policy = ChainPolicy.ACCEPT
        self.policies[chain] = policy
        self.rules.setdefault(chain, [])

    def table(self) -> Table:
        return Table(
            self.name,
            tuple(
                Chain(chain, tuple(self.rules[chain]), policy)
                for chain, policy in self.policies.items()
            ),
        )


def parse_ruleset(text: str, family: Family, file: str = "<text>") -> Ruleset:
    """Read all tables; every rule knows its file and line, and its counters if they are given.

    Matches and targets that netfw does not know are kept verbatim.
    Raises FactError with one fault for each line that cannot be understood.
    """
    drafts: dict[TableName, _TableDraft] = {}
    draft: _TableDraft | None = None
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        try:
            if bare.startswith("*"):
                name = TableName(bare[1:])
                draft = drafts.setdefault(name, _TableDraft(name))
            elif bare == "COMMIT":
                draft = None
            else:
                if draft is None:
                    # iptables -S prints no table line: it speaks of the filter table
                    draft = drafts.setdefault(TableName.FILTER, _TableDraft(TableName.FILTER))
                _read_line(draft, bare, family, Where(file, number))
        except ValueError as error:
            faults.append(Fault(f"{file}:{number}", f"not understood: {error}"))
    if faults:
        raise FactError.of(faults)
    return Ruleset(family, _in_order(drafts.values()))


def _in_order(drafts: Iterable[_TableDraft]) -> tuple[Table, ...]:
    return tuple(draft.table() for draft in drafts)


def _read_line(draft: _TableDraft, line: str, family: Family, where: Where) -> None:
    if line.startswith(":"):
        words = line[1:].split()
        policy = words[1] if len(words) > 1 else "-"
        draft.declare(words[0], None if policy == "-" else ChainPolicy(policy))
        return
    packets = octets = 0
    counters = _COUNTERS.match(line)
    if counters is not None:
        packets, octets = int(counters[1]), int(counters[2])
        line = line[counters.end() :]
    words = split_words(line)
    if len(words) < 2:
        raise ValueError(f"'{line.strip()}'")
    command, chain = words[0], words[1]
    if command in _NEW:
        draft.declare(chain, None)
    elif command in _POLICY and len(words) > 2:
        draft.declare(chain, ChainPolicy(words[2]))
    elif command in _APPEND:
        if chain not in draft.rules:
            if chain not in draft.builtin:
                raise ValueError(f"chain '{chain}' has not been declared")
            draft.declare(chain, ChainPolicy.ACCEPT)
        parsed = parse_rule(words[2:], family, draft.policies)
        rule = Rule(
            parsed.matches,
            parsed.target,
            None,
            packets or parsed.packets,
            octets or parsed.octets,
        )
        comment = rule.comment or ""
        identity = comment.removeprefix(OWN_COMMENT_PREFIX) if rule.is_ours else ""
        origin = Origin(where, identity)
        draft.rules[chain].append(
            Rule(rule.matches, rule.target, origin, rule.packets, rule.octets)
        )
    else:
        raise ValueError(f"'{command}' is not a command of a saved ruleset")
