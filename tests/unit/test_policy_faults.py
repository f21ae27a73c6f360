"""Every fault of a policy has its place and says what to do."""

from __future__ import annotations

import pytest

from netfw.errors import PolicyError
from netfw.policy.read import load

HEAD = (
    "version: 1\nendpoints:\n  wan: {host: eth0}\n  lan: {host: eth1}\n  pods: {workload: veth+}\n"
)


def faults_of(text: str) -> list[tuple[str, str, str]]:
    with pytest.raises(PolicyError) as caught:
        load(text, "p.yaml")
    return [
        (fault.place.removeprefix("p.yaml").removeprefix(":"), fault.problem, fault.hint)
        for fault in caught.value.faults
    ]


def at_wan(rule: str) -> str:
    """A policy whose only rule starts at line 10, column 9."""
    return f"{HEAD}policies:\n  - name: p\n    at: wan\n    ingress:\n      - {rule}\n"


def nat(entry: str) -> str:
    """A policy whose only nat entry starts at line 7, column 5."""
    return f"{HEAD}nat:\n  - {entry}\n"


WHOLE_FILE = {
    "empty": ("", "", "the file is empty"),
    "a list": ("- a", "1:1", "a policy file must be a mapping, not a list"),
    "no version": ("nets: {a: 10.0.0.0/8}", "1:1", "a policy file lacks the key 'version'"),
    "other version": ("version: 2", "1:10", "version '2' of the policy language is not known"),
    "unknown key": ("version: 1\nendpoint: {}", "2:1", "unknown key 'endpoint' in a policy file"),
    "key twice": (
        "version: 1\nversion: 1",
        "2:1",
        "key 'version' is here twice (first in line 1)",
    ),
    "tag": ("version: !!int 1", "1:10", "tag 'tag:yaml.org,2002:int' is not part of a policy"),
    "key is a list": ("version: 1\n[a]: b", "2:1", "a key must be a word, not a list"),
    "alias without anchor": ("version: *v", "1:10", "alias '*v' has no anchor before it"),
    "anchor in itself": ("a: &a [*a]", "1:8", "alias '*a' has no anchor before it"),
    "second document": ("version: 1\n---\n", "2:1", "a second document starts here"),
    "not YAML": ("a: b: c", "1:5", "this is not YAML: mapping values are not allowed"),
    "control character": ("a: \x00", "1:4", "this is not YAML: unacceptable character #x0000"),
    "too deep": ("[" * 30, "1:21", "nested deeper than 20 levels"),
    "merge key": ("version: 1\n<<: {a: b}", "2:1", "unknown key '<<' in a policy file"),
    "nothing": ("version: 1\nnets:", "2:6", "nets must be a mapping of names, not nothing"),
    "five bits": ("version: 1\nmarks: {mask: 0x1f0000}", "2:15", "mask 0x1f0000 has 5 bits"),
    "33 bits": ("version: 1\nmarks: {mask: 4294967296}", "2:15", "4294967296 is outside"),
    "word as mask": ("version: 1\nmarks: {mask: low}", "2:15", "'low' is not a number"),
    "no mask": ("version: 1\nmarks: {}", "2:8", "'marks' says nothing"),
}

ENDPOINTS = {
    "{}": ("3:3", "endpoint 'a' is of no kind"),
    "{host: x, workload: y}": ("3:3", "endpoint 'a' is both host and workload"),
    "eth0": ("3:6", "endpoint 'a' must be a mapping, not 'eth0'"),
    "{hots: eth0}": ("3:7", "unknown key 'hots' in endpoint 'a'"),
    "{host: []}": ("3:13", "'host' is an empty list"),
    '{host: "+"}': ("3:13", "'+' is every interface"),
    "{host: eth0@if3}": ("3:13", "'eth0@if3' cannot be the name of an interface"),
    "{host: eth 0}": ("3:13", "'eth 0' cannot be the name of an interface"),
    "{host: interface-number-1}": ("3:13", "interface 'interface-number-1' is longer than 15"),
    "{host: [x, x]}": ("3:17", "'x' is in 'host' twice"),
    "{host: eth9}": ("3:13", "interface 'eth9' overlaps 'eth9' of endpoint 'b'"),
    "{host: eth+}": ("3:13", "interface 'eth+' overlaps 'eth9' of endpoint 'b'"),
    "{host: veth0}": ("3:13", "interface 'veth0' overlaps 'veth+' of endpoint 'c'"),
    "{host: ve+}": ("3:13", "interface 've+' overlaps 'veth+' of endpoint 'c'"),
    "{host: veth1+}": ("3:13", "interface 'veth1+' overlaps 'veth+' of endpoint 'c'"),
    "{host: [lo, l+]}": ("3:18", "interface 'l+' overlaps 'lo' of the same endpoint"),
}

