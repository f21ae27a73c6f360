"""Services: what a word stands for, and what is wrong with one that cannot be."""

from __future__ import annotations

import pytest

from netfw.errors import PolicyError
from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.ir.protocols import DCCP, ICMP, ICMPV6, TCP, UDP, UDPLITE
from netfw.policy.builtin_services import BUILTIN_SERVICES
from netfw.policy.flow import Flow, is_of_kind
from netfw.policy.iana_services import IANA_SERVICES
from netfw.policy.icmp_names import BOTH_ICMP_NAMES
from netfw.policy.read import load
from netfw.policy.service_literal import LITERAL_WORDS, format_service, parse_services
from netfw.policy.traffic import IcmpKind, Traffic

HEAD = "version: 1\nendpoints: {wan: {host: eth0}}\n"


def traffic_of(service: str, definitions: str = "{}") -> set[Traffic]:
    services = "" if definitions == "{}" else f"services: {definitions}\n"
    policies = f"policies: [{{name: p, at: wan, ingress: [allow: {service}]}}]\n"
    ((_, rule),) = load(HEAD + services + policies, "p.yaml").rules()
    return set(rule.criteria.traffic)


def faults_of(services: str) -> list[tuple[str, str]]:
    with pytest.raises(PolicyError) as caught:
        load(f"version: 1\nservices: {services}\n", "p.yaml")
    return [(fault.place.removeprefix("p.yaml:"), fault.problem) for fault in caught.value.faults]


def ports(first: int, last: int | None = None) -> PortRange:
    return PortRange(first, first if last is None else last)


ECHO = {Traffic(ICMP, icmp=IcmpKind(8)), Traffic(ICMPV6, icmp=IcmpKind(128))}


@pytest.mark.parametrize(
    ("service", "traffic"),
    [
        ("domain", {Traffic(TCP, ports(53)), Traffic(UDP, ports(53))}),
        ("kerberos", {Traffic(TCP, ports(88)), Traffic(UDP, ports(88))}),
        ("proto/47", {Traffic(47)}),
        ("proto/pim", {Traffic(103)}),
        ("proto/6", {Traffic(TCP)}),
        ("udplite/5000", {Traffic(UDPLITE, ports(5000))}),
        ("dccp/1-2", {Traffic(DCCP, ports(1, 2))}),
        ("echo-request", ECHO),
        ("ping", ECHO),
        ("icmp-any/echo-request", ECHO),
        ("icmp-any", {Traffic(ICMP), Traffic(ICMPV6)}),
        (
            "packet-too-big",
            {Traffic(ICMP, icmp=IcmpKind(3, (4, 4))), Traffic(ICMPV6, icmp=IcmpKind(2))},
        ),
    ],
)
def test_word_stands_for_the_same_on_every_host(service: str, traffic: set[Traffic]) -> None:
    assert traffic_of(service) == traffic


def test_source_ports_go_with_every_port_of_a_service() -> None:
    found = traffic_of("a", "{a: {tcp: [80, 443], udp: any, from-ports: [53, 1024-65535]}}")
    sources = (ports(53), ports(1024, 65535))
    assert found == {
        Traffic(protocol, port, source_ports=source)
        for protocol, port in ((TCP, ports(80)), (TCP, ports(443)), (UDP, None))
        for source in sources
    }


def test_packet_must_come_from_a_source_port_of_the_service() -> None:
    kind = Traffic(UDP, ports(68), source_ports=ports(67))
    flow = Flow(Family.IPV4, "eth0", "", 1, 2, UDP, 68, source_port=67)
    other = Flow(Family.IPV4, "eth0", "", 1, 2, UDP, 68, source_port=66)
    assert is_of_kind(kind, flow)
    assert not is_of_kind(kind, other)


def test_services_nest_with_mappings_and_literals() -> None:
    definitions = "{a: [b, ssh, {tcp: 9000}], b: [{udp: 1-2}, proto/99]}"
    assert traffic_of("a", definitions) == {
        Traffic(UDP, ports(1, 2)),
        Traffic(99),
        Traffic(TCP, ports(22)),
        Traffic(TCP, ports(9000)),
    }


def test_definition_counts_more_than_a_registered_name() -> None:
    assert traffic_of("kerberos", "{kerberos: tcp/1088}") == {Traffic(TCP, ports(1088))}


@pytest.mark.parametrize("name", [*IANA_SERVICES, *BOTH_ICMP_NAMES])
def test_registered_name_is_sound(name: str) -> None:
    assert traffic_of(name)


def test_no_word_has_two_meanings() -> None:
    kinds = [set(IANA_SERVICES), set(BUILTIN_SERVICES), set(BOTH_ICMP_NAMES), set(LITERAL_WORDS)]
    assert len(set.union(*kinds)) == sum(map(len, kinds))


@pytest.mark.parametrize("literal", ["proto/99", "proto/gre", "udplite/5", "dccp"])
def test_literal_is_read_as_it_is_spelled(literal: str) -> None:
    (traffic,) = parse_services(literal)
    assert parse_services(format_service(traffic)) == (traffic,)


@pytest.mark.parametrize(
    ("services", "place", "problem"),
    [
        ("{a: proto/0}", "2:15", "'proto/0' is a header of IPv6 and no protocol"),
        ("{a: proto/ipv6-frag}", "2:15", "'proto/ipv6-frag' is a header of IPv6"),
        ("{a: proto/256}", "2:15", "'proto/256': '256' is no protocol"),
        ("{a: proto/tpc}", "2:15", "'proto/tpc': 'tpc' is no protocol"),
        ("{a: proto}", "2:15", "'proto': '' is no protocol"),
        ("{a: 47}", "2:15", "'47' may be a port or a protocol"),
        ("{a: icmp-any/8}", "2:15", "'icmp-any/8': '8' is no type of both ICMP and ICMPv6"),
        ("{a: {from-ports: 53}}", "2:15", "this service has no protocol"),
        ("{a: {tcp: 80, sport: 53}}", "2:25", "unknown key 'sport' in a service"),
        ("{a: {tcp: http}}", "2:21", "'http': 'http' is not a port or a range of ports"),
        ("{a: {tcp: 80, from-ports: 0}}", "2:37", "'0': ports go from 1 to 65535"),
        ("{a: {tcp: []}}", "2:21", "'tcp' is an empty list"),
        ("{icmp-any: ssh}", "2:12", "'icmp-any' cannot be the name of a service"),
        ("{a: kerberoz}", "2:15", "unknown service 'kerberoz'"),
    ],
)
def test_fault_of_a_service_has_its_place(services: str, place: str, problem: str) -> None:
    assert [(got, words[: len(problem)]) for got, words in faults_of(services)] == [
        (place, problem)
    ]
