"""filter: the chains in which decisions end, each writing both verdict bits at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.verdict import allowing
from netfw.ir.match import IcmpMatch, ProtocolMatch
from netfw.ir.names import Family, TableName
from netfw.ir.origin import Origin
from netfw.ir.protocols import ICMPV6, TCP
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Accept, Ct, Drop, Goto, Jump, Reject, SetMark
from netfw.policy.endpoint import Direction
from netfw.policy.reject_kind import RejectKind

_NEIGHBOUR_TYPES = (
    (133, "router-solicitation"),
    (134, "router-advertisement"),
    (135, "neighbour-solicitation"),
    (136, "neighbour-advertisement"),
    (130, "multicast-listener-query"),
    (131, "multicast-listener-report"),
    (132, "multicast-listener-done"),
    (143, "multicast-listener-report-v2"),
)
"""ICMPv6 types of neighbour discovery (RFC 4861) and multicast listeners (RFC 2710, 3810)."""

_UNREACHABLE = {
    Family.IPV4: "icmp-port-unreachable",
    Family.IPV6: "icmp6-port-unreachable",
}


def build_verdicts(draft: Draft) -> Draft:
    """Make those verdict chains that some rule goes to."""
    for table in (TableName.RAW, TableName.MANGLE, TableName.FILTER):
        called = _called_by(draft.in_table(table))
        for chain in (
            _neighbour_chain(draft, table),
            _allow_chain(draft, table),
            _accept_chain(draft),
            _deny_chain(draft),
            _pass_chain(draft),
            _reject_chain(draft),
            *_answer_chains(draft),
        ):
            if chain.name in called:
                draft = draft.with_chains(table, chain)
                called |= _called_by([chain])
    return draft


def _called_by(chains: Iterable[Chain]) -> set[str]:
    targets = {rule.target for chain in chains for rule in chain.rules}
    return {target.chain for target in targets if isinstance(target, Goto | Jump)}


def _allow_chain(draft: Draft, table: TableName) -> Chain:
    """In raw, what is allowed is not tracked either."""
    rules = [_mark(draft, "allow")]
    if table is TableName.RAW:
        origin = Origin(draft.file, "verdict/untracked", "allowed without connection tracking")
        rules.append(make_rule(origin, Ct(notrack=True)))
    return Chain(chain_name.ALLOW, tuple(rules))


def _accept_chain(draft: Draft) -> Chain:
    """The mark stays, for those who see the packet later."""
    origin = Origin(draft.file, "verdict/accept", "checked and accepted")
    return Chain(chain_name.ACCEPT, (_mark(draft, "allow"), make_rule(origin, Accept())))


def _deny_chain(draft: Draft) -> Chain:
    return Chain(chain_name.DENY, (_mark(draft, "deny"), _drop(draft)))


def _drop(draft: Draft) -> Rule:
    origin = Origin(draft.file, "verdict/drop", "checked and not accepted")
    return make_rule(origin, Drop())


def _pass_chain(draft: Draft) -> Chain:
    origin = Origin(draft.file, "verdict/pass", "on to the next tier")
    return Chain(chain_name.PASS, (make_rule(origin, SetMark(draft.field.scratch_set)),))


def _mark(draft: Draft, word: str) -> Rule:
    mark = draft.field.accepted if word == "allow" else draft.field.denied
    origin = Origin(draft.file, f"verdict/{word}", f"the verdict is {word}")
    return make_rule(origin, SetMark(mark))


def _reject_chain(draft: Draft) -> Chain:
    """Deny with an answer. The mark tells whoever looks at the packet last what was decided."""
    origin = Origin(draft.file, "verdict/reject", "the verdict is deny, and the sender is told")
    return Chain(
        chain_name.REJECT,
        (
            _mark(draft, "deny"),
            make_rule(origin, Reject("tcp-reset"), ProtocolMatch(TCP)),
            make_rule(origin, Reject(_UNREACHABLE[draft.family])),
        ),
    )


def _answer_chains(draft: Draft) -> Iterator[Chain]:
    """The same with one certain answer."""
    for kind in RejectKind:
        answer = kind.answer(draft.family)
        if answer is None:
            continue
        origin = Origin(
            draft.file, f"verdict/reject-{kind.value}", f"the sender is told {kind.value}"
        )
        rules = [_mark(draft, "deny"), make_rule(origin, Reject(answer))]
        if kind is RejectKind.TCP_RESET:
            rules = [rules[0], make_rule(origin, Reject(answer), ProtocolMatch(TCP)), _drop(draft)]
        yield Chain(chain_name.chain_of_answer(kind), tuple(rules))


def _neighbour_chain(draft: Draft, table: TableName) -> Chain:
    return Chain(
        chain_name.NEIGHBOUR,
        tuple(
            make_rule(
                Origin(draft.file, f"netfw/{name}", "IPv6 does not work without it"),
                Goto(allowing(draft, table, Direction.INGRESS)),
                ProtocolMatch(ICMPV6),
                IcmpMatch("icmp6", number),
            )
            for number, name in _NEIGHBOUR_TYPES
        ),
    )
