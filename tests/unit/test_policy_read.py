"""What a policy says is read as it is meant."""

from __future__ import annotations

import pytest

from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import TCP
from netfw.policy.builtin_services import BUILTIN_SERVICES
from netfw.policy.endpoint import Direction
from netfw.policy.read import load
from netfw.policy.rule import Action, LogSettings, PolicyRule
from netfw.policy.service_literal import format_service, parse_service
from netfw.policy.traffic import ANY, IcmpKind, Traffic

ENDPOINTS = (
    "version: 1\nendpoints:\n  wan: {host: eth0}\n  lan: {host: [eth1, eth2]}\n"
    "  pods: {workload: veth+}\n"
)


def read_rule(rule: str, definitions: str = "") -> PolicyRule:
    text = f"{ENDPOINTS}{definitions}policies:\n  - name: p\n    at: wan\n    ingress:\n"
    (found,) = load(f"{text}      - {rule}\n", "p.yaml").rules()
    return found[1]


@pytest.mark.parametrize(
    ("literal", "traffic"),
    [
        ("any", ANY),
        ("tcp", Traffic(TCP)),
        ("tcp/80", Traffic(TCP, PortRange(80, 80))),
        ("udp/1000-2000", Traffic(17, PortRange(1000, 2000))),
        ("udp/1000:2000", Traffic(17, PortRange(1000, 2000))),
        ("sctp/1-65535", Traffic(132, PortRange(1, 65535))),
        ("icmp/echo-request", Traffic(1, icmp=IcmpKind(8))),
        ("icmp/3/4", Traffic(1, icmp=IcmpKind(3, (4, 4)))),
        ("icmpv6/packet-too-big", Traffic(58, icmp=IcmpKind(2))),
        ("esp", Traffic(50)),
    ],
)
def test_service_literal_is_read(literal: str, traffic: Traffic):
    assert parse_service(literal) == traffic
    assert parse_service(format_service(traffic)) == traffic


def test_port_range_is_no_sexagesimal_number():
    assert read_rule("allow: tcp/22:59").criteria.traffic == (Traffic(TCP, PortRange(22, 59)),)


@pytest.mark.parametrize("name", BUILTIN_SERVICES)
def test_builtin_service_is_sound(name: str):
    assert read_rule(f"allow: {name}").families


def test_quotes_change_nothing():
    plain = read_rule("{allow: ssh, from: 10.0.0.0/8}")
    quoted = read_rule("{'allow': \"ssh\", from: '10.0.0.0/8'}")
    assert quoted == plain
    assert quoted.identity == plain.identity


def test_definitions_may_name_each_other_in_any_order():
    definitions = "nets: {a: [b, 10.0.0.1], b: 192.0.2.0/24}\nservices: {x: [y, ssh], y: http}\n"
    rule = read_rule("{allow: x, from: a}", definitions)
    assert [str(net) for net in rule.criteria.sources] == ["192.0.2.0/24", "10.0.0.1/32"]
    assert [format_service(kind) for kind in rule.criteria.traffic] == ["tcp/80", "tcp/22"]


def test_builtin_service_may_be_written_down_again():
    rule = read_rule("allow: ssh", "services: {ssh: tcp/22}\n")
    assert rule.criteria.traffic == (Traffic(TCP, PortRange(22, 22)),)


def test_net_and_endpoint_may_share_a_name():
    rule = read_rule("{allow: ssh, from: lan}", "nets: {lan: 10.0.0.0/8}\n")
    assert rule.criteria.sources == (Net.parse("10.0.0.0/8"),)


def test_address_of_one_family_makes_the_rule_one_of_that_family():
    rule = read_rule("{allow: ping, from: 10.0.0.0/8}")
    assert rule.families == (Family.IPV4,)
    assert rule.conditions(Family.IPV6) is None
    conditions = rule.conditions(Family.IPV4)
    assert conditions is not None
    assert conditions.traffic == (Traffic(1, icmp=IcmpKind(8)),)


