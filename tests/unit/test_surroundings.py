"""What a policy asks of its surroundings: interfaces, lists in files, addresses of names."""

from __future__ import annotations

import json
import pwd
from pathlib import Path

import pytest

from netfw.cli.main import main
from netfw.errors import ExitCode, FactError, PolicyError
from netfw.host import resolve as host_resolver
from netfw.host.accounts import number_of
from netfw.ir.names import Family
from netfw.ir.net import Net, parse_address
from netfw.policy import address_list
from netfw.policy.address_list import parse_list
from netfw.policy.faults import Faults
from netfw.policy.host_names import (
    HostInterface,
    HostNames,
    format_host_names,
    parse_host_names,
)
from netfw.policy.library import Texts
from netfw.policy.lock import changes, format_lock, parse_lock
from netfw.policy.model import Policy
from netfw.policy.net_literal import parse_nets
from netfw.policy.owner import Owner, OwnerKind
from netfw.policy.read import load_files
from netfw.policy.surroundings import Known, SurroundingsFault

NAMES = HostNames(
    (
        HostInterface("eth0", (parse_address("192.0.2.2"),), (Family.IPV4,)),
        HostInterface("eth1", (parse_address("10.0.0.1"), parse_address("fd00::1"))),
        HostInterface("wwan0", (), (Family.IPV6,)),
    ),
    {"root": 0, "mail": 8, "backup": 34},
    {"root": 0, "mail": 8, "www-data": 33},
)
MIRROR = (Net.parse("192.0.2.80"), Net.parse("2001:db8::80"))
AROUND = Known(NAMES, {"mirror.example": MIRROR})


def read(text: str, around: Known = AROUND, **files: str) -> Policy:
    texts = {name.replace("_", "/") + ".txt": content for name, content in files.items()}
    return load_files(
        ("d/p.yaml",), Texts({"d/p.yaml": "version: 1\n" + text, **texts}), surroundings=around
    )


def faults_of(text: str, around: Known = AROUND, **files: str) -> list[tuple[str, str]]:
    with pytest.raises(PolicyError) as caught:
        read(text, around, **files)
    return [
        (fault.place.removeprefix("d/p.yaml:"), fault.problem) for fault in caught.value.faults
    ]


def sources(nets: str, around: Known = AROUND, **files: str) -> list[str]:
    text = (
        f"endpoints: {{wan: {{host: eth9}}}}\nnets: {nets}\n"
        "policies: [{name: p, at: wan, ingress: [{allow: ssh, from: a}]}]\n"
    )
    ((_, rule),) = read(text, around, **files).rules()
    return [str(net) for net in rule.criteria.sources]


@pytest.mark.parametrize(
    ("host", "interfaces"),
    [
        ("{default-route: true}", ("eth0", "wwan0")),
        ("{default-route: 4}", ("eth0",)),
        ("{default-route: 6}", ("wwan0",)),
        ("{address: 10.0.0.1}", ("eth1",)),
        ("{address: [192.0.2.2, 'fd00:0::1']}", ("eth0", "eth1")),
    ],
)
def test_interfaces_are_found_by_what_describes_them(host: str, interfaces: tuple[str]) -> None:
    (endpoint,) = read(f"endpoints: {{a: {{host: {host}}}}}\n").endpoints
    assert endpoint.interfaces == interfaces


def test_interface_that_is_not_there_is_a_fault_unless_it_is_optional() -> None:
    written = "endpoints: {a: {host: {address: 10.9.9.9}%s}}\n"
    assert faults_of(written % "") == [
        ("2:33", "no interface of this host has the address 10.9.9.9")
    ]
    policies = "policies: [{name: p, at: a, ingress: [allow: any]}]\n"
    policy = read(written % ", optional: true" + policies)
    assert policy.endpoints == ()
    assert policy.endpoint_policies[0].is_absent


@pytest.mark.parametrize(
    ("endpoint", "place", "problem"),
    [
        ("{host: {}}", "2:23", "an interface is described by one 'address' or 'default-route'"),
        ("{host: {addr: 10.0.0.1}}", "2:24", "unknown key 'addr' in 'host'"),
        ("{host: {default-route: yes}}", "2:39", "'default-route' cannot be 'yes'"),
        ("{host: {address: eth0}}", "2:33", "'eth0' is not an address"),
        ("{host: {address: 10.0.0.1/8}}", "2:33", "'10.0.0.1/8' is not an address"),
        ("{workload: {address: 10.0.0.1}}", "2:27", "'workload' must be a word or a list"),
    ],
)
def test_fault_of_a_description_has_its_place(endpoint: str, place: str, problem: str) -> None:
    found = faults_of(f"endpoints: {{a: {endpoint}}}\n")
    assert any(got == place and words.startswith(problem) for got, words in found), found


