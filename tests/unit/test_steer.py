"""Steering: what is read, how it is numbered, and what it means for one packet."""

from __future__ import annotations

import pytest

from netfw.compiler.build_routing import build_routing, build_settings
from netfw.errors import PolicyError
from netfw.ir.mark_field import MarkField
from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.ir.protocols import TCP
from netfw.ir.steer_field import SteerField
from netfw.policy.flow import Flow
from netfw.policy.model import Policy
from netfw.policy.read import load
from netfw.policy.steered import Steered, steer
from netfw.prove.difference import Change, compare_policies
from netfw.prove.lint_policy import lint_policy
from netfw.prove.path import PathKind
from netfw.prove.summary import SteeredBy
from netfw.render.routing import render_routing, render_settings

HEAD = """version: 1
endpoints:
  up1: {host: eth0}
  up2: {host: eth1}
  vpns: {host: "wg+"}
  lan: {host: [eth2, eth3]}
nets:
  office: 10.1.0.0/24
steer:
"""
FIRST_LINE = HEAD.count("\n") + 1


def policy_of(*entries: str, marks: str = "") -> Policy:
    text = HEAD + "".join(f"  - {entry}\n" for entry in entries)
    return load(text + marks, "policy.yaml")


FAULTS = {
    "{in: lan}": ("5", "an entry of 'steer' says neither 'table' nor 'class'"),
    "{in: wan, table: 5}": ("10", "unknown endpoint 'wan' in 'in'"),
    "{in: lan, table: 254}": ("22", "table 254 is Linux' own table 'main'"),
    "{in: lan, table: 0}": ("22", "table 0 is Linux' own table 'unspec'"),
    "{in: lan, table: mainn}": ("22", "'mainn' is not the number of a routing table"),
    "{in: lan, table: 4294967296}": ("22", "'4294967296' is not the number of a routing table"),
    "{in: lan, class: 1}": ("22", "'1' is not a class of tc"),
    "{in: lan, class: '1:0'}": ("22", "'1:0' is not a class of tc"),
    "{in: lan, class: '1:10000'}": ("22", "'1:10000' is not a class of tc"),
    "{in: lan, class: '1:20', replies: true}": ("30", "'replies' is about a table"),
    "{in: lan, table: 5, replies: maybe}": ("34", "'replies' is 'yes' or 'no'"),
    "{from: host, table: 5, replies: true}": ("28", "'replies' and 'from: host'"),
    "{from: host, in: lan, table: 5}": ("18", "'in' and 'from: host'"),
    "{in: lan, class: '1:20', via: {out: up2}}": ("30", "'via' is the route of a table"),
    "{in: lan, table: main, via: {out: up2}}": ("28", "'via' is the route of a table"),
    "{in: lan, table: 5, via: {gateway: 192.0.2.1}}": ("30", "'via' lacks the key 'out'"),
    "{in: lan, table: 5, via: {out: eth9}}": ("36", "'eth9' is neither an endpoint nor"),
    "{in: lan, table: 5, via: {out: lan}}": ("36", "a route leaves by one interface"),
    "{in: lan, table: 5, via: {out: vpns}}": ("36", "a route leaves by one interface"),
    "{in: lan, table: 5, via: {out: 'wg+'}}": ("36", "'wg+' is neither an endpoint nor"),
    "{in: lan, table: 5, via: {out: up2, gateway: up1}}": ("50", "'up1' is not the address of"),
    "{in: lan, table: 5, via: {out: up2, gateway: [192.0.2.1, 192.0.2.2]}}": (
        "62",
        "'192.0.2.2' is a second gateway of IPv4",
    ),
    "{in: lan, table: 5, via: {out: up2, if-down: drop}}": ("50", "'if-down' cannot be 'drop'"),
    "{in: lan, from: office, table: 5, via: {out: up2, gateway: '2001:db8::1'}}": (
        "44",
        "this entry is about IPv4, and its gateway is not",
    ),
    "{in: lan, from: office, to: 2001:db8::1, table: 5}": ("5", "no packet can match this entry"),
    "{in: lan, state: new, table: 5}": ("15", "unknown key 'state' in an entry of 'steer'"),
    "{in: lan, tables: 5}": ("15", "unknown key 'tables' in an entry of 'steer'"),
}