def test_rule_without_addresses_is_about_both_families():
    rule = read_rule("deny: any")
    assert rule.families == (Family.IPV4, Family.IPV6)
    assert rule.action is Action.DENY


@pytest.mark.parametrize(
    ("written", "settings"),
    [
        ("{prefix: denied, rate: 5/minute}", LogSettings("denied", 5, "min")),
        ("{rate: 2/s}", LogSettings("p", 2, "sec")),
        ("{rate: unlimited}", LogSettings("p", None)),
        ("ssh", LogSettings("p", 10, "min")),
    ],
)
def test_log_has_defaults(written: str, settings: LogSettings):
    assert read_rule(f"log: {written}").log == settings


def test_rule_knows_where_it_stands_and_what_was_written():
    origin = read_rule("{allow: [ssh, http], from: 10.0.0.0/8, name: mine}").origin
    assert str(origin) == "p.yaml:10:9 p/mine"
    assert origin.text == "allow: [ssh, http], from: 10.0.0.0/8, name: mine"


def test_mask_moves_the_field():
    policy = load("version: 1\nmarks: {mask: 0x0f000000}\n", "p.yaml")
    assert policy.field.mask == 0x0F000000
    assert str(policy.field_where) == "p.yaml:2:1"


@pytest.mark.parametrize(
    ("egress", "forward", "covered"),
    [
        (False, "", {Direction.INGRESS}),
        (True, "", {Direction.INGRESS, Direction.EGRESS}),
        (False, "from: wan", {Direction.INGRESS, Direction.FORWARD}),
        (False, "to: wan", {Direction.INGRESS, Direction.FORWARD}),
        (False, "from: lan", {Direction.INGRESS}),
    ],
)
def test_coverage_of_a_host_endpoint(egress: bool, forward: str, covered: set[Direction]):
    text = f"{ENDPOINTS}policies:\n  - {{name: a, at: lan, ingress: [allow: any]}}\n"
    if egress:
        text += "  - {name: b, at: wan, egress: [allow: any]}\n"
    if forward:
        text += f"  - {{name: c, {forward}, forward: [allow: any]}}\n"
    policy = load(text, "p.yaml")
    wan = policy.endpoint("wan")
    assert {direction for direction in Direction if policy.is_covered(wan, direction)} == covered


def test_both_directions_of_a_workload_are_covered_without_any_policy():
    policy = load(ENDPOINTS, "p.yaml")
    (pods,) = policy.workloads
    assert policy.is_covered(pods, Direction.INGRESS)
    assert policy.is_covered(pods, Direction.EGRESS)


def test_interface_leads_to_its_endpoint():
    policy = load(ENDPOINTS, "p.yaml")
    found = [policy.endpoint_of(name) for name in ("eth2", "veth7", "lo")]
    assert [endpoint and endpoint.name for endpoint in found] == ["lan", "pods", None]


@pytest.mark.parametrize(
    ("to", "service", "address", "ports"),
    [
        ("10.0.0.5:443", "tcp/8443", "10.0.0.5/32", PortRange(443, 443)),
        ("10.0.0.5", "any", "10.0.0.5/32", None),
        ("10.0.0.5:5-9", "tcp/5-9", "10.0.0.5/32", PortRange(5, 9)),
        ("'[2001:db8::5]:443'", "tcp/8443", "2001:db8::5/128", PortRange(443, 443)),
        ("2001:db8::5", "tcp/8443", "2001:db8::5/128", None),
        ("'[2001:db8::5]'", "tcp/8443", "2001:db8::5/128", None),
    ],
)
def test_dnat_target_is_read(to: str, service: str, address: str, ports: PortRange | None):
    text = f"{ENDPOINTS}nat:\n  - dnat: {{in: wan, service: {service}, to: {to}}}\n"
    (dnat,) = load(text, "p.yaml").translations
    (turn,), (permission,) = dnat.turns, dnat.permissions
    assert turn.new is not None
    assert (None if turn.new.ports is None else turn.new.ports.span) == ports
    translated = permission.conditions(permission.family)
    assert translated is not None
    assert [str(net) for net in translated.destinations] == [address]
