"""Texts that are meant to hurt: deep, endless, multiplied. Each is refused at once."""

from __future__ import annotations

import time

import pytest

from netfw.errors import PolicyError
from netfw.policy.faults import MAX_FAULTS
from netfw.policy.read import load
from netfw.policy.yaml_text import MAX_NODES, MAX_WORD

START = "version: 1\nendpoints: {wan: {host: eth0}}\n"
SECONDS = 20
"""Far more than any of these needs, and far less than what grows with a power of its size."""


def refusals(text: str) -> list[str]:
    begin = time.process_time()
    with pytest.raises(PolicyError) as caught:
        load(text, "p.yaml")
    assert time.process_time() - begin < SECONDS
    return [f"{fault.place}: {fault.problem}" for fault in caught.value.faults]


def test_aliases_of_aliases_are_counted_and_not_made():
    """A billion laughs: forty lists, each of which is four times the one before."""
    lists = "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
    )
    (found,) = refusals(f"{START}a0: &a0 [x, x]\n{lists}")
    assert found == f"p.yaml:14:12: up to here the policy has more than {MAX_NODES:,} values"


def test_an_alias_counts_each_time_that_it_is_used():
    nets = ", ".join(f"10.{n >> 8}.{n & 255}.0/24" for n in range(5000))
    rules = "    - {allow: ssh, from: *many}\n" * 1200
    (found,) = refusals(
        f"{START}nets:\n  many: &many [{nets}]\npolicies:\n- name: p\n  at: wan\n"
        f"  ingress:\n{rules}"
    )
    assert found.startswith("p.yaml:1006:26: up to here the policy has more than")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{a: " * 100_000,
        "".join(" " * depth + "-\n" for depth in range(2000)),
        "".join(" " * depth + "a:\n" for depth in range(2000)),
        "? " * 100_000,
    ],
)
def test_nesting_has_an_end(text: str):
    (found,) = refusals(text)
    assert found.endswith("nested deeper than 20 levels")


def test_one_endless_value_is_not_printed():
    (found,) = refusals(f"{START}nets: {{a: {'x' * 1_000_000}}}")
    assert found == f"p.yaml:3:11: 'xxxxxxxxxxxxxxxxxxxx…' is longer than {MAX_WORD} characters"


def test_what_would_write_to_the_terminal_is_refused_in_words():
    found = refusals(f'{START}nets: {{"a\\e[31mb": 10.0.0.1, b: "\\0"}}')
    assert found == [
        "p.yaml:3:8: the control character \\x1b cannot be in a value",
        "p.yaml:3:33: the control character \\x00 cannot be in a value",
    ]


def test_a_value_of_two_lines_is_told_on_one():
    found = refusals(f'{START}nets: {{a: "b\\nc"}}')
    assert found == ["p.yaml:3:11: unknown net 'b\\nc'"]


def test_faults_without_end_are_cut_off():
    nets = "".join(f"  n{number}: zz{number}\n" for number in range(5000))
    found = refusals(f"{START}nets:\n{nets}")
    assert found[0] == "p.yaml:4:7: unknown net 'zz0'"
    assert found[MAX_FAULTS:] == [f"p.yaml: more than {MAX_FAULTS} faults"]


def test_keys_that_are_no_words_are_each_told():
    found = refusals("version: 1\n? [a]\n: b\n? {c: d}\n: e\n")
    assert found == [
        "p.yaml:2:3: a key must be a word, not a list",
        "p.yaml:4:3: a key must be a word, not a mapping",
    ]
