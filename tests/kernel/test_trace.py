"""The trace readers of both backends and families, on the running kernel."""

from __future__ import annotations

import pytest

from netfw.errors import ConflictError
from netfw.host.iptables import restore
from netfw.host.nft_trace import rule_handles
from netfw.host.packets import PacketBuilder, cookie_of
from netfw.host.trace import EventKind, TraceEvent, TraceReader
from netfw.host.wait import wait_until
from netfw.ir.names import Backend, Family, Hook
from netfw.traverse.kernel_refinements import NFT_RETURN_EVENTS
from tests.kernel.router import Router, all_tables, forwarded

pytestmark = [pytest.mark.kernel, pytest.mark.every_kernel]

BOTH = [(backend, family) for backend in Backend for family in Family]
both = pytest.mark.parametrize(("backend", "family"), BOTH, ids=[f"{b}-{f}" for b, f in BOTH])
each = pytest.mark.parametrize("backend", Backend, ids=str)

CHAINS_ON_THE_WAY = [
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    ("nat", "PREROUTING"),
    ("mangle", "FORWARD"),
    ("filter", "FORWARD"),
    ("mangle", "POSTROUTING"),
    ("nat", "POSTROUTING"),
]
"""Of the first packet of a forwarded connection, the security table left out."""

RULES = {
    "raw": "-A PREROUTING -j TRACE",
    "mangle": """
:there - [0:0]
:away - [0:0]
-A PREROUTING -j MARK --set-xmark 0x10/0xff
-A PREROUTING -p udp -m udp --dport 9 -j DROP
-A PREROUTING -m mark --mark 0x10/0xff -j MARK --set-xmark 0x20/0xff
-A PREROUTING -j there
-A there -p udp -m udp --sport 40000 -g away
-A away -j MARK --set-xmark 0x30/0xff
""",
    "filter": "-A FORWARD -m conntrack --ctstate NEW -j ACCEPT",
}


def send_and_read(
    router: Router, reader: TraceReader, family: Family, number: int = 7
) -> list[TraceEvent]:
    """The events of one forwarded packet, until it has arrived and nothing more comes."""
    arrived: list[int | None] = []

    def has_arrived() -> bool:
        for seen, data in router.right.arrived():
            length = 20 if seen is Family.IPV4 else 40
            arrived.append(cookie_of(seen, data[:length], data[length:]))
        return number in arrived

    router.left.send(family, PacketBuilder().build(forwarded(family), number))
    assert wait_until(has_arrived, 2)
    return of_packet(reader.read(1), number)


def of_packet(events: list[TraceEvent], number: int) -> list[TraceEvent]:
    """The events of the packet with this number: by its headers, and for nft by its id."""
    ids = {
        event.packet_id
        for event in events
        if event.network and cookie_of(event.family, event.network, event.transport) == number
    }
    return [
        event
        for event in events
        if (event.packet_id is not None and event.packet_id in ids)
        or (
            event.packet_id is None
            and cookie_of(event.family, event.network, event.transport) == number
        )
    ]


def chains(events: list[TraceEvent]) -> list[tuple[str, str]]:
    """The built-in chains in the order in which they were passed."""
    order: list[tuple[str, str]] = []
    for event in events:
        place = (event.table, event.chain)
        if event.chain.isupper() and (not order or order[-1] != place):
            order.append(place)
    return order


@both
def test_a_forwarded_packet_passes_its_tables_in_the_documented_order(backend, family):
    with Router() as router:
        restore(router.box, backend, family, all_tables(**RULES))
        with TraceReader.open(router.box, backend) as reader:
            events = send_and_read(router, reader, family)
            assert not reader.lost
    order = [place for place in chains(events) if place[0] != "security"]
    assert order == CHAINS_ON_THE_WAY
    assert ("security", "FORWARD") in chains(events)
    assert {event.family for event in events} == {family}


@each
def test_interfaces_are_those_of_the_hook(backend):
    family = Family.IPV4
    with Router() as router:
        restore(router.box, backend, family, all_tables(**RULES))
        with TraceReader.open(router.box, backend) as reader:
            events = send_and_read(router, reader, family)
        left, right = router.index["left"], router.index["right"]
    seen = {event.chain: (event.iif, event.oif) for event in events if event.network}
    assert seen["PREROUTING"] == (left, 0)
    assert seen["FORWARD"] == (left, right)
    assert seen["POSTROUTING"] == (left, right)


@pytest.mark.parametrize("family", Family, ids=str)
def test_legacy_numbers_are_rule_numbers_and_marks_come_before_the_target(family):
    with Router() as router:
        restore(router.box, Backend.LEGACY, family, all_tables(**RULES))
        with TraceReader.open(router.box, Backend.LEGACY) as reader:
            events = send_and_read(router, reader, family)
    assert [
        (event.chain, event.kind, event.number, event.mark)
        for event in events
        if event.table == "mangle" and event.hook is Hook.PREROUTING
    ] == [
        ("PREROUTING", EventKind.RULE, 1, 0),
        ("PREROUTING", EventKind.RULE, 3, 0x10),
        ("PREROUTING", EventKind.RULE, 4, 0x20),
        ("there", EventKind.RULE, 1, 0x20),
        ("away", EventKind.RULE, 1, 0x20),
        ("away", EventKind.END, 2, 0x30),
        ("PREROUTING", EventKind.POLICY, 5, 0x30),
    ]


