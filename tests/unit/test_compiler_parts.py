"""The parts of the compiler that decide on their own: terms, rates, names, identities."""

from __future__ import annotations

import pytest

from netfw.compiler.chain_name import chain_of_endpoint, chain_of_policy
from netfw.compiler.pipeline import compile_policy
from netfw.compiler.rate import match_rate
from netfw.compiler.source_map import SourceMap
from netfw.compiler.term import count_terms, expand_conditions, expand_traffic
from netfw.errors import HostError, Where
from netfw.ir.match import (
    AddressMatch,
    IcmpMatch,
    LimitMatch,
    MultiportMatch,
    PortRange,
    Ports,
    PortSide,
    ProtocolMatch,
    TcpMatch,
)
from netfw.ir.names import MAX_CHAIN_NAME, Family, TableName
from netfw.ir.net import Net
from netfw.ir.origin import Origin
from netfw.ir.target import Goto
from netfw.policy.conditions import Conditions
from netfw.policy.endpoint import Direction, Endpoint, EndpointKind
from netfw.policy.identity import Draft, name_rules
from netfw.policy.read import load
from netfw.policy.service_literal import parse_service
from netfw.policy.traffic import ANY


def terms(*services: str, sources: tuple[str, ...] = (), destinations: tuple[str, ...] = ()):
    conditions = Conditions(
        tuple(map(parse_service, services)),
        tuple(map(Net.parse, sources)),
        tuple(map(Net.parse, destinations)),
    )
    found = list(expand_conditions(conditions))
    assert len(found) == count_terms(conditions, len(expand_traffic(conditions.traffic)))
    return found


def test_single_port_needs_no_multiport():
    assert terms("tcp/22") == [
        (ProtocolMatch(6), TcpMatch(destination=Ports(PortRange(22, 22)))),
    ]


def test_ports_of_one_protocol_become_one_term():
    ports = (PortRange(80, 80), PortRange(443, 443), PortRange(8000, 8010))
    assert terms("tcp/443", "tcp/8000-8010", "tcp/80") == [
        (ProtocolMatch(6), MultiportMatch(PortSide.DESTINATION, ports)),
    ]


def test_ports_of_sctp_need_multiport_always():
    (term,) = terms("sctp/5060")
    assert term[1] == MultiportMatch(PortSide.DESTINATION, (PortRange(5060, 5060),))


def test_multiport_holds_fifteen_slots_and_a_range_takes_two():
    singles = [f"tcp/{port}" for port in range(1, 29, 2)]
    (first, second) = terms(*singles, "tcp/100-200", "tcp/300")
    assert isinstance(first[1], MultiportMatch)
    assert isinstance(second[1], MultiportMatch)
    assert len(first[1].ports) == 14
    assert second[1].ports == (PortRange(100, 200), PortRange(300, 300))


def test_ranges_that_overlap_become_one():
    (term,) = terms("udp/100-200", "udp/150-300", "udp/120")
    assert term[1].destination.ports == PortRange(100, 300)


def test_whole_protocol_covers_its_ports():
    assert terms("tcp", "tcp/80") == [(ProtocolMatch(6),)]


def test_each_icmp_type_is_a_term():
    found = terms("icmp/echo-request", "icmp/fragmentation-needed")
    assert [term[1] for term in found] == [IcmpMatch("icmp", 8), IcmpMatch("icmp", 3, (4, 4))]


def test_sources_and_destinations_are_combined():
    found = terms("any", sources=("10.0.0.0/8", "192.0.2.1"), destinations=("192.0.2.2",))
    assert [[str(match.net) for match in term] for term in found] == [
        ["10.0.0.0/8", "192.0.2.2/32"],
        ["192.0.2.1/32", "192.0.2.2/32"],
    ]


def test_net_of_all_addresses_needs_no_match():
    assert terms("tcp", sources=("10.0.0.0/8", "0.0.0.0/0")) == [(ProtocolMatch(6),)]
    assert not any(isinstance(match, AddressMatch) for match in terms("any")[0])


def test_any_is_one_empty_term():
    assert list(expand_conditions(Conditions((ANY,), (), ()))) == [()]


@pytest.mark.parametrize(
    ("rate", "unit", "kept"),
    [
        (5, "min", LimitMatch(5, "min")),
        (60, "min", LimitMatch(1, "sec")),
        (24, "day", LimitMatch(1, "hour")),
        (10_000, "sec", LimitMatch(10_000, "sec")),
        (3, "hour", LimitMatch(3, "hour")),
        (1, "day", LimitMatch(1, "day")),
    ],
)
def test_rate_is_kept_as_the_kernel_keeps_it(rate: int, unit: str, kept: LimitMatch):
    assert match_rate(rate, unit) == kept


def endpoint(name: str, kind: EndpointKind = EndpointKind.HOST) -> Endpoint:
    return Endpoint(name, kind, ("eth0",), Where("p.yaml"))