def test_interface_that_is_found_may_belong_to_no_other_endpoint() -> None:
    endpoints = "{wan: {host: eth0}, up: {host: {default-route: true}}}"
    assert faults_of(f"endpoints: {endpoints}\n") == [
        ("2:59", "interface 'eth0' overlaps 'eth0' of endpoint 'wan'")
    ]


def test_host_is_asked_only_where_the_policy_needs_it() -> None:
    read("endpoints: {wan: {host: eth0}}\n", Known())
    assert faults_of("endpoints: {wan: {host: {default-route: true}}}\n", Known()) == [
        ("2:41", "nothing is known of the host that this policy is for")
    ]


def test_facts_are_read_as_they_are_written() -> None:
    text = format_host_names(NAMES)
    assert parse_host_names(text, "facts") == NAMES
    assert format_host_names(parse_host_names(text, "facts")) == text


def test_facts_may_say_nothing_of_users() -> None:
    """As those that were written before users were told."""
    text = format_host_names(HostNames(NAMES.interfaces))
    assert parse_host_names(text, "facts") == HostNames(NAMES.interfaces)
    around = Known(HostNames(NAMES.interfaces))
    assert faults_of(SENDER % "user: mail", around) == [
        ("3:59", "the facts of this host say nothing of users, and so not of 'mail'")
    ]


SENDER = (
    "endpoints: {wan: {host: eth9}}\npolicies: [{name: p, at: wan, egress: [{allow: any, %s}]}]\n"
)


def owner(written: str) -> Owner:
    ((_, rule),) = read(SENDER % written).rules()
    (found,) = rule.criteria.extras
    assert isinstance(found, Owner)
    return found


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("user: mail", [(8, 8)]),
        ("user: [backup, 1000-1999, root, mail]", [(0, 0), (8, 8), (34, 34), (1000, 1999)]),
        ("user: {not: [mail, 8]}", [(8, 8)]),
        ("group: www-data", [(33, 33)]),
    ],
)
def test_users_and_groups_have_the_numbers_of_the_host(
    written: str, numbers: list[tuple[int, int]]
) -> None:
    assert [(span.first, span.last) for span in owner(written).ranges] == numbers


@pytest.mark.parametrize(
    ("written", "place", "problem"),
    [
        ("user: www-data", "3:59", "this host has no user 'www-data'"),
        ("group: [root, backup]", "3:67", "this host has no group 'backup'"),
        ("user: {not: male}", "3:65", "this host has no user 'male'"),
    ],
)
def test_name_of_nobody_has_its_place(written: str, place: str, problem: str) -> None:
    assert faults_of(SENDER % written) == [(place, problem)]


def test_rule_keeps_its_name_where_a_user_has_another_number() -> None:
    elsewhere = Known(HostNames((), {"mail": 12}, {}))
    ((_, here),) = read(SENDER % "user: mail").rules()
    ((_, there),) = read(SENDER % "user: mail", elsewhere).rules()
    assert here.identity == there.identity
    assert here.criteria != there.criteria


def test_users_are_asked_of_this_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, facts = tmp_path / "p.yaml", tmp_path / "facts.json"
    me = pwd.getpwuid(1)
    policy.write_text("version: 1\n" + SENDER % f"user: {me.pw_name}")
    assert main(["compile", str(policy)]) == ExitCode.OK
    assert "--uid-owner 1 " in capsys.readouterr().out
    facts.write_text(format_host_names(HostNames((), {me.pw_name: 77}, {})))
    assert main(["compile", str(policy), "--facts", str(facts)]) == ExitCode.OK
    assert "--uid-owner 77 " in capsys.readouterr().out
    policy.write_text("version: 1\n" + SENDER % "user: nobody-here")
    assert main(["compile", str(policy)]) == ExitCode.POLICY
    assert f"{policy}:3:59: this host has no user 'nobody-here'" in capsys.readouterr().err
    with pytest.raises(SurroundingsFault):
        number_of(OwnerKind.GROUP, "not\0a name")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"schema": 2}', '{"schema": 1}', '{"schema": 1, "interfaces": {"a": {}}}']
    + [
        json.dumps({"schema": 1, "interfaces": {"a": {"addresses": each, "default_routes": []}}})
        for each in (["x"], [None], 5)
    ]
    + [
        json.dumps({"schema": 1, "interfaces": {}, "users": each})
        for each in (["mail"], {"mail": "8"}, {"mail": True}, {"mail": -1}, {"mail": 2**32 - 1})
    ],
)
def test_what_is_no_facts_of_a_host_is_refused(text: str) -> None:
    with pytest.raises(FactError):
        parse_host_names(text, "facts")