@pytest.mark.parametrize("written", FAULTS)
def test_fault_of_an_entry_is_told_with_its_place(written: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_of(written)
    column, problem = FAULTS[written]
    place = f"policy.yaml:{FIRST_LINE}:{column}"
    found = [(fault.place, fault.problem) for fault in caught.value.faults]
    assert any(at == place and text.startswith(problem) for at, text in found), found


def test_a_table_has_one_way_however_often_it_is_named() -> None:
    with pytest.raises(PolicyError, match=f"table 5 has another 'via' in line {FIRST_LINE}"):
        policy_of(
            "{in: lan, table: 5, via: {out: up2}}",
            "{from: host, table: 5, via: {out: up2, if-down: refuse}}",
        )
    policy = policy_of(
        "{in: lan, table: 5, via: {out: up2}}",
        "{from: host, table: 5, via: {out: eth1}}",
    )
    assert policy.steering.vias[5].interface == "eth1"


@pytest.mark.parametrize(
    ("marks", "problem"),
    [
        ("marks: {steer: 0x3}", "mask 0x3 has 2 bits: steering needs at least 3"),
        ("marks: {steer: 0x1f0000}", "the bits 0xf0000 are in 'mask' too"),
        ("marks: {mask: 0x0f000000, steer: 0x0ff00000}", "the bits 0xf000000 are in 'mask' too"),
        ("marks: {steer: some}", "'some' is not a number"),
        ("marks: {steer: 0x100000000}", "0x100000000 is outside"),
    ],
)
def test_fault_of_the_bits_is_told(marks: str, problem: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_of("{in: lan, table: 5}", marks=marks)
    assert any(fault.problem.startswith(problem) for fault in caught.value.faults)


def test_more_tables_than_the_bits_hold_are_refused_at_the_first_too_many() -> None:
    entries = [f"{{in: lan, to: 10.9.{n}.0/24, table: {n + 1}}}" for n in range(8)]
    assert len(policy_of(*entries[:7]).steering.tables) == 7
    with pytest.raises(PolicyError) as caught:
        policy_of(*entries)
    (fault,) = caught.value.faults
    assert fault.place == f"policy.yaml:{FIRST_LINE + 7}:5"
    assert fault.problem == "'steer' names 8 tables, and the bits 0xff00000 tell 7 apart"
    assert len(policy_of(*entries, marks="marks: {steer: 0xfff00000}").steering.tables) == 8


def test_bits_are_told_apart_whatever_the_mask_looks_like() -> None:
    for field in (SteerField(), SteerField(0x80000007), SteerField(0xFFF0FFFF)):
        parts = (field.answers, field.tables, field.classes)
        assert field.answers | field.tables | field.classes == field.mask
        assert sum(part.bit_count() for part in parts) == field.mask.bit_count()
        marks = {field.table(number).value for number in range(1, field.table_count + 1)}
        assert len(marks) == field.table_count
        assert all(mark & ~field.tables == 0 for mark in marks)
        classes = {field.tc_class(number).value for number in range(1, field.class_count + 1)}
        assert len(classes) == field.class_count


def test_steering_leaves_a_moved_field_alone() -> None:
    assert SteerField.beside(MarkField(0x0F000000)).mask == 0x00F00000
    policy = policy_of("{in: lan, table: 5}", marks="marks: {mask: 0x0f000000}")
    assert policy.steering.field.mask & policy.field.mask == 0


def test_an_entry_more_renumbers_no_other() -> None:
    first = ["{in: lan, table: 100}", "{in: up1, table: 107}", '{in: lan, class: "1:20"}']
    before = policy_of(*first).steering
    after = policy_of(*first, "{from: host, table: 7}", '{from: host, class: "2:20"}').steering
    assert {table: after.tables[table] for table in before.tables} == before.tables
    assert {each: after.classes[each] for each in before.classes} == before.classes
    assert len(set(after.tables.values())) == 3
    # 100 and 107 want the same number, so that only there the order counts
    moved = policy_of(*reversed(first)).steering
    assert moved.tables[107] == before.tables[100]


def flow(
    source: str, destination: str, came_by: str, port: int = 443, protocol: int = TCP
) -> Flow:
    family, address = parse_address(source)
    return Flow(family, came_by, "", address, parse_address(destination)[1], protocol, port)


def test_the_first_table_and_the_first_class_decide_apart_from_each_other() -> None:
    policy = policy_of(
        '{in: lan, to: 203.0.113.0/24, table: main, class: "1:10"}',
        "{in: lan, from: office, table: 100}",
        '{in: lan, class: "1:20"}',
        "{in: up2, replies: true, table: 100}",
    )
    assert steer(policy, flow("10.1.0.9", "198.51.100.1", "eth2")) == Steered(100, False, 0x10020)
    assert steer(policy, flow("10.1.0.9", "203.0.113.1", "eth3")) == Steered(0, False, 0x10010)
    assert steer(policy, flow("10.2.0.9", "198.51.100.1", "eth2")) == Steered(0, False, 0x10020)
    assert steer(policy, flow("198.51.100.1", "10.1.0.9", "eth1")) == Steered(100, True, 0)
    assert steer(policy, flow("10.1.0.9", "198.51.100.1", "")) == Steered()
    assert steer(policy, flow("2001:db8::1", "2001:db8::2", "eth2")) == Steered(0, False, 0x10020)


def test_a_table_is_for_one_direction_and_a_class_for_both() -> None:
    policy = policy_of(
        '{in: lan, table: 100, class: "1:20"}', "{in: up2, replies: true, table: 7}"
    )
    steering, field = policy.steering, policy.steering.field
    there = Steered(100, False, 0x10020)
    assert there.mark(steering, is_answer=False).value & field.way
    assert not there.mark(steering, is_answer=True).value & field.way
    assert there.mark(steering, is_answer=True).value & field.classes
    back = Steered(7, answers=True)
    assert not back.mark(steering, is_answer=False).value
    assert back.mark(steering, is_answer=True).value & field.answers


def test_routing_is_made_for_the_families_that_can_take_a_table() -> None:
    policy = policy_of(
        "{in: lan, from: office, table: 100, via: {out: up2, gateway: 192.0.2.1}}",
        "{from: host, service: udp/53, table: 7}",
    )
    assert render_routing(build_routing(policy, Family.IPV4), Family.IPV4).splitlines() == [
        "route replace default via 192.0.2.1 dev eth1 table 100",
        "rule add preference 30000 fwmark 0x400000/0xe00000 lookup main suppress_prefixlength 0",
        "rule add preference 30001 fwmark 0x400000/0xe00000 lookup 100",
        "rule add preference 30001 fwmark 0xe00000/0xe00000 lookup 7",
    ]
    assert render_routing(build_routing(policy, Family.IPV6), Family.IPV6).splitlines() == [
        "rule add preference 30001 fwmark 0xe00000/0xe00000 lookup 7",
    ]


def test_the_strict_reverse_path_filter_is_loosened_where_answers_come_in() -> None:
    policy = policy_of(
        "{in: lan, table: 100, via: {out: up2}}", "{in: vpns, replies: true, table: 8}"
    )
    lines = [
        line for line in render_settings(build_settings(policy)).splitlines() if line[0] != "#"
    ]
    assert lines == [
        "net/ipv4/conf/eth1/rp_filter = 2",
        "net/ipv4/conf/default/rp_filter = 2",
        "net/ipv4/conf/all/src_valid_mark = 0",
    ]


def test_nothing_is_set_for_classes_and_for_ipv6_alone() -> None:
    assert build_settings(policy_of('{in: lan, class: "1:20"}')) == ()
    policy = policy_of("{in: lan, to: '2001:db8::/32', table: 100, via: {out: up2}}")
    assert build_settings(policy) == ()
    assert build_routing(policy, Family.IPV4).is_empty


def lint(*entries: str, more: str = "") -> list[str]:
    return [
        f"{finding.kind.code} {finding.where.line - FIRST_LINE}"
        for finding in lint_policy(policy_of(*entries, marks=more))
        if not isinstance(finding.where, str) and finding.where.line >= FIRST_LINE
    ]


def test_an_entry_that_others_leave_nothing_is_told() -> None:
    entries = (
        "{in: lan, table: 100}",
        "{in: lan, from: office, table: 200}",
        '{in: lan, from: office, table: 7, class: "1:20"}',
        '{in: lan, class: "1:30"}',
    )
    assert lint(*entries) == ["shadowed 1", "shadowed 2"]


def test_what_this_host_sends_with_the_address_of_another_uplink_is_told() -> None:
    entry = "{from: host, to: 198.51.100.0/24, table: 5, via: {out: up2, gateway: 192.0.2.1}}"
    assert lint(entry) == ["steered-source 0"]
    assert lint(entry, more="nat:\n  - masquerade: {out: up2}\n") == []
    assert lint("{from: host, table: 5}") == []


def test_what_is_steered_otherwise_is_a_difference_of_two_policies() -> None:
    old = policy_of("{in: lan, to: 198.51.100.0/24, table: 100}", '{in: up1, class: "1:20"}')
    new = policy_of("{in: lan, to: 198.51.100.0/24, table: 200}", '{in: up1, class: "1:20"}')
    found = {(each.change, each.by, each.kind) for each in compare_policies(old, new)}
    paths = (PathKind.IN, PathKind.FORWARD)
    assert found == {
        *((Change.NOT_STEERED, SteeredBy("table 100"), kind) for kind in paths),
        *((Change.STEERED, SteeredBy("table 200"), kind) for kind in paths),
    }
    assert compare_policies(old, old) == []
