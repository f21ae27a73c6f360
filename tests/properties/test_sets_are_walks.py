"""Anybody's rules: what the sets say of a packet is what the walk says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from netfw.ir.match import AddrtypeMatch
from netfw.ir.names import Family, TableName
from netfw.ir.ruleset import Rule, Ruleset, Table
from netfw.ir.target import ChangeSet
from netfw.prove.box import boxes_of
from netfw.prove.chains import named_mark_bits
from netfw.prove.interfaces import Interfaces, patterns_of_ruleset
from netfw.prove.packet_of import Example, example_of
from netfw.prove.path import PathKind, Paths
from netfw.prove.prediction import predict
from netfw.prove.reach import Place, Reach
from netfw.prove.space import Space
from netfw.traverse.connection import Conntrack
from netfw.traverse.martian import is_multicast
from netfw.traverse.packet import Packet
from netfw.traverse.traversal import End
from tests.fuzz import generate
from tests.fuzz.sets import sets_named

from .enumeration import point, said_by_sets, said_by_walk

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""To make a whole ruleset smaller takes minutes; make fuzz does it."""
ROUTED_OTHERWISE = frozenset({End.STOPPED.value, End.UNDECIDED.value})
"""Routing stops such a packet, or knows more of it than its path: a martian source, a group."""


def goes_its_own_way(packet: Packet) -> bool:
    """Whether the destination alone decides where the packet goes: to a group, or over lo."""
    destination = packet.destination
    if packet.family is Family.IPV6:
        return is_multicast(packet.family, destination) or destination == 1
    return is_multicast(packet.family, destination) or destination >> 24 in (127, 255)


def space_of(ruleset: Ruleset, *more: str) -> Space:
    mark, connmark = named_mark_bits(ruleset.rules())
    interfaces = Interfaces(patterns_of_ruleset(ruleset) | set(more))
    return Space(ruleset.family, interfaces, mark, connmark)


def without(ruleset: Ruleset) -> Ruleset:
    """Without nat, whose translations lead elsewhere, and without what only a host can answer,
    or only one who knows what packets have put into a set."""

    def is_answerable(rule: Rule) -> bool:
        asks = any(isinstance(match, AddrtypeMatch) for match in rule.matches)
        return not (asks or isinstance(rule.target, ChangeSet))

    return Ruleset(
        ruleset.family,
        tuple(
            Table(
                table.name,
                tuple(
                    replace(chain, rules=tuple(filter(is_answerable, chain.rules)))
                    for chain in table.chains
                ),
            )
            for table in ruleset.tables
            if table.name is not TableName.NAT
        ),
        ruleset.sets,
    )


@st.composite
def with_sets(draw: st.DrawFn, family: Family) -> Ruleset:
    """Rules, and the sets that they name."""
    ruleset = draw(generate.rulesets(family, True))
    named = {name for rule in ruleset.rules() for name in rule.set_names}
    return replace(ruleset, sets=draw(sets_named(sorted(named), family)))


@pytest.mark.parametrize("family", Family, ids=str)
@settings(
    max_examples=60,
    deadline=None,
    phases=PHASES,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_random_rules_do_to_random_packets_what_the_sets_say(
    family: Family, data: st.DataObject
) -> None:
    ruleset = without(data.draw(with_sets(family)))
    names = generate.INTERFACES
    space = space_of(ruleset, *names)
    paths = Paths(space, ruleset)
    sent = generate.packets(family).filter(lambda packet: not goes_its_own_way(packet))
    for packet in data.draw(st.lists(sent, min_size=6, max_size=6)):
        leaves_by = data.draw(st.sampled_from(names if not packet.in_interface else ["", *names]))
        kind = PathKind.OUT if not packet.in_interface else PathKind.FORWARD
        kind = kind if leaves_by else PathKind.IN
        plain = replace(packet, ttl=64, icmp_id=0)
        state = Conntrack().track(plain).state
        example = Example(plain, leaves_by, state, False, False, False)
        walked = said_by_walk(ruleset, example)
        if walked[0] in ROUTED_OTHERWISE:
            continue
        assert said_by_sets(paths, kind, example) == walked, example


@settings(
    max_examples=25,
    deadline=None,
    phases=PHASES,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(st.data(), st.sampled_from(Family))
def test_the_packet_for_a_rule_meets_that_rule(data: st.DataObject, family: Family) -> None:
    ruleset = without(data.draw(with_sets(family)))
    space = space_of(ruleset)
    reach = Reach(Paths(space, ruleset))
    for place, hits in reach.hits.items():
        for hit in hits:
            example = example_of(space, hit.those)
            assert example is not None
            # the walk knows no connection with a mark or a translation, and no answers
            if example.is_reply or example.dnat or example.snat:
                continue
            if goes_its_own_way(example.packet):
                continue
            if point(space, example) & hit.those == space.false:
                continue
            traversal = predict(ruleset, example)
            if traversal.end.value in ROUTED_OTHERWISE:
                continue
            steps = traversal.steps
            met = {(step.hook, Place(step.table, step.chain, step.rule)) for step in steps}
            assert (hit.hook, place) in met, (place, example)


@settings(
    max_examples=25,
    deadline=None,
    phases=PHASES,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(st.data(), st.sampled_from(Family), st.sampled_from(PathKind))
def test_boxes_are_the_set_they_describe(
    data: st.DataObject, family: Family, kind: PathKind
) -> None:
    ruleset = without(data.draw(with_sets(family)))
    space = space_of(ruleset)
    paths = Paths(space, ruleset)
    domain = paths.domain(kind)
    stopped = paths.answer(kind).leaves(space)
    boxes = list(boxes_of(space, stopped, domain, 200))
    assume(len(boxes) < 200)
    assert bool(boxes) is (stopped & domain != space.false)
    for box in boxes:
        # every box names a packet of its own that is stopped, perhaps by its connection's mark
        here = point(space, box.example, connmark=None) & stopped
        assert box.example.oracles or here != space.false
