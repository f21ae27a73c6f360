"""The space of all packets: single fields, and what happens to diagrams that nobody needs."""

import gc
from ipaddress import IPv4Address

import pytest

from netfw.errors import InconclusiveError
from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.prove import diagrams
from netfw.prove.interfaces import Interfaces
from netfw.prove.lint_rules import lint_rules
from netfw.prove.path import PathKind, Paths
from netfw.prove.space import Bdd, Field, Space

NET = Net.parse("192.0.2.0/24")


@pytest.fixture
def space() -> Space:
    return Space(Family.IPV4, Interfaces({"eth0"}), 0xF0000)


def packets(space: Space, of: Bdd, field: Field) -> float:
    """How many values of a field are in a set, as a power of two, where others are free."""
    return space.exponent(of) - space.exponent(space.true) + space.width(field)


def test_a_network_holds_as_many_addresses_as_its_mask_says(space: Space) -> None:
    assert packets(space, space.in_net(Field.SOURCE, NET), Field.SOURCE) == 8
    assert packets(space, ~space.in_net(Field.SOURCE, NET), Field.SOURCE) < 32


@pytest.mark.parametrize(
    ("first", "last"), [(0, 0), (0, 65535), (1, 65534), (80, 443), (65535, 65535)]
)
def test_a_range_holds_its_ends_and_nothing_beside_them(
    space: Space, first: int, last: int
) -> None:
    inside = space.between(Field.DESTINATION_PORT, first, last)
    for port in {0, first - 1, first, last, last + 1, 65535} & set(range(65536)):
        here = space.equal(Field.DESTINATION_PORT, port)
        assert (here & inside != space.false) is (first <= port <= last)


def test_a_packet_counts_once_whatever_its_mark_and_whatever_an_oracle_says(space: Space) -> None:
    some = space.equal(Field.PROTOCOL, 6)
    marked = some & space.state_variables["mark16"] & space.oracle("weather")
    assert space.exponent(marked) == space.exponent(some)


def test_the_empty_set_has_no_lowest_member(space: Space) -> None:
    with pytest.raises(ValueError, match="no member"):
        space.lowest(space.false)
    assert space.lowest(space.true) == {}


def test_diagrams_in_a_cycle_of_garbage_do_not_outlive_their_manager() -> None:
    """CUDD's destructor would raise an error in whatever is running when garbage is collected."""
    for _ in range(3):
        space = Space(Family.IPV6, Interfaces({"eth0"}), 0xF0000)
        cycle: list[object] = [space, space.oracle("weather"), space.equal(Field.PROTOCOL, 17)]
        cycle.append(cycle)
        del space, cycle
        gc.collect()
    assert len(diagrams._MANAGERS) == 1
    kept = Space(Family.IPV6, Interfaces({"eth0"}))
    assert len(diagrams._MANAGERS) == 1
    assert kept.manager is diagrams._MANAGERS[0]


def toggled(option: str, bits: int) -> str:
    """Rules that toggle every bit of the mark that is 1 in an address."""
    return "".join(
        f"-A OUTPUT {option} {address}/{address} -j MARK --set-xmark {1 << bit:#x}/0x0\n"
        for bit in range(bits)
        for address in [IPv4Address(1 << bit)]
    )


def are_ends_equal(bits: int) -> str:
    """A ruleset that drops packets of which the lowest bits of both addresses agree."""
    rules = toggled("-s", bits) + toggled("-d", bits)
    same = f"-A OUTPUT -m mark --mark 0x0/{(1 << bits) - 1:#x} -j DROP\n"
    return f"*mangle\n:OUTPUT ACCEPT [0:0]\n{rules}{same}COMMIT\n"


def test_a_set_that_no_memory_can_hold_is_said_to_be_inconclusive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equality of 32 bits that stand 48 variables apart has billions of nodes."""
    few = parse_ruleset(are_ends_equal(4), Family.IPV4, "few")
    many = parse_ruleset(are_ends_equal(32), Family.IPV4, "many")
    monkeypatch.setattr(diagrams, "MOST_MEMORY", 64 << 20)
    assert lint_rules(few) == []
    with pytest.raises(InconclusiveError, match="more than 64 MiB"):
        lint_rules(many)


def test_a_mark_compared_with_its_connections_mark_is_a_small_set() -> None:
    """A bit and its copy are neighbours in the order of the variables."""
    text = """\
*mangle
:OUTPUT ACCEPT [0:0]
-A OUTPUT -j CONNMARK --restore-mark --nfmask 0x0 --ctmask 0xffffffff
-A OUTPUT -m mark --mark 0xb -j DROP
COMMIT
"""
    space = Space(Family.IPV4, Interfaces({"eth0"}), 0xFFFFFFFF, 0xFFFFFFFF)
    answer = Paths(space, parse_ruleset(text, Family.IPV4, "text")).answer(PathKind.OUT)
    assert len(answer.leaves(space)) < 300
