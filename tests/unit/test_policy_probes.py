"""Probes that a policy asks for."""

from pathlib import Path

import pytest

from netfw.ir.clock import Clock
from netfw.ir.names import Family
from netfw.policy.model import Policy
from netfw.policy.read import load
from netfw.traverse.nat import LOOPBACK_ADDRESS
from netfw.traverse.situation import Path as Way
from netfw.traverse.situation import Phase
from netfw.verify.policy_probes import policy_layout, policy_probes
from netfw.verify.probe import Expected, Probe
from netfw.verify.probe_writer import ProbeWriter

EXAMPLES = sorted((Path(__file__).parents[2] / "netfw" / "examples").glob("*.yaml"))
POLICY = """\
version: 1
endpoints:
  wan: {host: eth0}
  pods: {workload: "veth+"}
policies:
  - name: public
    at: wan
    ingress:
      - allow: tcp/1000-2000
        from: 192.0.2.0/24
        name: range
      - allow: any
        from: 127.0.0.0/8
        name: impossible
"""


NOW = Clock(1_800_000_000)


def write(text: str, family: Family = Family.IPV4) -> ProbeWriter:
    policy = load(text, "policy.yaml")
    return policy_probes(policy, family, policy_layout(policy), NOW)


def of_group(writer: ProbeWriter, group: str) -> list[Probe]:
    return [probe for probe in writer.probes if probe.group == group]


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.name)
def example(request: pytest.FixtureRequest) -> Policy:
    return load(request.param.read_text(), request.param.name)


@pytest.mark.parametrize("family", Family)
def test_every_probe_has_a_number_and_every_first_packet_a_connection_of_its_own(
    example: Policy, family: Family
) -> None:
    probes = policy_probes(example, family, policy_layout(example), NOW).probes
    assert [probe.number for probe in probes] == list(range(1, len(probes) + 1))
    firsts = [probe.packet for probe in probes if probe.phase is Phase.FIRST]
    assert len(set(firsts)) == len(firsts)


@pytest.mark.parametrize("family", Family)
def test_every_rule_of_the_examples_is_probed_or_named_as_left_out(
    example: Policy, family: Family
) -> None:
    writer = policy_probes(example, family, policy_layout(example), NOW)
    groups = {probe.group for probe in writer.probes}
    left_out = " ".join(writer.left_out)
    for _, rule in example.rules():
        if rule.conditions(family) is not None:
            assert rule.identity in groups or rule.identity in left_out


def test_a_range_is_probed_at_its_edges_and_just_outside() -> None:
    probes = of_group(write(POLICY), "public/range")
    by_port = {
        probe.packet.destination_port: probe.expected
        for probe in probes
        if probe.packet.source == 0xC0000201
    }
    assert by_port == {
        1000: Expected.ACCEPTED,
        2000: Expected.ACCEPTED,
        999: Expected.DENIED,
        2001: Expected.DENIED,
    }


def test_a_network_is_probed_at_its_edges_and_just_outside() -> None:
    probes = of_group(write(POLICY), "public/range")
    by_source = {
        probe.packet.source: probe.expected
        for probe in probes
        if probe.packet.destination_port == 1000
    }
    assert by_source == {
        0xC0000201: Expected.ACCEPTED,
        0xC00002FE: Expected.ACCEPTED,
        0xC0000300: Expected.DENIED,
    }


def test_a_rule_that_no_packet_can_be_sent_for_is_named_with_its_line() -> None:
    left_out = write(POLICY).left_out
    assert left_out == [
        "policy.yaml:12:9 public/impossible: no packet of IPv4 can be staged for it"
    ]


def test_a_wildcard_stands_for_two_interfaces() -> None:
    layout = policy_layout(load(POLICY, "policy.yaml"))
    assert [link.interface for link in layout.links] == ["eth0", "veth0", "veth1", "other0"]


def test_there_are_probes_that_smuggle_a_mark_in_that_are_invalid_and_that_loop_back() -> None:
    writer = write(POLICY)
    field = writer.policy.field
    assert any(probe.packet.mark == field.mask for probe in writer.probes)
    assert any(probe.phase is Phase.INVALID for probe in writer.probes)
    assert any(probe.path is Way.LOOPBACK for probe in writer.probes)


def test_an_accepted_packet_is_answered_and_followed_up_in_later_waves() -> None:
    text = POLICY.replace("tcp/1000-2000", "udp/53")
    phases = [(p.phase, p.wave, p.expected) for p in of_group(write(text), "public/range")]
    assert (Phase.REPLY, 1, Expected.NOT_COVERED) in phases
    assert (Phase.ESTABLISHED, 2, Expected.ACCEPTED) in phases


@pytest.mark.parametrize("family", Family)
def test_what_this_host_redirects_to_itself_is_sent_over_the_loopback_and_answered(
    family: Family,
) -> None:
    text = POLICY + "nat:\n  - redirect: {from: host, service: udp/53, to: 5353, name: dns}\n"
    probes = of_group(write(text, family), "nat/dns")
    redirected = [probe for probe in probes if probe.path is Way.LOOPBACK]
    assert [(probe.phase, probe.wave) for probe in redirected if probe.wave] == [
        (Phase.REPLY, 1),
        (Phase.ESTABLISHED, 2),
    ]
    (answer,) = (probe for probe in redirected if probe.phase is Phase.REPLY)
    loopback = LOOPBACK_ADDRESS[family]
    assert (answer.packet.source, answer.packet.source_port) == (loopback, 5353)
    # at the edges nothing is redirected; what goes over the loopback anyway is
    beside = {probe.packet.destination_port for probe in probes if probe.path is Way.LOCAL_OUT}
    assert beside == {52, 54}
    assert any(probe.packet.source == loopback and not probe.wave for probe in redirected)


def test_an_interface_that_the_policy_does_not_name_is_on_the_stage_and_not_covered() -> None:
    probes = of_group(write(POLICY), "default other0 -> this host")
    assert probes
    assert {probe.expected for probe in probes} == {Expected.NOT_COVERED}
