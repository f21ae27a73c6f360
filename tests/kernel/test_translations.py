"""How the kernel chooses among addresses and ports: the model says the same, packet by packet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.names import Backend, Family
from netfw.ir.net import format_address, parse_address
from netfw.ir.protocols import UDP
from netfw.traverse.nat_address import choose_address
from netfw.traverse.packet import Packet
from netfw.traverse.traversal import Addressing
from netfw.verify.instrument import with_all_stations
from netfw.verify.result import Result
from tests.fuzz.arena import Arena
from tests.fuzz.differential import play
from tests.fuzz.generate import Case, Relation, Sending
from tests.fuzz.world import BEHIND, FAR, NEAR

pytestmark = [pytest.mark.kernel, pytest.mark.every_kernel]

CLIENTS = 12


@pytest.fixture(scope="module", params=list(Backend), ids=str)
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    with Arena(request.param) as made:
        yield made


def packet(family: Family, client: int = 0, **changes: int) -> Packet:
    made = Packet(
        family,
        FAR[family][0] + client,
        FAR[family][1],
        UDP,
        40000 + client,
        53,
        in_interface="eth0",
    )
    return replace(made, **changes)


def ends(arena: Arena, rules: list[str], *packets: Packet) -> list[Addressing]:
    """Where packets arrive, each the first of a connection, and the model says the same."""
    family = packets[0].family
    text = "\n".join(["*nat", *(f"-A {rule}" for rule in rules), "COMMIT", ""])
    ruleset = with_all_stations(parse_ruleset(text, family))
    sendings = tuple(Sending(Relation.FIRST, each) for each in packets)
    played = play(Case(ruleset, sendings, conntrack=True), arena)
    assert [c.result for c in played.comparisons] == [Result.AGREE] * len(packets), str(played)
    found = [c.observed.final for c in played.comparisons if c.observed is not None]
    return [final for final in found if final is not None]


def net(family: Family, address: int, length: dict[Family, int]) -> str:
    keep = family.bits - length[family]
    return f"{format_address(family, address >> keep << keep)}/{length[family]}"


@pytest.mark.parametrize("flag", ["", " --persistent"], ids=["plain", "persistent"])
@pytest.mark.parametrize("family", Family, ids=str)
def test_a_source_out_of_a_range_is_chosen_by_a_hash(
    arena: Arena, family: Family, flag: str
) -> None:
    first = parse_address({4: "198.51.100.7", 6: "2001:db8:7::fffe"}[family.value])[1]
    span = (first, first + 5)
    text = "-".join(format_address(family, address) for address in span)
    packets = [packet(family, client) for client in range(CLIENTS)]
    found = ends(arena, [f"POSTROUTING -j SNAT --to-source {text}{flag}"], *packets)
    assert [final.source for final in found] == [
        choose_address(family, span, each.source, each.destination, persistent=bool(flag))
        for each in packets
    ]
    assert len({final.source for final in found}) > 2


@pytest.mark.parametrize("family", Family, ids=str)
def test_load_is_shared_over_a_range_of_destinations(arena: Arena, family: Family) -> None:
    span = (NEAR[family][1], FAR[family][1])
    text = "-".join(format_address(family, address) for address in span)
    packets = [packet(family, client, destination=NEAR[family][0]) for client in range(CLIENTS)]
    found = ends(arena, [f"PREROUTING -p udp -j DNAT --to-destination {text}"], *packets)
    assert {final.destination for final in found} == set(span)


@pytest.mark.parametrize("family", Family, ids=str)
def test_netmap_keeps_the_host_part_both_ways(arena: Arena, family: Family) -> None:
    length = {Family.IPV4: 28, Family.IPV6: 120}
    outside, inside = BEHIND[family][2] + 32, FAR[family][1]
    public, private = net(family, outside, length), net(family, inside, length)
    rules = [
        f"PREROUTING -i eth0 -d {public} -j NETMAP --to {private}",
        f"POSTROUTING -o eth0 -s {private} -j NETMAP --to {public}",
    ]
    keep = family.bits - length[family]
    host = FAR[family][1] & ((1 << keep) - 1)
    outer = (outside >> keep << keep) | host
    inward, outward = ends(
        arena,
        rules,
        packet(family, destination=outer),
        replace(
            packet(family, source=FAR[family][1], destination=FAR[family][0], source_port=77),
            in_interface="eth1",
        ),
    )
    assert inward.destination == FAR[family][1]
    assert outward.source == outer


@pytest.mark.parametrize("family", Family, ids=str)
def test_a_range_of_ports_is_moved_as_a_whole(arena: Arena, family: Family) -> None:
    address = format_address(family, FAR[family][1])
    address = f"[{address}]" if family is Family.IPV6 else address
    matches = "PREROUTING -p udp -m udp --dport 8000:8010"
    rule = f"{matches} -j DNAT --to-destination {address}:9000-9010/8000"
    packets = [packet(family, port, destination_port=port) for port in (8000, 8003, 8010)]
    found = ends(arena, [rule], *packets)
    assert [final.destination_port for final in found] == [9000, 9003, 9010]


@pytest.mark.parametrize("target", ["MASQUERADE --random", "MASQUERADE --random-fully"])
@pytest.mark.parametrize("family", Family, ids=str)
def test_a_random_port_may_be_any_and_all_else_is_known(
    arena: Arena, family: Family, target: str
) -> None:
    (final,) = ends(arena, [f"POSTROUTING -j {target}"], packet(family))
    assert final.source == NEAR[family][1]
