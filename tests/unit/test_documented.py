"""The documented order and its refinements."""

import pytest

from netfw.ir.names import BUILTIN_CHAINS, Family, Hook, TableName
from netfw.traverse.documented import DOCUMENTED, REFINEMENTS, documented_way, stations_in
from netfw.traverse.situation import Path, Phase, Situation
from netfw.traverse.traversal import Station

ALL = frozenset(Station(hook, table) for table, hooks in BUILTIN_CHAINS.items() for hook in hooks)
FOUR_TABLES = frozenset(
    station
    for station in ALL
    if station.table is not TableName.SECURITY and station != Station(Hook.INPUT, TableName.NAT)
)


def way(
    path: Path, phase: Phase = Phase.FIRST, *, conntrack: bool = True, loaded=ALL
) -> tuple[str, list[str]]:
    documented = documented_way(Situation(Family.IPV4, path, phase, conntrack, loaded))
    stations = " ".join(map(str, documented.stations))
    return stations, [refinement.name for refinement in documented.refinements]


@pytest.mark.parametrize("path", list(Path))
def test_with_four_tables_a_first_packet_takes_the_documented_order_itself(path: Path) -> None:
    stations, refinements = way(path, loaded=FOUR_TABLES)
    expected = " ".join(map(str, stations_in(DOCUMENTED[path])))
    if path is Path.LOOPBACK:
        assert refinements == ["loopback-keeps-connection"]
    else:
        assert (stations, refinements) == (expected, [])


def test_security_follows_filter_and_nat_input_comes_last() -> None:
    stations, refinements = way(Path.LOCAL_IN)
    assert stations.endswith("mangle.INPUT filter.INPUT security.INPUT nat.INPUT")
    assert refinements == ["security-table", "nat-input"]


@pytest.mark.parametrize(
    ("phase", "refinement"),
    [
        (Phase.LATER, "nat-first-packet-only"),
        (Phase.ESTABLISHED, "nat-first-packet-only"),
        (Phase.REPLY, "nat-first-packet-only"),
        (Phase.RELATED, "nat-never-for-related-icmp"),
        (Phase.INVALID, "nat-never-for-invalid"),
        (Phase.UNTRACKED, "nat-never-for-untracked"),
    ],
)
@pytest.mark.parametrize("path", list(Path))
def test_nat_is_for_first_packets_only(path: Path, phase: Phase, refinement: str) -> None:
    stations, refinements = way(path, phase)
    assert "nat." not in stations
    assert refinement in refinements


def test_without_conntrack_nat_is_never_entered() -> None:
    stations, refinements = way(Path.FORWARDED, Phase.NO_CONNTRACK, conntrack=False)
    assert "nat." not in stations
    assert refinements == ["security-table", "nat-needs-conntrack"]


def test_a_table_that_is_not_loaded_is_not_passed() -> None:
    only_filter = frozenset(
        Station(hook, TableName.FILTER) for hook in BUILTIN_CHAINS[TableName.FILTER]
    )
    assert way(Path.FORWARDED, loaded=only_filter) == ("filter.FORWARD", ["table-not-loaded"])


def test_every_refinement_has_a_name_of_its_own_a_reason_and_a_source() -> None:
    assert len({refinement.name for refinement in REFINEMENTS}) == len(REFINEMENTS)
    assert all(refinement.reason and refinement.source for refinement in REFINEMENTS)
