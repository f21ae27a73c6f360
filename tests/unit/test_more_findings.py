"""Further faults about marks: masks, bytes and orders mixed up, and what hides packets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netfw.doctor.diagnosis import diagnose
from netfw.doctor.findings import FINDINGS
from netfw.doctor.observed import NftChain, NftRule, NftTable
from netfw.ir.net import Net
from netfw.traverse.routing_tables import RouteKind, TableRoute
from tests.unit.test_findings import by_mark, found, host, route


def nft(*rules: NftRule, kind: str = "filter", hook: str = "prerouting") -> NftTable:
    return NftTable("inet", "mine", (NftChain("c", rules, hook, kind, -150, "accept"),))


def test_every_finding_explains_itself() -> None:
    for code, kind in FINDINGS.items():
        assert code == kind.CODE
        assert kind.TITLE
        assert "\n" not in kind.TITLE
        assert len(kind.EXPLANATION) > 150, code
        assert callable(kind.probe)


def test_an_inverted_mask() -> None:
    state = host("mangle PREROUTING -j MARK --set-xmark 0x200/0xffffc0ff")
    assert found(state, "mask-inverted")
    for right in ("0x200/0x3f00", "0x0/0xffffc0ff", "0x200/0xffffffff"):
        state = host(f"mangle PREROUTING -j MARK --set-xmark {right}")
        assert not found(state, "mask-inverted"), right


def test_bits_that_are_turned_over() -> None:
    state = host("mangle PREROUTING -j MARK --set-xmark 0x30/0x10")
    assert found(state, "mark-toggled")
    for right in ("0x30/0x30", "0x10/0x30", "0x4000/0x0"):
        state = host(f"mangle PREROUTING -j MARK --set-xmark {right}")
        assert not found(state, "mark-toggled"), right


def test_bytes_in_the_other_order() -> None:
    wrong = "mangle FORWARD -m mark --mark 0x400/0xff00 -j ACCEPT"
    (one,) = found(host(wrong, by_mark(0x40000, 0xFF0000)), "byte-swapped")
    assert "0x400/0xff00" in one.problem
    assert not found(host(wrong, by_mark(0x80000, 0xFF0000)), "byte-swapped")


@pytest.mark.parametrize("chain", ["PREROUTING", "OUTPUT"])
def test_a_whole_comparison_and_a_bit_of_another(chain: str) -> None:
    rules = (
        f"mangle {chain} -p tcp -j MARK --set-xmark 0x1bd20/0xffffffff\n"
        f"mangle {chain} -p tcp -j MARK --set-xmark 0x4000/0x4000"
    )
    assert found(host(rules, by_mark(0x1BD20)), "equality-sees-other-bits")
    assert not found(host(rules, by_mark(0x1BD20, 0xF0000)), "equality-sees-other-bits")
    apart = rules.replace("-p tcp", "-p udp", 1)
    assert not found(host(apart, by_mark(0x1BD20)), "equality-sees-other-bits")


def test_routing_rules_for_the_same_bits() -> None:
    one, other = by_mark(0x80000, 0xFF0000), by_mark(0x80000, table=3, preference=600)
    assert found(host("", one, other), "ip-rules-collide")
    same = by_mark(0x80000, table=100, preference=600)
    assert not found(host("", one, same), "ip-rules-collide")
    apart = by_mark(0x1, 0xFF, table=3, preference=600)
    assert not found(host("", one, apart), "ip-rules-collide")


def test_src_valid_mark_and_a_table_where_all_is_local() -> None:
    local = TableRoute(100, RouteKind.LOCAL, Net.parse("0.0.0.0/0"), "lo")
    on = {"net/ipv4/conf/all/src_valid_mark": "1"}
    routes = (route(254, "wa"), local)
    code = "src-valid-mark-and-local"
    assert found(host("", by_mark(1), routes=routes, sysctls=on), code)
    assert not found(host("", by_mark(1), routes=routes), code)
    assert not found(host("", by_mark(1), sysctls=on), code)
    with_iif = by_mark(1, in_interface="lan")
    assert not found(host("", with_iif, routes=routes, sysctls=on), code)


def test_a_queue_between_writer_and_reader() -> None:
    mark = "mangle PREROUTING -j MARK --set-xmark 0x10/0x10\n"
    queue = "filter INPUT -p tcp -j NFQUEUE --queue-num 3\n"
    read = "mangle INPUT -m mark --mark 0x10/0x10 -j ACCEPT\n"
    later = "security INPUT -m mark --mark 0x10/0x10 -j ACCEPT\n"
    assert found(host(mark + queue + later), "queue-may-wipe")
    assert not found(host(mark + queue + read), "queue-may-wipe")


def test_a_flowtable_beside_marks() -> None:
    flow = NftRule(4, "ct state established flow add @f", ({"flow": {"op": "add"}},))
    mark = "mangle FORWARD -j MARK --set-xmark 0x10/0x10"
    state = host(mark, tables=(nft(flow, hook="forward"),))
    assert found(state, "flowtable-hides")
    careful = replace(flow, text="ct mark 0 flow add @f")
    assert not found(host(mark, tables=(nft(careful, hook="forward"),)), "flowtable-hides")
    assert not found(host("", tables=(nft(flow, hook="forward"),)), "flowtable-hides")


def test_untracked_packets_and_their_connection_mark() -> None:
    restore = "mangle PREROUTING -p udp -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff"
    assert found(host(f"raw PREROUTING -p udp -j CT --notrack\n{restore}"), "untracked-connmark")
    for other in ("-p tcp -j CT --notrack", "-p udp -j CT --zone 3"):
        assert not found(host(f"raw PREROUTING {other}\n{restore}"), "untracked-connmark"), other


def test_one_of_thousands_of_rules_is_found_and_the_first_of_its_kind_stands_for_all() -> None:
    lines = [
        f"mangle PREROUTING -s 10.{n // 250}.{n % 250}.0/24 -j MARK --set-xmark 0x10/0xff"
        for n in range(1500)
    ]
    lines.append("mangle PREROUTING -p udp -j MARK --set-xmark 0x1/0xffffffff")
    lines.append("filter FORWARD -m mark --mark 0x10/0xff -j ACCEPT")
    (one,) = found(host("\n".join(lines)), "mark-overwritten")
    assert one.evidence[0].number == 1501
    (said,) = diagnose(host("\n".join(lines))).not_compared
    assert said.startswith("1,499 of 1,501 rules that write the packet mark")
    assert not diagnose(host("\n".join(lines[-300:]))).not_compared
