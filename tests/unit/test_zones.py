"""Zones, labels and selectors: which endpoints a word or a selector stands for."""

from __future__ import annotations

import pytest

from netfw.compiler.pipeline import compile_policy
from netfw.errors import PolicyError
from netfw.policy.model import Policy
from netfw.policy.read import load
from netfw.policy.selector import SelectorFault, parse_selector
from netfw.prove.finding import Kind
from netfw.prove.lint_policy import lint_policy
from netfw.prove.proof import prove

HEAD = """version: 1
endpoints:
  wan:  {host: eth0, labels: {trust: none}}
  lan:  {host: eth1, labels: {trust: staff, site: north}}
  lab:  {host: eth2, labels: {trust: staff, legacy: ""}}
  pods: {workload: veth+}
"""


def at(what: str, zones: str = "{inside: [lan, lab], all-of-it: [inside, pods, lan]}") -> Policy:
    policies = f"policies: [{{name: p, at: {what}, ingress: [allow: any]}}]\n"
    return load(f"{HEAD}zones: {zones}\n{policies}", "p.yaml")


def names_at(what: str) -> list[str]:
    (policy,) = at(what).endpoint_policies
    return [endpoint.name for endpoint in policy.at]


def faults_of(text: str) -> list[tuple[str, str, str]]:
    with pytest.raises(PolicyError) as caught:
        load(text, "p.yaml")
    return [
        (fault.place.removeprefix("p.yaml:"), fault.problem, fault.hint)
        for fault in caught.value.faults
    ]


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("inside", ["lan", "lab"]),
        ("all-of-it", ["lan", "lab", "pods"]),
        ("[lan, inside]", ["lan", "lab"]),
        ("[wan, all-of-it]", ["wan", "lan", "lab", "pods"]),
        ("{select: trust == 'staff'}", ["lan", "lab"]),
        ('{select: "has(legacy)"}', ["lab"]),
        ("[pods, {select: site == north}]", ["pods", "lan"]),
        ('{select: "all()"}', ["wan", "lan", "lab", "pods"]),
    ],
)
def test_names_zones_and_selectors_stand_for_endpoints(what: str, names: list[str]) -> None:
    assert names_at(what) == names


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ("env == 'prod'", "a"),
        ('env == "prod"', "a"),
        ("env == prod", "a"),
        ("env != 'prod'", "bc"),
        ("!(env == 'prod')", "bc"),
        ("has(env)", "ab"),
        ("!has(env)", "c"),
        ("!!has(env)", "ab"),
        ("env in {'prod', test}", "ab"),
        ("env not in {'prod'}", "bc"),
        ("env contains 'ro'", "a"),
        ("env starts with 'te'", "b"),
        ("env ends with 't'", "b"),
        ("example.com/role == 'db'", "c"),
        ("has(env) && env != 'prod' || example.com/role == 'db'", "bc"),
        ("has(env) && (env != 'prod' || example.com/role == 'db')", "b"),
        ("all()", "abc"),
        ("all == 'x' || in == 'y'", ""),
    ],
)
def test_selector_means_what_it_says(selector: str, meant: str) -> None:
    labels = {"a": {"env": "prod"}, "b": {"env": "test"}, "c": {"example.com/role": "db"}}
    selects = parse_selector(selector)
    assert "".join(name for name, those in labels.items() if selects(those)) == meant


@pytest.mark.parametrize(
    ("selector", "offset", "problem"),
    [
        ("env = 'prod'", 4, "'=' is no part of a selector"),
        ("env == ", 7, "expected a value, not the end"),
        ("env == 'prod", 7, "the text after ' has no end"),
        ("env == 'a' and has(b)", 11, "expected '&&', '||' or the end, not 'and'"),
        ("has('env')", 4, "expected the name of a label, not 'env'"),
        ("has(env", 7, "expected ')' after 'has(env', not the end"),
        ("(has(env)", 9, "expected ')' after what is in parentheses, not the end"),
        ("env in 'a'", 7, "expected '{' after 'in', not 'a'"),
        ("env in {}", 8, "expected a value, not '}'"),
        ("env not 'a'", 8, "expected 'in' after 'not', not 'a'"),
        ("env", 3, "expected a comparison after 'env', not the end"),
        ("all() has(a)", 6, "expected '&&', '||' or the end, not 'has'"),
        ("!" * 40 + "all()", 31, "the selector is nested deeper than 30"),
        ("(" * 40 + "all()", 31, "the selector is nested deeper than 30"),
        ("has(a) || " * 300 + "has(a)", 0, "the selector is longer than 2000 characters"),
    ],
)
def test_fault_of_a_selector_has_its_character(selector: str, offset: int, problem: str) -> None:
    with pytest.raises(SelectorFault) as caught:
        parse_selector(selector)
    assert (caught.value.offset, str(caught.value)) == (offset, problem)