def test_chain_names_tell_what_is_judged():
    pods = endpoint("pods", EndpointKind.WORKLOAD)
    assert chain_of_endpoint(endpoint("wan"), Direction.INGRESS) == "NETFW-IN-wan"
    assert chain_of_endpoint(endpoint("wan"), Direction.EGRESS) == "NETFW-OUT-wan"
    assert chain_of_endpoint(pods, Direction.INGRESS) == "NETFW-TO-pods"
    assert chain_of_endpoint(pods, Direction.EGRESS) == "NETFW-FROM-pods"
    assert chain_of_policy("public", Direction.INGRESS) == "NETFW-P-public-IN"
    assert chain_of_policy("lan-to-internet", Direction.FORWARD) == "NETFW-P-lan-to-internet"


@pytest.mark.parametrize("length", [1, 16, 17, 18, 63])
@pytest.mark.parametrize("direction", Direction)
def test_chain_names_fit_the_kernel(length: int, direction: Direction):
    name = "x" * length
    found = [
        chain_of_policy(name, direction),
        chain_of_endpoint(endpoint(name, EndpointKind.WORKLOAD), direction),
    ]
    assert all(len(chain) <= MAX_CHAIN_NAME for chain in found)


def test_long_names_that_start_alike_get_chains_of_their_own():
    names = [f"the-customers-in-building-{number}" for number in range(100)]
    assert len({chain_of_policy(name, Direction.FORWARD) for name in names}) == 100


def test_rule_without_name_is_called_by_a_hash_of_what_it_says():
    (identity,) = name_rules("p", [Draft("allow", ["ssh"], None)])
    prefix, _, digits = identity.partition("-")
    assert prefix == "p/allow"
    assert len(digits) == 6


def test_repeated_rule_is_numbered():
    drafts = [Draft("allow", ["ssh"], None) for _ in range(3)]
    first, second, third = name_rules("p", drafts)
    assert (second, third) == (f"{first}.2", f"{first}.3")


def test_rules_that_share_a_short_hash_get_long_ones_in_any_order():
    drafts = [Draft("allow", [number], None) for number in range(12_000)]
    names = dict(zip(drafts, name_rules("p", drafts), strict=True))
    assert len(set(names.values())) == len(drafts)
    assert any(len(name) > len("p/allow-123456") for name in names.values())
    backwards = list(reversed(drafts))
    assert dict(zip(backwards, name_rules("p", backwards), strict=True)) == names


def test_given_name_that_looks_like_a_hash_is_not_given_twice():
    (hashed,) = name_rules("p", [Draft("allow", ["ssh"], None)])
    taken = hashed.removeprefix("p/")
    found = name_rules("p", [Draft("deny", ["http"], taken), Draft("allow", ["ssh"], None)])
    assert found[0] == hashed
    assert found[1] != hashed


def test_source_map_survives_json():
    origins = (Origin(Where("p.yaml", 3, 7), "a/b", "allow: ssh"), Origin(Where("p.yaml"), "c/d"))
    written = SourceMap(origins)
    assert SourceMap.from_json(written.to_json()) == written
    assert SourceMap.recorded(written.to_json()) == written
    assert written.origin_of("netfw:a/b") == origins[0]
    assert written.origin_of("somebody's: a/b") is None


@pytest.mark.parametrize("data", [[], {"a": {}}, {"a": {"file": "f", "line": "1"}}, {1: {}}])
def test_source_map_refuses_what_it_did_not_write(data: object):
    with pytest.raises(ValueError, match="source map"):
        SourceMap.from_json(data)
    recorded = SourceMap.recorded(data)
    with pytest.raises(HostError, match="source map"):
        len(recorded)


def test_source_map_has_one_origin_for_an_identity():
    twice = (Origin(Where("p.yaml", 3), "a/b"), Origin(Where("p.yaml", 9), "a/b"))
    with pytest.raises(ValueError, match="the same identity twice"):
        SourceMap(twice)


def test_a_verdict_chain_is_there_too_if_only_another_one_goes_to_it():
    policy = """\
version: 1
defaults: {established: ask, invalid: ask, dhcp: ask, path-mtu: ask}
failsafes: none
endpoints:
  pods: {workload: "veth+"}
policies:
  - {name: closed, at: pods, egress: [{deny: ssh}]}
"""
    (filtered,) = (
        table
        for table in compile_policy(load(policy, "p.yaml")).rulesets[Family.IPV6].tables
        if table.name is TableName.FILTER
    )
    callers = [
        chain.name
        for chain in filtered.chains
        if any(rule.target == Goto("NETFW-ACCEPT") for rule in chain.rules)
    ]
    assert callers == ["NETFW-NEIGHBOUR"]
    assert "NETFW-ACCEPT" in [chain.name for chain in filtered.chains]