NETS = {
    "192.0.2.1/24": ("3:6", "'192.0.2.1/24' has host bits set"),
    "2001:db8::1/64": ("3:6", "'2001:db8::1/64' has host bits set"),
    "192.0.2.0/33": ("3:6", "'192.0.2.0/33' has a prefix longer than 32"),
    "300.0.2.0/24": ("3:6", "'300.0.2.0' does not appear to be an IPv4 or IPv6 address"),
    "10.0.0.0/255.0.0.255": ("3:6", "the mask of '10.0.0.0/255.0.0.255' is not a prefix"),
    "fe80::1%eth0": ("3:6", "'fe80::1%eth0' names an interface"),
    "offcie": ("3:6", "unknown net 'offcie'"),
    "[]": ("3:6", "net 'a' is an empty list"),
    "[[10.0.0.0/8]]": ("3:7", "net 'a' must be a word or a list, not a list"),
    "a": ("3:6", "net 'a' contains itself"),
    "{x: y}": ("3:7", "unknown key 'x' in a net"),
}

SERVICES = {
    "tcp/0": ("3:6", "'tcp/0': ports go from 1 to 65535"),
    "tcp/65536": ("3:6", "'tcp/65536': ports go from 1 to 65535"),
    "tcp/2000-1000": ("3:6", "'tcp/2000-1000': the range is upside down"),
    "tcp/http": ("3:6", "'tcp/http': 'http' is not a port or a range of ports"),
    "tcp/080": ("3:6", "'tcp/080': '080' is not a port or a range of ports"),
    "tcp/": ("3:6", "'tcp/': '' is not a port or a range of ports"),
    "tpc/80": ("3:6", "unknown protocol 'tpc' in 'tpc/80'"),
    "esp/50": ("3:6", "'esp/50': esp has no ports"),
    "icmp/echo": ("3:6", "'icmp/echo': unknown icmp type 'echo'"),
    "icmp/255": ("3:6", "'icmp/255': types go from 0 to 254"),
    "icmp/3/256": ("3:6", "'icmp/3/256': types go from 0 to 254 and codes from 0 to 255"),
    "htpps": ("3:6", "unknown service 'htpps'"),
}

RULES = {
    "{}": ("10:9", "a rule lacks what it does"),
    "from: 10.0.0.1": ("10:9", "a rule lacks what it does"),
    "{allow: ssh, deny: ssh}": ("10:9", "a rule does one thing, not 'allow' and 'deny'"),
    "{alloww: ssh}": ("10:10", "unknown key 'alloww' in a rule"),
    "allow:": ("10:15", "allow must be a word or a list, not nothing"),
    "allow: []": ("10:16", "allow is an empty list"),
    "allow: [any, ssh]": ("10:17", "'any' is every packet"),
    "{allow: shh}": ("10:17", "unknown service 'shh'"),
    "{allow: ssh, frum: 10.0.0.1}": ("10:22", "unknown key 'frum' in a rule"),
    "{allow: ssh, from: ofice}": ("10:28", "unknown net 'ofice'"),
    "{allow: ssh, from: lan}": ("10:28", "'lan' is an endpoint, but 'from' of a rule names nets"),
    "{allow: ssh, from: any}": ("10:28", "'from' cannot be 'any'"),
    "{allow: ssh, name: Office}": ("10:28", "'Office' cannot be the name of a rule"),
    "{allow: ssh, name: default}": ("10:28", "'default' cannot be the name of a rule: netfw uses"),
    "{allow: ssh, from: 10.0.0.1, to: 2001:db8::1}": (
        "10:9",
        "no packet can match this rule: 'from' is IPv4 only, 'to' is IPv6 only",
    ),
    "{allow: icmpv6, from: 10.0.0.1}": (
        "10:9",
        "no packet can match this rule: its service is IPv6 only, 'from' is IPv4 only",
    ),
    "log: {prefix: 'a\"b'}": ("10:23", "prefix 'a\"b' has characters"),
    "log: {prefix: a-prefix-that-is-quite-long-indeed}": (
        "10:23",
        "prefix 'a-prefix-that-is-quit",
    ),
    "log: {rate: 5}": ("10:21", "'5' is not a rate"),
    "log: {rate: 0/minute}": ("10:21", "'0/minute': rates go from 1 to 10000"),
    "log: {rate: unlimitedd}": ("10:21", "'unlimitedd' is not a rate"),
    "log: {group: 65536}": ("10:22", "'group' '65536' is not a number from 0 to 65535"),
    "log: {group: office}": ("10:22", "'group' 'office' is not a number from 0 to 65535"),
    f"log: {{group: 1, prefix: {'x' * 64}}}": ("10:33", "prefix 'xxxxxxxx"),
    "log: {raet: 5/minute}": ("10:15", "unknown key 'raet' in 'log'"),
}