@pytest.mark.parametrize(
    ("zones", "place", "problem"),
    [
        ("{lan: wan}", "7:9", "'lan' is an endpoint already (in line 4)"),
        ("{a: wann}", "7:12", "unknown endpoint 'wann'"),
        ("{a: [b, lan], b: [a]}", "7:26", "zone 'a' contains itself: a → b"),
        ("{a: []}", "7:12", "zone 'a' is an empty list"),
        ("{a: [lan, lan]}", "7:18", "'lan' is in zone 'a' twice"),
        ("{a: [[lan]]}", "7:13", "zone 'a' must be a word or a list, not a list"),
        ("{a: {}}", "7:12", "a selector lacks the key 'select'"),
        ("{a: {select: all(), any: b}}", "7:28", "unknown key 'any' in a selector"),
        ("{a: {select: trust = 'x'}}", "7:27", "selector, character 7: '='"),
        ('{a: {select: "has(b) &"}}', "7:29", "selector, character 8: '&'"),
        ("{a: {select: trust == 'stuff'}}", "7:21", "no endpoint has labels for which"),
        ("{a: {select: all(), optional: maybe}}", "7:38", "'optional' is 'yes' or 'no'"),
        ("{host: lan}", "7:9", "'host' cannot be the name of a zone: netfw uses it"),
    ],
)
def test_fault_of_a_zone_has_its_place(zones: str, place: str, problem: str) -> None:
    found = faults_of(f"{HEAD}zones: {zones}\n")
    assert [(got, words[: len(problem)]) for got, words, _ in found] == [(place, problem)]


def test_selector_that_selects_nothing_says_which_labels_there_are() -> None:
    ((_, _, hint),) = faults_of(f"{HEAD}zones: {{a: {{select: trust == 'stuff'}}}}\n")
    assert hint.startswith("labels are legacy: , site: north, trust: none, trust: staff;")


def test_selector_is_not_blamed_for_an_endpoint_at_fault() -> None:
    text = (
        "version: 1\nendpoints: {a: {hst: eth0, labels: {x: y}}}\nzones: {z: {select: x == 'y'}}\n"
    )
    assert not any("no endpoint has labels" in problem for _, problem, _ in faults_of(text))


@pytest.mark.parametrize(
    ("endpoint", "place", "problem"),
    [
        ("{host: x, labels: []}", "3:24", "'labels' must be a mapping of names, not a list"),
        ("{host: x, labels: {a b: c}}", "3:25", "'a b' cannot be the name of a label"),
        ("{host: x, labels: {a: b c}}", "3:28", "'b c' cannot be the value of a label"),
        ("{host: x, labels: {a: [b]}}", "3:28", "label 'a' must be a word, not a list"),
        ("{host: x, labels: {a: }}", "3:28", "label 'a' must be a word, not nothing"),
        ("{host: x, nets: offcie}", "3:22", "unknown net 'offcie'"),
        ("{host: x, optional: 1}", "3:26", "'optional' is 'yes' or 'no', not '1'"),
    ],
)
def test_fault_of_an_endpoint_has_its_place(endpoint: str, place: str, problem: str) -> None:
    found = faults_of(f"version: 1\nendpoints:\n  a: {endpoint}\n")
    assert [(got, words[: len(problem)]) for got, words, _ in found] == [(place, problem)]


def test_nets_of_an_endpoint_are_read_by_name_and_literally() -> None:
    text = (
        "version: 1\nnets: {office: [192.0.2.0/24, '2001:db8::/32']}\n"
        "endpoints: {lan: {host: eth1, nets: [office, 10.0.0.0/8]}}\n"
    )
    (lan,) = load(text, "p.yaml").endpoints
    assert [str(net) for net in lan.nets] == ["192.0.2.0/24", "2001:db8::/32", "10.0.0.0/8"]


def test_optional_zone_of_nothing_is_never_any_interface() -> None:
    """An empty list of endpoints would mean every interface; what is not there is no packet."""
    nothing = "{select: trust == 'camera', optional: true}"
    text = (
        f"{HEAD}zones: {{none: {nothing}}}\n"
        "policies:\n"
        "  - {name: f, from: none, to: wan, forward: [allow: any]}\n"
        "  - {name: p, at: none, ingress: [allow: any]}\n"
        "nat: [masquerade: {from: none, out: wan}]\n"
    )
    policy = load(text, "p.yaml")
    (forward,) = policy.forward_policies
    (entry,) = policy.endpoint_policies
    assert forward.sources
    assert forward.is_absent
    assert entry.is_absent
    assert policy.translations[0].turns[0].inputs is not None
    assert [endpoint.name for endpoint in policy.endpoints] == ["wan", "lan", "lab", "pods"]


def test_rules_for_what_is_not_there_need_not_be_told_of() -> None:
    """A host that lacks what is optional is no worse for it; and nothing is steered for nobody."""
    nothing = "{select: trust == 'camera', optional: true}"
    text = (
        f"{HEAD}zones: {{none: {nothing}}}\n"
        "marks: {mask: 0xf0000, steer: 0x0ff00000}\n"
        "policies:\n"
        "  - {name: a, at: none, ingress: [allow: http]}\n"
        "  - {name: b, at: [wan, lan, lab], ingress: [{deny: http, in: none}, allow: https]}\n"
        "  - {name: c, from: none, to: wan, forward: [allow: https]}\n"
        "  - {name: d, from: lan, forward: [{deny: http, out: none}, allow: https]}\n"
        "steer: [{in: none, service: http, table: 100}]\n"
    )
    policy = load(text, "p.yaml")
    assert policy.steering.entries == ()
    assert not [each for each in lint_policy(policy) if each.kind is Kind.NEVER_MATCHES]
    rulesets = compile_policy(policy).rulesets
    assert [
        difference for each in prove(policy, rulesets).families for difference in each.differences
    ] == []
