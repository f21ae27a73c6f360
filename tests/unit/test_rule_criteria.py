"""What a rule may ask of a packet: faults, and what the policy says of single packets."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from netfw.cli.main import main
from netfw.errors import PolicyError
from netfw.ir.clock import Clock
from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.policy.flow import Flow
from netfw.policy.judge import Verdict, judge
from netfw.policy.read import load

HEAD = (
    "version: 1\nendpoints:\n  wan: {host: eth0}\n  lan: {host: eth1}\n  pods: {workload: veth+}\n"
    "policies:\n  - name: p\n    at: "
)


def rule_at(rule: str, at: str = "wan", direction: str = "ingress") -> str:
    """A policy with one rule, in line 10."""
    return f"{HEAD}{at}\n    {direction}:\n      - {{{rule}}}\n"


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("allow: {not: any}", "'not' of 'allow' excepts every packet"),
        ("allow: {any-of: tcp}", "'allow' lacks the key 'not'"),
        ("allow: tcp, from: {not: [0.0.0.0/0, '::/0']}", "no packet can match this rule"),
        ("allow: any, source-ports: 80", "'source-ports' beside services that have no ports"),
        ("allow: tcp, source-ports: 0", "'0': ports go from 1 to 65535"),
        (
            "allow: [tcp, udp], tcp-flags: {set: syn}",
            "'tcp-flags' beside services that are not of",
        ),
        ("allow: any, tcp-flags: {set: syn}", "'tcp-flags' beside services that are not of tcp"),
        ("allow: tcp, tcp-flags: {}", "'tcp-flags' names no flag"),
        ("allow: tcp, tcp-flags: syn", "'tcp-flags' must be a mapping"),
        ("allow: tcp, tcp-flags: {set: sin}", "unknown flag 'sin'"),
        (
            "allow: tcp, tcp-flags: {set: [syn, ack], clear: ack}",
            "'ack' is to be both set and cle",
        ),
        ("allow: tcp, tcp-flags: {not: {unset: ack}}", "unknown key 'unset' in 'tcp-flags'"),
        ("allow: tcp, mac: 00:16:3e", "'00:16:3e' is not a hardware address"),
        ("allow: tcp, user: root", "'user' for packets that this host does not send"),
        ("allow: tcp, out: lan", "'out' in the ingress of a host endpoint"),
        ("allow: tcp, mark: 0x10000/0x10000", "asks for bits of netfw's own field 0xf0000"),
        ("allow: tcp, mark: 0x2/0x1", "has value bits 0x2 outside its mask"),
        ("allow: tcp, ip: 5", "'ip' cannot be '5'"),
        ("allow: tcp, ip: 6, from: 192.0.2.1", "no packet can match this rule"),
        ("allow: tcp, state: fresh", "unknown state 'fresh'"),
        ("allow: tcp, time: {from: '25:00'}", "'25:00' is not a time of the day"),
        ("allow: tcp, time: {from: '08:00', to: '08:00'}", "'time' ends when it begins"),
        ("allow: tcp, time: {days: someday}", "unknown day 'someday'"),
        ("allow: tcp, time: {days: mon-sun}", "'time' is always"),
        ("allow: tcp, time: {zone: mars}", "'zone' cannot be 'mars'"),
        ("allow: tcp, expires: 2040-01-01", "'expires' cannot be 2040-01-01"),
        ("allow: tcp, expires: soon", "'soon' is not a date"),
        ("allow: tcp, starts: 2027-01-02, expires: 2027-01-01", "is before 'starts'"),
        ("allow: tcp, rate: often", "'often' is not a rate"),
        ("allow: tcp, rate: 1/day", "takes longer than a day to come back"),
        ("allow: tcp, rate: {most: 1/second, per: colour}", "'per' cannot be 'colour'"),
        ("allow: tcp, rate: {most: 1/second, per: source-net/24}", "bits of IPv6 addresses too"),
        ("log: {rate: 1/day}", "'1/day': the kernel cannot count so slowly"),
        ("allow: tcp, connections: none", "'connections' 'none' is not a number"),
        ("allow: tcp, connections: {most: 1, per: all}", "'per' cannot be 'all'"),
        ("allow: tcp, with: tcp-reset", "'with' beside 'allow'"),
        ("reject: udp, with: tcp-reset", "'tcp-reset' answers tcp only"),
        ("reject: tcp, with: proto-unreachable", "IPv6 has no answer 'proto-unreachable'"),
        ("reject: tcp, with: kindness", "'with' cannot be 'kindness'"),
    ],
)
def test_a_fault_of_a_criterion_is_told_with_the_line_of_its_rule(rule: str, problem: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load(rule_at(rule), "p.yaml")
    assert [fault for fault in caught.value.faults if problem in fault.problem]
    assert all(fault.place.startswith("p.yaml:10:") for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("allow: tcp, mac: '00:16:3e:00:00:01'", "'mac' in egress"),
        ("allow: tcp, in: lan", "'in' in the egress of a host endpoint"),
        ("allow: tcp, user: www-data", "nothing is known of the host"),
        ("allow: tcp, user: 9-1", "numbers of users go up to"),
    ],
)
def test_what_this_host_sends_has_criteria_of_its_own(rule: str, problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        load(rule_at(rule, direction="egress"), "p.yaml")


def packet(when: str = "", **known: int) -> Flow:
    source, destination = (parse_address(text)[1] for text in ("192.0.2.7", "192.0.2.1"))
    clock = None
    if when:
        moment = datetime.fromisoformat(when).replace(tzinfo=UTC)
        clock = Clock(int(moment.timestamp()))
    return Flow(Family.IPV4, "eth0", "", source, destination, 6, 443, clock=clock, **known)


@pytest.mark.parametrize(
    ("time", "when", "holds"),
    [
        ("{from: '08:00', to: '18:00'}", "2026-11-26T08:00:00", True),
        ("{from: '08:00', to: '18:00'}", "2026-11-26T17:59:59", True),
        ("{from: '08:00', to: '18:00'}", "2026-11-26T18:00:00", False),
        ("{days: fri, from: '22:00', to: '06:00'}", "2026-11-28T05:59:59", True),
        ("{days: fri, from: '22:00', to: '06:00'}", "2026-11-27T05:00:00", False),
        ("{days: [sat, sun]}", "2026-11-29T12:00:00", True),
        ("{not: {days: [sat, sun]}}", "2026-11-29T12:00:00", False),
        ("{days: mon-sat}", "2038-01-20T12:00:00", False),
    ],
)
def test_hours_and_days_are_those_of_the_clock(time: str, when: str, holds: bool) -> None:
    policy = load(rule_at(f"allow: https, time: {time}"), "p.yaml")
    expected = Verdict.ALLOWED if holds else Verdict.DENIED
    assert judge(policy, packet(when)).verdict is expected


def test_a_rule_is_in_force_to_the_end_of_the_day_it_expires() -> None:
    policy = load(rule_at("allow: https, starts: 2026-11-01, expires: 2026-11-26"), "p.yaml")
    for when, verdict in (
        ("2026-10-31T23:59:59", Verdict.DENIED),
        ("2026-11-01T00:00:00", Verdict.ALLOWED),
        ("2026-11-26T23:59:59", Verdict.ALLOWED),
        ("2026-11-27T00:00:00", Verdict.DENIED),
    ):
        assert judge(policy, packet(when)).verdict is verdict


def test_what_is_not_known_of_a_packet_leaves_it_undecided_only_where_it_matters() -> None:
    policy = load(rule_at("allow: https, mac: '00:16:3e:00:00:01'"), "p.yaml")
    assert judge(policy, packet()).verdict is Verdict.UNDECIDED
    assert judge(policy, packet(hardware=0x00163E000001)).verdict is Verdict.ALLOWED
    assert judge(policy, packet(hardware=-1)).verdict is Verdict.DENIED
    same = load(rule_at("deny: https, mac: '00:16:3e:00:00:01'"), "p.yaml")
    assert judge(same, packet()).verdict is Verdict.DENIED


@pytest.mark.parametrize(
    ("written", "met", "not_met"),
    [
        ("{set: syn}", [2, 18, 3], [0, 16]),
        ("{clear: [ack, rst]}", [0, 2, 1], [16, 18, 4]),
        ("{set: syn, clear: [ack, rst, fin]}", [2, 2 | 8], [18, 16, 6, 3]),
        ("{not: {set: syn, clear: [ack, rst, fin]}}", [18, 16, 6, 3], [2, 2 | 8]),
        ("{not: {set: [fin, psh, urg]}}", [0, 1, 1 | 8], [41, 63]),
    ],
)
def test_flags_that_are_not_named_may_be_either(
    written: str, met: list[int], not_met: list[int]
) -> None:
    policy = load(rule_at(f"allow: https, tcp-flags: {written}"), "p.yaml")
    for verdict, those in ((Verdict.ALLOWED, met), (Verdict.DENIED, not_met)):
        for flags in those:
            assert judge(policy, packet(tcp_flags=flags)).verdict is verdict, flags
    assert judge(policy, packet()).verdict is Verdict.UNDECIDED


def test_check_warns_of_a_rule_that_has_expired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(rule_at("allow: https, expires: 2026-11-26"))
    main(["check", str(path), "--today", "2026-11-26"])
    assert "[expired]" not in capsys.readouterr().out
    assert main(["check", str(path), "--today", "2026-11-27"]) == 1
    assert "is over since the end of 2026-11-26 [expired]" in capsys.readouterr().out