NAT = {
    "{}": ("7:5", "an entry of 'nat' is one of masquerade, snat, dnat, redirect"),
    "masquerade: {from: lan}": ("7:17", "'masquerade' lacks the key 'out'"),
    "masquerade: {out: wna}": ("7:23", "unknown endpoint 'wna' in 'out'"),
    "masquerade: {out: wan, family: 5}": ("7:36", "unknown family '5'"),
    "dnat: {in: wan, service: tcp/1}": ("7:11", "'dnat' lacks the key 'to'"),
    "dnat: {in: wan, to: 10.0.0.5}": ("7:11", "'dnat' lacks the key 'service'"),
    "dnat: {in: wan, service: tcp/1, to: web}": ("7:41", "'web' is not an address"),
    "dnat: {in: wan, service: tcp/1, to: '[10.0.0.5'}": ("7:41", "'[10.0.0.5' is not an address"),
    "dnat: {in: wan, service: tcp/1, to: '[10.0.0.5]:1'}": ("7:41", "'[10.0.0.5]:1' is not an"),
    "dnat: {in: wan, service: tcp/1, to: '[::1]1'}": ("7:41", "'[::1]1' is not an address"),
    "dnat: {in: wan, service: tcp/1, to: 10.0.0.5:0}": ("7:41", "'10.0.0.5:0': ports go from 1"),
    "dnat: {in: wan, service: tcp/1, to: '10.0.0.5:'}": ("7:41", "'10.0.0.5:': '' is not a port"),
    "dnat: {in: wan, service: tcp/1-5, to: 10.0.0.5}": (
        "7:43",
        "'10.0.0.5' has no port, but the service is the range 1-5",
    ),
    "dnat: {in: wan, service: tcp/1-5, to: 10.0.0.5:1}": (
        "7:43",
        "'10.0.0.5:1' would put several",
    ),
    "dnat: {in: wan, service: tcp/1-5, to: 10.0.0.5:2-7}": (
        "7:43",
        "'10.0.0.5:2-7' has a range of ports that is not as long as the service's",
    ),
    "dnat: {service: tcp/1, to: 10.0.0.5}": ("7:11", "'dnat' lacks the key 'in'"),
    "dnat: {in: wan, from: host, service: tcp/1, to: 10.0.0.5}": (
        "7:16",
        "what this host sends comes in nowhere",
    ),
    "dnat: {in: wan, service: tcp/1, to: [10.0.0.5, 10.0.0.7]}": (
        "7:52",
        "'to' has two places of IPv4: '10.0.0.5' and '10.0.0.7'",
    ),
    "dnat: {in: wan, service: tcp/1, to: 10.0.0.7-10.0.0.5}": (
        "7:41",
        "'10.0.0.7-10.0.0.5': the range is upside down",
    ),
    "dnat: {in: wan, service: tcp/1, to: 10.0.0.5, hairpin: lan}": (
        "7:60",
        "'hairpin' without 'addressed-to' would redirect whatever its clients send anywhere",
    ),
    "dnat: {in: wan, service: tcp/1, to: 10.0.0.5, lasting: true}": (
        "7:5",
        "'lasting' beside a single address says nothing",
    ),
    "snat: {out: wan, from-nets: any, to: 10.0.0.5}": ("7:33", "'from-nets' cannot be 'any'"),
    "snat: {out: wan}": ("7:11", "'snat' lacks the key 'to'"),
    "snat: {out: wan, to: '10.0.0.5:7'}": ("7:26", "'10.0.0.5:7' has a port"),
    "snat: {out: wan, from: host, to: 10.0.0.5}": (
        "7:28",
        "'from: host' cannot be told apart where sources are translated",
    ),
    "masquerade: {out: wan, to-ports: 1-5}": ("7:38", "'to-ports' needs services that have ports"),
    "redirect: {in: wan, service: any, to: 3128}": (
        "7:43",
        "'to' is a port, but the service is more than tcp, udp and sctp",
    ),
    "netmap: {in: wan, from: 10.0.0.0/24, to: 10.1.0.0/25}": (
        "7:5",
        "'from' is 10.0.0.0/24 and 'to' is 10.1.0.0/25: they must be of one family and size",
    ),
    "exempt: {in: wan, out: lan}": ("7:18", "an exemption has 'out' or 'in', not both"),
    "exempt: {out: wan, addressed-to: 10.0.0.1}": ("7:24", "'addressed-to' does not go with"),
    "dnat: {in: wan, service: [http, https], to: 10.0.0.5:1}": (
        "7:49",
        "'10.0.0.5:1' would put several ports of the service onto one",
    ),
    "dnat: {in: wan, service: any, to: 10.0.0.5:1}": (
        "7:39",
        "'10.0.0.5:1' has a port, but the service is more than tcp, udp and sctp",
    ),
    "dnat: {in: wan, service: http, from: 2001:db8::/32, to: 10.0.0.5}": (
        "7:5",
        "no packet can match this dnat: 'to' is IPv4",
    ),
}

