"""A change rehearsed in a twin: what it would do to a host, before it is done."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netfw.apply.rehearsal import Check, Rehearsal, Topic
from netfw.apply.rehearse import Trial, rehearse
from netfw.compiler.pipeline import compile_policy
from netfw.host.loader import take
from netfw.host.sysctl import read_settings
from netfw.host.twin_connection import parse_ssh_connection
from netfw.ir.names import Backend, Family, TableName
from netfw.plan.own import Own
from netfw.plan.own_of import own_of
from netfw.plan.plan import plan
from netfw.plan.settings import settings_of
from netfw.policy.read import load
from netfw.verify.result import Result
from tests.kernel.backends import FIRST_ONE
from tests.kernel.hosts import Host

pytestmark = pytest.mark.kernel

each_backend = pytest.mark.parametrize("backend", FIRST_ONE, ids=str)
TWO_INTERFACES = """\
version: 1
endpoints:
  wan: {host: eth0}
  lan: {host: eth1}
nets:
  office: [198.51.100.0/24, "2001:db8:99::/48"]
policies:
  - name: public
    at: wan
    ingress:
      - allow: [http, https]
      - {allow: ssh, from: office}
  - name: out
    from: lan
    to: wan
    forward:
      - allow: [http, dns]
assert:
  - allowed: {in: wan, to: host, service: https}
  - denied: {in: wan, to: host, service: tcp/5432}
  - denied: {in: wan, out: lan, service: any}
  - allowed: {in: lan, out: wan, service: http}
"""
ONE_INTERFACE = """\
version: 1
endpoints: {wan: {host: eth0}}
policies:
  - name: public
    at: wan
    ingress: [{allow: http}]
"""
CLOSED = f"{TWO_INTERFACES}failsafes: {{ingress: [{{service: ssh, from: 192.0.2.200}}]}}\n"
"""Without the failsafe that lets everybody in by SSH."""
STEER = """\
steer:
  - {in: lan, service: http, table: 100, via: {out: wan, gateway: [192.0.2.9, "2001:db8::9"]}}
assert:
  - allowed: {in: lan, out: wan, service: http}