def test_nets_nest_by_name_with_literals_files_and_names() -> None:
    nets = "{a: [b, 10.0.0.0/8, {file: l.txt}], b: {dns: mirror.example}}"
    assert sources(nets, d_l="# one\n\n 192.0.2.1 ; me\n192.0.2.10-192.0.2.12\n") == [
        "192.0.2.80/32",
        "2001:db8::80/128",
        "10.0.0.0/8",
        "192.0.2.1/32",
        "192.0.2.10/31",
        "192.0.2.12/32",
    ]


def test_list_is_found_beside_the_file_that_names_it() -> None:
    assert sources("{a: {file: ../l.txt}}", l="10.0.0.0/8") == ["10.0.0.0/8"]


def test_fault_of_a_list_has_its_own_line() -> None:
    found = faults_of("nets: {a: {file: l.txt}}\n", d_l="10.0.0.0/8\n  10.0.0.1/8\nhost\n")
    assert [place for place, _ in found] == ["d/l.txt:2:3", "d/l.txt:3:1"]
    assert "has host bits set" in found[0][1]


@pytest.mark.parametrize(
    ("nets", "place", "problem"),
    [
        ("{a: {file: m.txt}}", "2:18", "'d/m.txt': there is no such file"),
        ("{a: {file: e.txt}}", "d/e.txt", "this list holds no address"),
        ("{a: {}}", "2:11", "a net from elsewhere is one 'file' or 'dns'"),
        ("{a: {file: e.txt, dns: b}}", "2:11", "a net from elsewhere is one 'file' or 'dns'"),
        ("{a: {dns: other.example}}", "2:17", "no address is known of 'other.example'"),
        ("{a: {dns: 'b c'}}", "2:17", "'b c' cannot be the name of a host"),
        ("{a: {dns: -b.c}}", "2:17", "'-b.c' cannot be the name of a host"),
        ("{a: {dns: []}}", "2:17", "'dns' is an empty list"),
        ("{a: {url: b}}", "2:12", "unknown key 'url' in a net"),
        ("{a: 10.0.0.9-10.0.0.1}", "2:11", "'10.0.0.9-10.0.0.1': the range is upside down"),
        ("{a: '10.0.0.1-::1'}", "2:11", "'10.0.0.1-::1' goes from IPv4 to IPv6"),
        ("{a: 10.0.0.1-x}", "2:11", "'10.0.0.1-x' is not a range of addresses"),
    ],
)
def test_fault_of_a_net_from_elsewhere_has_its_place(nets: str, place: str, problem: str) -> None:
    found = faults_of(f"nets: {nets}\n", d_e="# nobody\n")
    assert [(got, words[: len(problem)]) for got, words in found] == [(place, problem)]


def test_list_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_list, "MAX_LIST", 2)
    faults = Faults()
    assert parse_list("10.0.0.1\n10.0.0.3\n10.0.0.5\n10.0.0.7\n", "l", faults) is None
    with pytest.raises(PolicyError, match="l:3: this list has more than 2 networks"):
        faults.raise_if_any()


def test_wrong_file_gives_a_few_faults_and_a_count() -> None:
    faults = Faults()
    assert parse_list("<html>\n" * 1000, "l", faults) is None
    with pytest.raises(PolicyError) as caught:
        faults.raise_if_any()
    assert len(caught.value.faults) == 21
    assert caught.value.faults[0].problem == "980 more lines of this list are wrong"


@pytest.mark.parametrize(
    ("text", "nets"),
    [
        ("10.0.0.0-10.0.0.255", ["10.0.0.0/24"]),
        ("10.0.0.1-10.0.0.4", ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]),
        ("0.0.0.0-255.255.255.255", ["0.0.0.0/0"]),
        ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ["::/0"]),
        ("2001:db8::-2001:db8::2", ["2001:db8::/127", "2001:db8::2/128"]),
        ("10.0.0.1-10.0.0.1", ["10.0.0.1/32"]),
    ],
)
def test_range_is_the_fewest_networks_that_are_exactly_it(text: str, nets: list[str]) -> None:
    assert [str(net) for net in parse_nets(text)] == nets


