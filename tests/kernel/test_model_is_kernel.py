"""What the model predicts of random rules and packets is what the kernel does with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from netfw.ir.names import Backend, Family, Hook, TableName
from netfw.ir.ruleset import Chain, Ruleset, Table
from netfw.ir.target import NoTarget, Return, SetMark
from netfw.traverse.connection import Conntrack
from netfw.traverse.host_facts import HostFacts
from netfw.traverse.packet import Packet
from netfw.traverse.set_lookup import SetLookup, known_sets
from netfw.traverse.skb import Skb
from netfw.traverse.traversal import Traversal
from netfw.traverse.walk import Walker
from tests.fuzz.arena import Arena
from tests.fuzz.differential import MakeWalker
from tests.fuzz.search import Tally, search

pytestmark = pytest.mark.kernel

RULESETS = int(os.environ.get("NETFW_FUZZ_RULESETS", "75"))
"""For each backend and family; ``make fuzz`` goes on for as long as one likes."""
SEED = int(os.environ.get("NETFW_FUZZ_SEED", "20"))


@pytest.fixture(scope="module", params=list(Backend), ids=str)
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    with Arena(request.param) as made:
        yield made


@pytest.mark.every_kernel
@pytest.mark.parametrize("family", list(Family), ids=str)
def test_random_packets_go_the_predicted_way_through_random_rules(
    arena: Arena, family: Family
) -> None:
    tally = Tally()
    search([arena], family, SEED, RULESETS, tally)
    assert not tally.failure, tally.failure
    assert tally.rulesets == RULESETS
    assert tally.lost == 0
    assert tally.packets > 4 * RULESETS
    assert tally.undecided < tally.packets / 20


def without_marks(ruleset: Ruleset, facts: HostFacts) -> Walker:
    """A model that forgets what MARK does."""
    return Walker(_each_target(ruleset, SetMark, NoTarget()), facts)


def without_return(ruleset: Ruleset, facts: HostFacts) -> Walker:
    """A model in which RETURN does nothing."""
    return Walker(_each_target(ruleset, Return, NoTarget()), facts)


def _each_target(ruleset: Ruleset, kind: type, other: NoTarget) -> Ruleset:
    def edited(chain: Chain) -> Chain:
        rules = (
            replace(rule, target=other) if isinstance(rule.target, kind) else rule
            for rule in chain.rules
        )
        return replace(chain, rules=tuple(rules))

    tables = (Table(table.name, tuple(map(edited, table.chains))) for table in ruleset.tables)
    return Ruleset(ruleset.family, tuple(tables))


class SwappedTables(Walker):
    """A model that takes filter before mangle."""

    def __init__(self, ruleset: Ruleset, facts: HostFacts) -> None:
        super().__init__(ruleset, facts)
        order = list(self._points[Hook.FORWARD])
        mangle, filter_ = order.index(TableName.MANGLE), order.index(TableName.FILTER)
        order[mangle], order[filter_] = order[filter_], order[mangle]
        self._points[Hook.FORWARD] = tuple(order)


def without_connections(ruleset: Ruleset, facts: HostFacts) -> Walker:
    """A model that forgets every connection at once."""

    class Forgetful(Walker):
        def walk(self, packet: Packet) -> Traversal:
            self.conntrack = Conntrack()
            return super().walk(packet)

    return Forgetful(ruleset, facts)


def without_exceptions(ruleset: Ruleset, facts: HostFacts) -> Walker:
    """A model that takes members with nomatch for members like the others."""
    sets = (
        replace(
            lookup.ipset,
            members=tuple(replace(member, nomatch=False) for member in lookup.ipset.members),
        )
        for lookup in facts.sets.values()
    )
    return Walker(ruleset, replace(facts, sets=known_sets(sets)))


def with_set_sides_swapped(ruleset: Ruleset, facts: HostFacts) -> Walker:
    """A model that takes src for dst in look-ups."""

    class Swapped(SetLookup):
        def test(self, skb: Skb, sides: tuple[str, ...], **more: Any) -> bool | None:
            other = {"src": "dst", "dst": "src"}
            return super().test(skb, tuple(other[side] for side in sides), **more)

    sets = {name: Swapped(lookup.ipset, facts.sets) for name, lookup in facts.sets.items()}
    return Walker(ruleset, replace(facts, sets=sets))


@pytest.mark.parametrize(
    "broken",
    [
        without_marks,
        without_return,
        without_connections,
        SwappedTables,
        without_exceptions,
        with_set_sides_swapped,
    ],
)
def test_a_model_with_a_fault_is_found_out(arena: Arena, broken: MakeWalker) -> None:
    tally = Tally()
    search([arena], Family.IPV4, SEED, 400, tally, broken, shrink_seconds=1.0)
    assert tally.failure
    said = tally.failure.splitlines()
    assert said[0] == f"{arena.backend} IPv4:"
    assert any(line.startswith("*") for line in said)
    assert "   predicted:" in said
    assert "   observed:" in said
    assert said[-1].startswith("to repeat it: NETFW_FUZZ_SEED=")


def test_lost_events_are_no_pass(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    ground = arena.ground(Family.IPV4, conntrack=True)
    monkeypatch.setattr(type(ground), "lost", "the kernel dropped 1 trace events")
    tally = Tally()
    search([arena], Family.IPV4, SEED, 5, tally)
    assert (tally.rulesets, tally.lost) == (0, 5)