POLICIES = {
    "{}": ("7:5", "a policy lacks the key 'name'"),
    "{name: p}": ("7:5", "policy 'p' has no rules"),
    "{name: p, at: wan}": ("7:5", "policy 'p' has no rules"),
    "{name: p, ingress: [allow: any]}": ("7:5", "policy 'p' lacks the key 'at'"),
    "{name: p, forward: [allow: any]}": ("7:5", "policy 'p' names no endpoint"),
    "{name: p, at: wan, forward: [allow: any]}": ("7:5", "policy 'p' has 'at' and 'forward'"),
    "{name: p, at: wna, ingress: [allow: any]}": ("7:19", "unknown endpoint 'wna' in 'at'"),
    "{name: p, at: [], ingress: [allow: any]}": ("7:19", "'at' is an empty list"),
    "{name: p, at: wan, ingress: []}": ("7:33", "'ingress' is an empty list"),
    "{name: p, at: wan, ingress: {allow: any}}": ("7:33", "'ingress' must be a list"),
    "{name: p, at: wan, ingres: [allow: any]}": ("7:24", "unknown key 'ingres' in a policy"),
    "{name: nat, at: wan, ingress: [allow: any]}": (
        "7:12",
        "'nat' cannot be the name of a policy",
    ),
}


@pytest.mark.parametrize(("text", "place", "problem"), WHOLE_FILE.values(), ids=WHOLE_FILE)
def test_fault_of_the_file_is_told_with_its_place(text: str, place: str, problem: str):
    assert starts(faults_of(text), place, problem)


@pytest.mark.parametrize("written", ENDPOINTS)
def test_fault_of_an_endpoint_is_told_with_its_place(written: str):
    text = (
        f"version: 1\nendpoints:\n  a: {written}\n" + "  b: {host: eth9}\n  c: {workload: veth+}\n"
    )
    # the endpoint at fault is read last, so that the fault is its own
    head, _, rest = text.partition("  a: ")
    line, _, others = rest.partition("\n")
    place, problem = ENDPOINTS[written]
    moved = f"{head}{others}  a: {line}\n"
    assert starts(faults_of(moved), place.replace("3:", "5:"), problem)


