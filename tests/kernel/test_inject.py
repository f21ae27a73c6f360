"""Packets into and out of a namespace: what the kernel does with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netfw.host.inject import FarEnd, LocalSender
from netfw.host.iptables import restore
from netfw.host.local_receiver import Delivered, LocalReceiver
from netfw.host.packets import MAGIC, PacketBuilder, checksum, cookie_of
from netfw.host.wait import wait_until
from netfw.ir.names import Backend, Family
from netfw.ir.protocols import ICMP, ICMPV6, SCTP, TCP, UDP
from netfw.traverse.packet import SYN, Packet
from tests.kernel.router import LEFT_OWN, RIGHT_HOST, RIGHT_OWN, Router, all_tables, forwarded

pytestmark = pytest.mark.kernel

each = pytest.mark.parametrize("family", Family, ids=str)
HEADER = {Family.IPV4: 20, Family.IPV6: 40}


def number_of(family: Family, data: bytes) -> int | None:
    return cookie_of(family, data[: HEADER[family]], data[HEADER[family] :])


def catch(end: FarEnd, number: int) -> bytes:
    """The packet with this number, as it comes out of a cable."""
    caught: dict[int | None, bytes] = {}

    def has_come() -> bool:
        caught.update((number_of(*packet), packet[1]) for packet in end.arrived())
        return number in caught

    assert wait_until(has_come, 2)
    return caught[number]


def catch_delivered(receiver: LocalReceiver, family: Family, number: int) -> Delivered:
    caught: dict[int | None, Delivered] = {}

    def has_come() -> bool:
        caught.update((number_of(family, one.packet), one) for one in receiver.arrived())
        return number in caught

    assert wait_until(has_come, 2)
    return caught[number]


def local(family: Family, protocol: int = UDP) -> Packet:
    """A packet from the router itself to the host on the right."""
    flags = SYN if protocol == TCP else 0
    return Packet(
        family, RIGHT_OWN[family], RIGHT_HOST[family], protocol, 40000, 53, tcp_flags=flags
    )


@each
def test_a_forwarded_packet_comes_out_as_it_went_in_but_for_its_ttl(family):
    sent = forwarded(family)
    with Router() as router:
        router.left.send(family, PacketBuilder().build(sent, 9))
        assert catch(router.right, 9) == PacketBuilder().build(replace(sent, ttl=63), 9)
        assert not router.right.lost


@each
@pytest.mark.parametrize("protocol", [UDP, TCP, SCTP])
def test_a_local_packet_leaves_as_it_was_made(family, protocol):
    """raw(7): identification, flow label and checksums stay; nothing is filled in."""
    data = PacketBuilder().build(local(family, protocol), 10)
    with Router() as router:
        sender = LocalSender(router.box, family)
        assert sender.send(data, RIGHT_HOST[family])
        assert catch(router.right, 10) == data
        sender.close()


def test_the_kernel_computes_the_header_checksum_of_local_packets():
    data = bytearray(PacketBuilder().build(local(Family.IPV4), 11))
    data[10:12] = b"\0\0"
    with Router() as router:
        sender = LocalSender(router.box, Family.IPV4)
        sender.send(bytes(data), RIGHT_HOST[Family.IPV4])
        assert checksum(catch(router.right, 11)[:20]) == 0
        sender.close()


@each
def test_local_packets_pass_output_with_the_mark_of_their_socket(family):
    rules = {"filter": "-A OUTPUT -m mark --mark 0x5 -j DROP"}
    data = PacketBuilder().build(local(family), 12)
    with Router() as router:
        restore(router.box, Backend.NFT, family, all_tables(**rules))
        sender = LocalSender(router.box, family)
        dropped = not sender.send(data, RIGHT_HOST[family], mark=5)
        assert sender.send(data, RIGHT_HOST[family], mark=6)
        assert sender.send(data, RIGHT_HOST[family])
        assert dropped
        catch(router.right, 12)
        sender.close()


@each
def test_a_sender_bound_to_an_interface_leaves_by_it(family):
    data = PacketBuilder().build(local(family), 13)
    with Router() as router:
        sender = LocalSender(router.box, family, "right")
        sender.send(data, RIGHT_HOST[family])
        catch(router.right, 13)
        sender.close()


@each
@pytest.mark.parametrize("protocol", [UDP, TCP, SCTP, ICMP])
def test_a_delivered_packet_is_seen_with_its_last_mark(family, protocol):
    if protocol == ICMP and family is Family.IPV6:
        protocol = ICMPV6
    rules = {"mangle": "-A PREROUTING -j MARK --set-mark 1\n-A INPUT -j MARK --or-mark 0xabc0"}
    icmp_type = {ICMP: 8, ICMPV6: 128}.get(protocol, 0)
    sent = replace(
        forwarded(family, protocol=protocol, tcp_flags=SYN if protocol == TCP else 0),
        destination=LEFT_OWN[family],
        icmp_type=icmp_type,
        ttl=17,
    )
    with Router() as router:
        restore(router.box, Backend.NFT, family, all_tables(**rules))
        receiver = LocalReceiver(router.box, family, {protocol})
        data = PacketBuilder().build(sent, 14)
        router.left.send(family, data)
        assert catch_delivered(receiver, family, 14) == Delivered(data, 0xABC1)
        assert not receiver.lost
        receiver.close()


@each
def test_a_packet_dropped_at_input_is_not_delivered(family):
    sent = replace(forwarded(family), destination=LEFT_OWN[family])
    builder = PacketBuilder()
    with Router() as router:
        drop_first = "-A INPUT -p udp -m udp --dport 53 -j DROP"
        restore(router.box, Backend.NFT, family, all_tables(filter=drop_first))
        receiver = LocalReceiver(router.box, family, {UDP})
        router.left.send(family, builder.build(sent, 15))
        router.left.send(family, builder.build(replace(sent, destination_port=54), 16))
        seen: list[int | None] = []

        def has_come() -> bool:
            seen.extend(number_of(family, one.packet) for one in receiver.arrived())
            return 16 in seen

        assert wait_until(has_come, 2)
        assert 15 not in seen
        receiver.close()


def test_a_far_end_counts_what_it_had_no_room_for():
    family = Family.IPV4
    builder = PacketBuilder()
    with Router() as router:
        # each costs about 768 bytes of a buffer of 32 MiB
        packets = [builder.build(forwarded(family), number) for number in range(1, 1001)]
        for _ in range(60):
            for data in packets:
                router.left.send(family, data)
        assert wait_until(lambda: router.right.lost > 0, 2)
        assert len(router.right.arrived()) < 60000


@each
@pytest.mark.parametrize("what", ["an error about a datagram", "a reply to a ping"])
def test_what_the_kernel_answers_is_never_taken_for_ours(family, what):
    """Not even where chance gives it the number of what it answers: it chooses the identification
    of what it sends by itself."""
    number = 4711
    icmp, request = (ICMP, 8) if family is Family.IPV4 else (ICMPV6, 128)
    to_us = replace(forwarded(family), destination=LEFT_OWN[family])
    if "ping" in what:
        to_us = replace(
            to_us, protocol=icmp, icmp_type=request, icmp_id=5, source_port=0, destination_port=0
        )
    answers: list[bytes] = []
    with Router() as router:
        router.left.send(family, PacketBuilder().build(to_us, number))

        def has_answered() -> bool:
            of_family = [data for kind, data in router.left.arrived() if kind is family]
            answers.extend(data for data in of_family if quotes(data, number))
            return bool(answers)

        assert wait_until(has_answered, 2)
    answer = bytearray(answers[0])
    at = 4 if family is Family.IPV4 else 2
    answer[at : at + 2] = number.to_bytes(2, "big")
    if family is Family.IPV6:
        answer[1] = answer[1] & 0xF0 | 0xB
    assert number_of(family, bytes(answer)) is None


def quotes(data: bytes, number: int) -> bool:
    """Whether a packet holds one of ours with this number, or what it carried."""
    return number.to_bytes(2, "big") in data[HEADER[Family.IPV4] :] and MAGIC in data