"""
FROM_OFFICE = "198.51.100.7 51000 192.0.2.10 22"
FROM_ELSEWHERE = "203.0.113.7 51000 192.0.2.10 22"
FROM_ELSEWHERE_6 = "2001:db8:77::7 51000 2001:db8::10 22"


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as made:
        made.write("net/ipv4/ip_forward", 1)
        made.write("net/ipv6/conf/all/forwarding", 1)
        yield made


def trial_of(host: Host, text: str, backend: Backend, connection: str = "") -> Trial:
    policy = load(text, "policy.yaml")
    compiled = compile_policy(policy)
    values = read_settings([each.name for each in compiled.settings], host.live)
    wanted = own_of(compiled, settings_of(compiled.settings, values))
    ends = parse_ssh_connection(connection)
    return Trial(backend, wanted, (policy, compiled), connection=ends)


def rehearsed(
    host: Host, text: str, backend: Backend = Backend.NFT, connection: str = ""
) -> Rehearsal:
    return rehearse(trial_of(host, text, backend, connection), host.live)


def that_are(rehearsal: Rehearsal, result: Result, topic: Topic | None = None) -> list[Check]:
    return [
        check
        for check in rehearsal.checks
        if check.result is result and topic in (None, check.topic)
    ]


@each_backend
def test_a_policy_that_fits_agrees_in_everything(host: Host, backend: Backend):
    rehearsal = rehearsed(host, TWO_INTERFACES, backend, FROM_OFFICE)
    assert [str(check) for check in rehearsal.checks if check.result is not Result.AGREE] == []
    assert rehearsal.lacking == ()
    assert rehearsal.result is Result.AGREE
    assert not rehearsal.cuts_connection
    assert len(rehearsal.of(Topic.CONNECTION)) == 2
    assert len(rehearsal.of(Topic.ASSERTION)) >= 8
    assert len(rehearsal.of(Topic.PACKET)) >= 20


@each_backend
@pytest.mark.parametrize("line", [FROM_ELSEWHERE, FROM_ELSEWHERE_6], ids=["IPv4", "IPv6"])
def test_a_connection_that_would_be_cut_is_noticed(host: Host, backend: Backend, line: str):
    rehearsal = rehearsed(host, CLOSED, backend, line)
    assert [check.reason for check in that_are(rehearsal, Result.DIFFER)] == [
        "what the client sends does not arrive",
        "nobody answers",
    ]
    assert rehearsal.cuts_connection
    assert rehearsal.exit_code == 1
    assert not rehearsed(host, CLOSED, backend, FROM_OFFICE).cuts_connection


@each_backend
def test_a_connection_that_lives_on_but_could_not_be_opened_again_is_noticed(
    host: Host, backend: Backend
):
    # connections are followed already, so that this one is known before the change
    host.load(backend, "*filter\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n")
    rehearsal = rehearsed(host, CLOSED, backend, FROM_ELSEWHERE)
    living, new = rehearsal.of(Topic.CONNECTION)
    assert living.result is Result.AGREE
    assert (new.result, new.reason) == (Result.DIFFER, "nobody answers")
    assert rehearsal.cuts_connection


def test_a_connection_that_others_rules_refuse_already_shows_nothing(host: Host):
    host.load(Backend.NFT, "*mangle\n-A PREROUTING -p tcp --dport 22 -j DROP\nCOMMIT\n")
    rehearsal = rehearsed(host, CLOSED, connection=FROM_OFFICE)
    assert {check.result for check in rehearsal.of(Topic.CONNECTION)} == {Result.INCONCLUSIVE}
    assert not rehearsal.cuts_connection


@each_backend
def test_rules_of_docker_and_others_stay_and_what_the_policy_does_not_cover_fares_as_before(
    host: Host, backend: Backend
):
    host.sh("ipset create banned hash:ip; ipset add banned 203.0.113.66")
    host.add_docker(backend)
    banned = "-A FORWARD -m set --match-set banned src -j DROP"
    host.load(backend, f"*filter\n{banned}\nCOMMIT\n", [Family.IPV4])
    host.sh("nft add table inet mine; nft add chain inet mine note")
    rehearsal = rehearsed(host, TWO_INTERFACES, backend, FROM_OFFICE)
    assert that_are(rehearsal, Result.DIFFER) == []
    assert rehearsal.result is Result.AGREE
    assert [check.what for check in rehearsal.of(Topic.FOREIGN)] == [
        f"{backend} IPv4 table filter",
        f"{backend} IPv4 table nat",
        "nft table inet mine",
        "sets",
    ]
    ways = {check.what.partition(" (")[2] for check in rehearsal.of(Topic.PACKET)}
    assert {"docker0 → eth0)", "eth0 → docker0)", "docker0 → this host)"} <= ways


@each_backend
def test_what_a_rule_of_others_denies_although_the_policy_allows_it_is_named(
    host: Host, backend: Backend
):
    host.load(backend, "*mangle\n-A PREROUTING -p tcp -m tcp --dport 443 -j DROP\nCOMMIT\n")
    rehearsal = rehearsed(host, TWO_INTERFACES, backend)
    broken = that_are(rehearsal, Result.DIFFER, Topic.ASSERTION)
    assert [check.origin.where.line for check in broken if check.origin] == [19, 19]
    for check in broken:
        assert "an assertion says accepted, but it does not get through" in check.reason
        assert "mangle PREROUTING: -p tcp -m tcp --dport 443 -j DROP" in check.reason
    assert rehearsal.exit_code == 1


def test_a_host_that_forwards_nothing_cannot_show_what_is_forwarded(host: Host):
    host.write("net/ipv4/ip_forward", 0)
    rehearsal = rehearsed(host, TWO_INTERFACES)
    (unshown, other) = that_are(rehearsal, Result.INCONCLUSIVE)
    assert unshown.reason == "no packet of IPv4 that it describes can come to be on this host"
    assert {unshown.origin.where.line, other.origin.where.line} == {21, 22}
    assert rehearsal.exit_code == 4


def test_what_depends_on_something_that_the_twin_lacks_is_inconclusive(host: Host):
    host.sh("tc qdisc add dev eth1 clsact")
    rehearsal = rehearsed(host, TWO_INTERFACES)
    assert rehearsal.lacking == ("what tc does at eth1 (qdisc clsact)",)
    assert that_are(rehearsal, Result.DIFFER) == []
    for check in rehearsal.of(Topic.PACKET) + rehearsal.of(Topic.ASSERTION):
        concerned = "eth1" in check.what
        assert check.result is (Result.INCONCLUSIVE if concerned else Result.AGREE), check
    assert rehearsal.result is Result.INCONCLUSIVE


@each_backend
def test_a_policy_that_steers_beside_routing_rules_of_others(host: Host, backend: Backend):
    host.ip(
        "rule add preference 50 from 10.0.0.128/25 lookup 77",
        "route add table 77 default via 10.0.0.99",
        "-6 rule add preference 50 from fd00::8000/113 lookup 77",
    )
    text = TWO_INTERFACES.partition("assert:")[0] + STEER
    rehearsal = rehearsed(host, text, backend, FROM_OFFICE)
    assert that_are(rehearsal, Result.DIFFER) == []
    assert rehearsal.result is Result.AGREE


@each_backend
def test_a_step_that_the_kernel_refuses_is_named_with_its_rule(host: Host, backend: Backend):
    trial = trial_of(host, TWO_INTERFACES, backend)
    tables = dict(trial.wanted.tables)
    table = tables[Family.IPV4, TableName.FILTER]
    odd = '-m comment --comment "netfw:public/odd" -j NO-SUCH-CHAIN'
    name = next(iter(table.chains))
    chains = {**table.chains, name: (odd, *table.chains[name])}
    tables[Family.IPV4, TableName.FILTER] = replace(table, chains=chains)
    rehearsal = rehearse(replace(trial, wanted=replace(trial.wanted, tables=tables)), host.live)
    (check,) = rehearsal.checks
    assert (check.topic, check.result) == (Topic.CHANGE, Result.DIFFER)
    assert "IPv4 table filter" in check.what
    assert "NO-SUCH-CHAIN" in check.reason


def test_a_second_rehearsal_on_top_of_what_is_applied_takes_no_step(host: Host):
    trial = trial_of(host, TWO_INTERFACES, Backend.NFT)
    for step in plan(Own(), trial.wanted).steps:
        take(step, Backend.NFT, host.live)
    rehearsal = rehearse(trial, host.live)
    assert rehearsal.steps == 0
    assert rehearsal.result is Result.AGREE


@each_backend
def test_what_an_old_policy_denied_and_the_new_one_leaves_to_others_is_no_difference(
    host: Host, backend: Backend
):
    host.load(backend, "*filter\n-A INPUT -p udp -m udp --dport 9999 -j DROP\nCOMMIT\n")
    old = trial_of(host, TWO_INTERFACES, backend)
    for step in plan(Own(), old.wanted).steps:
        take(step, backend, host.live)
    new = trial_of(host, ONE_INTERFACE, backend)
    rehearsal = rehearse(replace(new, recorded=old.wanted), host.live)
    assert that_are(rehearsal, Result.DIFFER) == []
    assert rehearsal.result is Result.AGREE
    assert "eth1 → this host" in " ".join(check.what for check in rehearsal.of(Topic.PACKET))


def test_the_host_is_only_read(host: Host):
    host.add_docker(Backend.NFT)
    script = "iptables-save; ip6tables-save; nft list ruleset; ip rule; ip route show table all"
    counters = re.compile(r" \[\d+:\d+\]$|packets \d+ bytes \d+|^#.*", re.MULTILINE)
    before = counters.sub("", host.sh(script))
    rehearsed(host, TWO_INTERFACES, connection=FROM_OFFICE)
    assert counters.sub("", host.sh(script)) == before