@pytest.mark.parametrize("written", NETS)
def test_fault_of_a_net_is_told_with_its_place(written: str):
    text = f"version: 1\nnets:\n  a: {written}\n  office: 10.0.0.0/8\n"
    assert starts(faults_of(text), *NETS[written])


@pytest.mark.parametrize("written", SERVICES)
def test_fault_of_a_service_is_told_with_its_place(written: str):
    assert starts(faults_of(f"version: 1\nservices:\n  a: {written}\n"), *SERVICES[written])


@pytest.mark.parametrize("written", RULES)
def test_fault_of_a_rule_is_told_with_its_place(written: str):
    assert starts(faults_of(at_wan(written)), *RULES[written])


@pytest.mark.parametrize("written", NAT)
def test_fault_of_a_translation_is_told_with_its_place(written: str):
    assert starts(faults_of(nat(written)), *NAT[written])


@pytest.mark.parametrize("written", POLICIES)
def test_fault_of_a_policy_is_told_with_its_place(written: str):
    assert starts(faults_of(f"{HEAD}policies:\n  - {written}\n"), *POLICIES[written])


def starts(found: list[tuple[str, str, str]], place: str, problem: str) -> bool:
    """Whether one of the faults is at this place and starts with these words."""
    assert any(got == place and words.startswith(problem) for got, words, _ in found), (
        f"{place}: {problem}\nis not among\n" + "\n".join(map(str, found))
    )
    return True


def test_all_faults_of_a_file_are_told_at_once_in_its_order():
    text = at_wan("{alloww: ssh}") + "nat:\n  - masquerade: {}\nmarks: {mask: 1}\n"
    assert [place for place, _, _ in faults_of(text)] == ["10:9", "10:10", "12:17", "13:15"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (at_wan("{allow: htpps}"), "did you mean 'https' or 'http'"),
        (at_wan("{allow: ssh, form: 10.0.0.1}"), "did you mean 'from'?"),
        ("version: 1\nnets: {a: 192.0.2.1/24}", "the network is '192.0.2.0/24'"),
        ("version: 1\nservices: {a: icmp/echo-requst}", "did you mean 'echo-request'"),
        (nat("dnat: {in: wan, service: tcp/1-5, to: '2001:db8::5'}"), "'[2001:db8::5]:1-5'"),
        (nat("masquerade: {out: wann}"), "did you mean 'wan'?"),
    ],
)
def test_hint_says_what_to_write(text: str, hint: str):
    assert any(hint in found for _, _, found in faults_of(text))


def test_two_policies_of_one_name_are_a_fault_even_in_one_line():
    entry = "{name: p, at: wan, ingress: [allow: any]}"
    found = faults_of(f"{HEAD}policies: [{entry}, {entry}]\n")
    assert starts(found, "6:62", "there are two policies 'p' (the first in line 6)")


def test_two_rules_of_one_name_are_a_fault():
    rules = "[{allow: ssh, name: a}, {allow: http, name: a}]"
    found = faults_of(f"{HEAD}policies:\n  - {{name: p, at: wan, ingress: {rules}}}\n")
    assert starts(found, "7:57", "policy 'p' has two rules named 'a'")


def test_builtin_service_cannot_get_another_meaning():
    found = faults_of("version: 1\nservices: {ssh: tcp/2222}\n")
    assert starts(found, "2:12", "service 'ssh' is built in and means something else")


def test_names_that_lead_in_a_circle_are_told_once():
    found = faults_of("version: 1\nnets:\n  a: b\n  b: [c]\n  c: a\n")
    assert [problem for _, problem, _ in found] == ["net 'a' contains itself: a → b → c"]


def test_fault_in_an_anchored_list_is_told_once():
    text = (
        f"{HEAD}policies:\n"
        "  - {name: p, at: wan, ingress: &rules [{allow: shh}]}\n"
        "  - {name: q, at: lan, ingress: *rules}\n"
    )
    assert len(faults_of(text)) == 1