@pytest.mark.parametrize("family", Family, ids=str)
def test_nft_handles_are_rules_in_order_and_marks_come_after_the_target(family):
    with Router() as router:
        restore(router.box, Backend.NFT, family, all_tables(**RULES))
        handles = rule_handles(router.box, family)
        with TraceReader.open(router.box, Backend.NFT) as reader:
            events = send_and_read(router, reader, family)
    assert {place: len(found) for place, found in handles.items()} == {
        ("raw", "PREROUTING"): 1,
        ("mangle", "PREROUTING"): 4,
        ("mangle", "there"): 1,
        ("mangle", "away"): 1,
        ("filter", "FORWARD"): 1,
    }
    steps = []
    for event in events:
        if event.table == "mangle" and event.chain in ("PREROUTING", "there", "away"):
            number = event.number and 1 + handles["mangle", event.chain].index(event.number)
            steps.append((event.chain, event.kind, number, event.verdict, event.jump, event.mark))
    rule, policy = EventKind.RULE, EventKind.POLICY
    assert steps == [
        ("PREROUTING", rule, 1, "continue", "", 0x10),
        ("PREROUTING", rule, 3, "continue", "", 0x20),
        ("PREROUTING", rule, 4, "jump", "there", 0x20),
        ("there", rule, 1, "goto", "away", 0x20),
        ("away", rule, 1, "continue", "", 0x30),
        ("away", rule, None, "continue", "", 0x30),
        ("PREROUTING", rule, None, "continue", "", 0x30),
        ("PREROUTING", policy, None, "accept", "", 0x30),
    ]


RETURNING = {
    "raw": "-A PREROUTING -j TRACE",
    "mangle": """
:ends - [0:0]
:returns - [0:0]
-A PREROUTING -j ends
-A PREROUTING -j returns
-A ends -j MARK --set-xmark 0x2/0xff
-A returns -p udp -j RETURN
-A returns -j DROP
-A POSTROUTING -p udp -j RETURN
""",
}


@pytest.mark.parametrize("family", Family, ids=str)
def test_nft_says_the_same_of_ends_and_of_returning_rules_on_every_kernel(family):
    """``nft-return-events``: older kernels call these events return, and no reader notices."""
    with Router() as router:
        restore(router.box, Backend.NFT, family, all_tables(**RETURNING))
        handles = rule_handles(router.box, family)
        with TraceReader.open(router.box, Backend.NFT) as reader:
            events = send_and_read(router, reader, family)
            refinements = reader.refinements
    steps = []
    for event in events:
        if event.table == "mangle" and event.chain != "FORWARD":
            number = event.number and 1 + handles["mangle", event.chain].index(event.number)
            steps.append((event.chain, event.kind, number, event.verdict, event.mark))
    rule, policy = EventKind.RULE, EventKind.POLICY
    assert steps == [
        ("PREROUTING", rule, 1, "jump", 0),
        ("ends", rule, 1, "continue", 2),
        ("ends", rule, None, "continue", 2),
        ("PREROUTING", rule, 2, "jump", 2),
        ("returns", rule, 1, "return", 2),
        ("PREROUTING", rule, None, "continue", 2),
        ("PREROUTING", policy, None, "accept", 2),
        ("POSTROUTING", rule, 1, "return", 2),
        ("POSTROUTING", policy, None, "accept", 2),
    ]
    assert set(refinements) <= {NFT_RETURN_EVENTS}


@each
def test_events_that_find_no_room_are_counted(backend):
    family = Family.IPV4
    with Router() as router:
        restore(router.box, backend, family, all_tables(**RULES))
        builder = PacketBuilder()
        with (
            TraceReader.open(router.box, backend, 16384) as narrow,
            TraceReader.open(router.box, Backend.NFT) as wide,
        ):
            for number in range(1, 101):
                router.left.send(family, builder.build(forwarded(family), number))
            # nothing has been read and nothing comes after the loss: it shows all the same
            assert "dropped" in narrow.lost
            events = narrow.read()
            while more := narrow.read():
                events += more
            dropped = int("".join(filter(str.isdigit, narrow.lost)))
            if backend is Backend.NFT:
                assert not wide.lost
                assert len(events) + dropped == len(wide.read(1))


@each
def test_a_reader_sees_its_own_namespace_only(backend):
    family = Family.IPV4
    with Router() as one, Router() as other:
        for router in (one, other):
            restore(router.box, backend, family, all_tables(**RULES))
        with (
            TraceReader.open(one.box, backend) as reader,
            TraceReader.open(other.box, backend) as other_reader,
        ):
            assert send_and_read(one, reader, family, number=11)
            assert of_packet(other_reader.read(), 11) == []
            assert send_and_read(other, other_reader, family, number=12)
            assert of_packet(reader.read(), 12) == []


def test_a_second_legacy_reader_is_refused_in_one_line():
    with (
        Router() as router,
        TraceReader.open(router.box, Backend.LEGACY),
        pytest.raises(ConflictError) as refused,
    ):
        TraceReader.open(router.box, Backend.LEGACY)
    assert str(refused.value).startswith("legacy trace: log group 0 of this namespace is taken")


def test_log_rules_of_others_are_no_trace_events():
    family = Family.IPV4
    rules = {
        **RULES,
        "filter": """
-A FORWARD -j LOG --log-prefix "TRACE: rubbish"
-A FORWARD -j NFLOG --nflog-group 0 --nflog-prefix "TRACE: a:b:c:d"
""",
    }
    with Router() as router:
        restore(router.box, Backend.LEGACY, family, all_tables(**rules))
        with TraceReader.open(router.box, Backend.LEGACY) as reader:
            events = send_and_read(router, reader, family)
            assert not reader.lost
    assert [event.number for event in events if event.table == "filter"] == [1, 2, 3]
