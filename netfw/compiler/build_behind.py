"""raw PREROUTING: no packet comes in with an address that lies elsewhere."""

from __future__ import annotations

from netfw.compiler import chain_name
from netfw.compiler.draft import Draft, make_rule
from netfw.compiler.stage import into_chain, match_granted
from netfw.compiler.term import interface_matches
from netfw.ir.match import AddressMatch, Side
from netfw.ir.names import OWN_CHAIN_PREFIX, Hook, TableName
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule
from netfw.ir.target import Goto, Return
from netfw.policy.behind import Behind, behind
from netfw.policy.endpoint import Direction, Endpoint


def build_behind(draft: Draft) -> Draft:
    """Make a chain for each endpoint of which it is known what may come in by it."""
    calls: list[Rule] = []
    for endpoint in draft.policy.endpoints:
        found = behind(endpoint, draft.policy.endpoints, draft.family)
        if found is None:
            continue
        chain = Chain(chain_name.chain_behind(endpoint), tuple(_judge(draft, endpoint, found)))
        draft = draft.with_chains(TableName.RAW, chain)
        origin = _origin(endpoint, "stage/{}-sources", "may it come from there?")
        calls += [
            into_chain(origin, chain.name, *interface_matches((interface, None)))
            for interface in endpoint.interfaces
        ]
    if not calls:
        return draft
    entrance = OWN_CHAIN_PREFIX + Hook.PREROUTING.value
    return draft.with_rules(TableName.RAW, entrance, *calls)


def _judge(draft: Draft, endpoint: Endpoint, found: Behind) -> list[Rule]:
    rules: list[Rule] = []
    if endpoint.is_host:
        for failsafe in draft.policy.failsafes:
            if failsafe.direction is Direction.INGRESS:
                rules += match_granted(draft, failsafe, Return())
    text = "its source lies behind another endpoint"
    elsewhere = _origin(endpoint, "{}/elsewhere", text)
    if found.only:
        at_home = _origin(endpoint, "{}/nets", f"what lies behind {endpoint.name}")
        return [
            *rules,
            *(
                make_rule(at_home, Return(), AddressMatch(Side.SOURCE, net))
                for net in (*found.only, *found.always)
            ),
            make_rule(elsewhere, Goto(chain_name.DENY)),
        ]
    return rules + [
        make_rule(elsewhere, Goto(chain_name.DENY), AddressMatch(Side.SOURCE, net))
        for net in found.never
    ]


def _origin(endpoint: Endpoint, identity: str, text: str) -> Origin:
    return Origin(endpoint.where, identity.format(endpoint.name), text)
