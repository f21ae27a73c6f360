"""Rules that are read the short way come out as if they had gone the long way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netfw.errors import PolicyError
from netfw.policy import read_rule
from netfw.policy.identity import hash_of, hash_of_words
from netfw.policy.model import Policy
from netfw.policy.read import load
from tests.golden.cases import CASES, policy_of

DEFINITIONS = """\
version: 1
endpoints: {wan: {host: eth0}}
zones: {outside: [wan]}
nets: {office: [192.0.2.0/24, "2001:db8::/32"], other: 192.0.2.0/24, six: "2001:db8::/32"}
services: {web: [tcp/80, tcp/443], all: any, echo: icmp/8}
policies:
  - name: p
    at: wan
    ingress:
      - """


@pytest.mark.parametrize("case", CASES)
def test_a_policy_is_the_same_either_way(case: str, monkeypatch: pytest.MonkeyPatch):
    assert_same_either_way(lambda: policy_of(case), monkeypatch)


@pytest.mark.parametrize(
    "rule",
    [
        "allow: any",
        "allow: web",
        "deny: [udp/53, tcp/53, ping]",
        "pass: icmp-any",
        "count: ntp",
        "from: office\n        allow: http-alt",
        "{from: [203.0.113.9, 198.51.100.0/24, office], reject: web, to: 2001:db8::1}",
        "{allow: tcp/80, from: 192.0.2.3-192.0.2.9}",
        "{allow: tcp/080, from: 192.0.2.0/255.255.255.0}",
        "{allow: [tcp/80, web], from: [office, other]}",
        "{allow: web, from: [192.0.2.0/24, 192.0.2.0/255.255.255.0]}",
        "log: web",
        "{allow: web, name: a-name}",
        "{allow: web, from: {not: office}}",
        # faults
        "allow:",
        "allow: []",
        "allow: [any, tcp/80]",
        "allow: [all, tcp/80]",
        "allow: [web, web]",
        "allow: [[web]]",
        "allow: wbe",
        "allow: tcp/0",
        '"allow": "web\\x07"',
        "{allow: web, deny: web}",
        "{from: office}",
        "{allow: web, from: any}",
        "{allow: web, from: wan}",
        "{allow: web, from: outside}",
        "{allow: web, from: offices}",
        "{allow: web, from: 192.0.2.1/24}",
        "{allow: web, from: [office, office]}",
        "{allow: web, from: six, to: other}",
        "{allow: echo, from: six}",
        "{allow: web, form: office}",
        "allow",
    ],
)
def test_a_rule_is_the_same_either_way(rule: str, monkeypatch: pytest.MonkeyPatch):
    assert_same_either_way(lambda: load(f"{DEFINITIONS}{rule}\n", "p.yaml"), monkeypatch)


def assert_same_either_way(read: Callable[[], Policy], monkeypatch: pytest.MonkeyPatch) -> None:
    short = outcome_of(read)
    monkeypatch.setattr(read_rule, "read_plain_rule", lambda *_: None)
    assert outcome_of(read) == short


def outcome_of(read: Callable[[], Policy]) -> object:
    try:
        return read()
    except PolicyError as error:
        return error.faults


def test_words_have_the_hash_of_their_lists():
    assert hash_of_words("ingress", ["tcp/80", "web"], (), ["2001:db8::/32"]) == hash_of(
        ["ingress", ["tcp/80", "web"], [], ["2001:db8::/32"]]
    )