def test_lock_file_is_read_as_it_is_written_and_does_not_depend_on_order() -> None:
    one = {"b": MIRROR, "a": MIRROR[::-1]}
    other = {"a": MIRROR, "b": MIRROR[::-1]}
    assert format_lock(one) == format_lock(other)
    assert parse_lock(format_lock(one), "lock") == other | {"b": MIRROR}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": 9}',
        '{"schema": 1, "names": {"a": []}}',
        '{"schema": 1, "names": {"a": ["10.0.0.0/8"]}}',
        '{"schema": 1, "names": {"a": "x"}}',
    ],
)
def test_what_is_no_lock_file_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_lock(text, "lock")


def test_changes_name_what_is_gone_and_what_is_new() -> None:
    before = {"a": MIRROR, "b": MIRROR[:1]}
    after = {"a": MIRROR[1:], "c": MIRROR[:1]}
    assert changes(before, after) == ["- a 192.0.2.80", "- b 192.0.2.80", "+ c 192.0.2.80"]


POLICY = (
    "version: 1\nendpoints: {wan: {host: eth0}}\nnets: {a: {dns: [%s]}}\n"
    "policies: [{name: p, at: wan, ingress: [{allow: ssh, from: a}]}]\n"
)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, tuple[Net, ...]]:
    """What names resolve to, instead of the resolver of this host; in an empty folder."""
    answers = {"mirror.example": MIRROR}

    def resolve(name: str) -> tuple[Net, ...]:
        if name not in answers:
            raise SurroundingsFault(f"'{name}' does not resolve")
        return answers[name]

    monkeypatch.setattr(host_resolver, "resolve", resolve)
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(POLICY % "mirror.example")
    return answers


def locked() -> dict[str, tuple[Net, ...]]:
    return parse_lock(Path("p.yaml.lock").read_text(), "lock")


def test_name_is_resolved_once_and_used_as_it_is_locked(
    resolver: dict[str, tuple[Net, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", "p.yaml"]) == ExitCode.OK
    first = capsys.readouterr()
    assert first.err == "p.yaml.lock: added mirror.example\n"
    assert locked() == {"mirror.example": MIRROR}
    resolver["mirror.example"] = (Net.parse("192.0.2.99"),)
    assert main(["compile", "p.yaml"]) == ExitCode.OK
    assert capsys.readouterr() == (first.out, "")


def test_update_shows_what_changes_and_drops_what_is_not_named(
    resolver: dict[str, tuple[Net, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("p.yaml.lock").write_text(format_lock({"mirror.example": MIRROR, "old": MIRROR[:1]}))
    resolver["mirror.example"] = (Net.parse("192.0.2.99"), MIRROR[1])
    assert main(["lock", "p.yaml", "--update"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [
        "- mirror.example 192.0.2.80",
        "+ mirror.example 192.0.2.99",
        "- old 192.0.2.80",
        "p.yaml.lock: 1 name, changed",
    ]
    assert locked() == {"mirror.example": resolver["mirror.example"]}


def test_name_that_does_not_resolve_changes_nothing(
    resolver: dict[str, tuple[Net, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("p.yaml").write_text(POLICY % "mirror.example, gone.example")
    for command in (["compile", "p.yaml"], ["lock", "p.yaml"], ["lock", "p.yaml", "--update"]):
        assert main(command) == ExitCode.POLICY
        assert "p.yaml:3:34: 'gone.example' does not resolve" in capsys.readouterr().err
        assert not Path("p.yaml.lock").exists()


@pytest.mark.usefixtures("resolver")
def test_locked_resolves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "p.yaml", "--locked"]) == ExitCode.POLICY
    assert "'mirror.example' is not in the lock file p.yaml.lock" in capsys.readouterr().err
    assert main(["lock", "p.yaml", "--lock", "other.lock"]) == ExitCode.OK
    assert main(["compile", "p.yaml", "--locked", "--lock", "other.lock"]) == ExitCode.OK
    assert not Path("p.yaml.lock").exists()


@pytest.mark.usefixtures("resolver")
def test_policy_at_fault_locks_nothing() -> None:
    Path("p.yaml").write_text(POLICY % "mirror.example" + "nta: []\n")
    assert main(["compile", "p.yaml"]) == ExitCode.POLICY
    assert not Path("p.yaml.lock").exists()


def test_facts_come_from_the_file_that_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts, policy = tmp_path / "facts.json", tmp_path / "p.yaml"
    facts.write_text(format_host_names(NAMES))
    policy.write_text("version: 1\nendpoints: {up: {host: {default-route: true}}}\n")
    assert main(["compile", str(policy), "--facts", str(facts)]) == ExitCode.OK
    assert "-A NETFW-INPUT -i wwan0 " in capsys.readouterr().out
    assert main(["compile", str(policy), "--facts", str(tmp_path / "none")]) == ExitCode.HOST
