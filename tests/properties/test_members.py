"""Sets of ipset as diagrams hold the packets that a look-up finds there, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from netfw.ir.match import ConnectionState, SetMatch
from netfw.ir.names import Family
from netfw.ir.ruleset import Ruleset
from netfw.prove.interfaces import Interfaces, patterns_of_ruleset
from netfw.prove.members import Members
from netfw.prove.packet_of import Example
from netfw.prove.space import Space
from netfw.traverse.set_lookup import known_sets
from netfw.traverse.skb import Skb
from tests.fuzz import generate
from tests.fuzz.sets import empty_sets, sets_named, sides_of

from .enumeration import point


@pytest.mark.parametrize("family", Family, ids=str)
@settings(
    max_examples=500,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_a_set_holds_the_packets_that_are_found_in_it(family: Family, data: st.DataObject) -> None:
    # nets with interfaces have the strangest rules
    name = data.draw(st.sampled_from([*empty_sets(family), *["net-iface"] * 6]))
    ruleset = Ruleset(family, sets=data.draw(sets_named([name], family)))
    lookups = known_sets(ruleset.sets)
    sides = data.draw(sides_of(name, family))
    options = data.draw(st.sampled_from([(), ("--return-nomatch",)]))
    match = SetMatch(name, sides, data.draw(st.booleans()), options)
    space = Space(family, Interfaces(patterns_of_ruleset(ruleset) | set(generate.INTERFACES)))
    found = Members(space, ruleset).of(match, knows_out=True)
    assert found is not None
    for drawn in data.draw(st.lists(generate.packets(family), min_size=6, max_size=6)):
        packet = replace(drawn, fragment=data.draw(st.sampled_from([False, False, False, True])))
        leaves_by = data.draw(st.sampled_from(generate.INTERFACES))
        skb = Skb(packet)
        skb.out_interface = leaves_by
        is_member = lookups[name].test(skb, sides, return_nomatch=bool(options))
        example = Example(packet, leaves_by, ConnectionState.NEW, False, False, False)
        is_here = point(space, example) & found != space.false
        assert is_here is (is_member is not match.negate), (match, packet)
