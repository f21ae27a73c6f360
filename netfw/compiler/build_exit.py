"""mangle POSTROUTING: where the interface by which a packet really leaves is known.

In filter OUTPUT a packet that was redirected, or takes another route because of its mark, still
shows the interface of the first route (nf_hook_state is made before the tables are asked:
__ip_local_out in net/ipv4/ip_output.c). So those packets are judged here.
"""

from __future__ import annotations

from netfw.compiler import chain_name
from netfw.compiler.build_endpoints import add_stage
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.stage import into_chain
from netfw.compiler.term import interface_matches
from netfw.ir.match import ConnectionState, ConntrackMatch, MarkMatch
from netfw.ir.names import OWN_CHAIN_PREFIX, Hook, TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Drop, Goto, SetMark
from netfw.policy.endpoint import Direction, Endpoint

_EXIT = OWN_CHAIN_PREFIX + Hook.POSTROUTING.value


def judge_later(draft: Draft) -> list[Rule]:
    """In filter OUTPUT: note what cannot be judged there, and let others have their say."""
    origin = _later(draft)
    rules = [
        make_rule(origin, Goto(chain_name.LATE), ConntrackMatch(frozenset({ConnectionState.DNAT})))
    ]
    if draft.policy.steering.moves:
        moved = MarkMatch(draft.policy.steering.field.no_way, negate=True)
        rules.append(make_rule(origin, Goto(chain_name.LATE), moved))
    return rules


def _later(draft: Draft) -> Origin:
    text = "redirected or steered: it leaves by another interface"
    return Origin(draft.file, "stage/later", text)


def build_exit(draft: Draft) -> Draft:
    """Judge what was left over, and keep back what nobody has allowed."""
    covered = [
        endpoint
        for endpoint in draft.policy.hosts
        if draft.policy.is_covered(endpoint, Direction.EGRESS)
    ]
    if covered:
        draft = _judge_late(draft, covered)
    if draft.policy.defaults.strict_exit:
        draft = draft.with_rules(TableName.MANGLE, _EXIT, *_strict(draft))
    return draft


def _judge_late(draft: Draft, covered: list[Endpoint]) -> Draft:
    note = Origin(draft.file, "verdict/later", "judged in mangle POSTROUTING")
    draft = draft.with_chains(
        TableName.FILTER,
        Chain(chain_name.LATE, (make_rule(note, SetMark(draft.field.scratch_set)),)),
    )
    noted = Origin(draft.file, "verdict/noted", "now its interface is known")
    rules = [make_rule(noted, SetMark(draft.field.scratch_clear))]
    for endpoint in covered:
        draft = add_stage(draft, TableName.MANGLE, endpoint, Direction.EGRESS)
        origin = Origin(
            endpoint.where,
            f"stage/{endpoint.name}-egress",
            f"egress of endpoint {endpoint.name}",
        )
        chain = chain_name.chain_of_endpoint(endpoint, Direction.EGRESS)
        rules += [
            make_rule(origin, Goto(chain), *interface_matches((None, interface)))
            for interface in endpoint.interfaces
        ]
    return draft.with_chains(TableName.MANGLE, Chain(chain_name.LATE, tuple(rules))).with_rules(
        TableName.MANGLE,
        _EXIT,
        into_chain(_later(draft), chain_name.LATE, MarkMatch(draft.field.scratch_set)),
    )


def _strict(draft: Draft) -> list[Rule]:
    """Nothing slips round the policy: not by rules of others either."""
    rules = []
    for endpoint in draft.policy.hosts:
        origin = Origin(
            endpoint.where,
            f"stage/{endpoint.name}-exit",
            f"what leaves by {endpoint.name} has been allowed",
        )
        rules += [
            make_rule(
                origin,
                Drop(),
                *interface_matches((None, interface)),
                MarkMatch(draft.field.accepted, negate=True),
            )
            for interface in endpoint.interfaces
        ]
    return rules
