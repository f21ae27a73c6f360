"""A mark field that is free on a host, and why it is."""

from __future__ import annotations

from netfw.doctor.free_field import find_free, known_of
from netfw.doctor.observed import Socket
from netfw.ir.mark_field import MarkField
from netfw.ir.names import Family
from netfw.report.free_field import free_data, free_lines
from tests.unit.test_findings import by_mark, host


def test_an_empty_host_gets_the_field_that_the_least_software_knows() -> None:
    free = find_free(host())
    assert free.touched == 0
    assert all(len(known_of(0xF << n)) >= len(free.known) for n in range(29))
    assert len(free.known) < len(known_of(0xF0000))


def test_no_bit_of_it_is_one_that_a_rule_a_route_or_a_socket_uses() -> None:
    first = find_free(host()).mask
    low = first & -first
    socket = Socket("udp", Family.IPV4, "0.0.0.0:1", "", "UNCONN", low << 3)
    for state in (
        host(f"mangle PREROUTING -j MARK --set-xmark {low:#x}/{low:#x}"),
        host(f"filter INPUT -m mark --mark {low:#x}/{first:#x} -j ACCEPT"),
        host("", by_mark(low)),
        host("", sockets=(socket,)),
    ):
        free = find_free(state)
        assert free.mask
        assert not free.mask & free.touched
        assert free.mask != first


def test_it_is_one_that_a_policy_can_have() -> None:
    assert MarkField(find_free(host()).mask)
    text = "\n".join(free_lines(find_free(host())))
    assert f"marks: {{mask: {find_free(host()).mask:#010x}}}" in text


def test_netfw_s_own_rules_are_what_is_moved() -> None:
    mask = find_free(host()).mask
    low = mask & -mask
    ours = f'-m comment --comment "netfw:x" -j MARK --set-xmark {low:#x}/{low:#x}'
    assert find_free(host(f"mangle PREROUTING {ours}")).mask == mask


def test_where_all_bits_are_used_there_is_none() -> None:
    free = find_free(host("mangle PREROUTING -j MARK --set-xmark 0x11111111/0x11111111"))
    assert free.mask == 0
    assert free_data(free)["mask"] is None
    assert "no four bits" in next(free_lines(free))


def test_rules_that_replace_the_whole_word_are_named() -> None:
    free = find_free(host("mangle PREROUTING -j MARK --set-xmark 0x1/0xffffffff"))
    assert [spot.number for spot in free.whole] == [1]
