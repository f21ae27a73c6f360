"""What is rendered is what iptables-save gives back, on both backends, character for character."""

import re

import pytest

from netfw.errors import HostError
from netfw.facts.iptables_save import parse_ruleset
from netfw.host.iptables import restore, save
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.match import InterfaceMatch, SetMatch, Way
from netfw.ir.names import Backend, Family
from netfw.ir.ruleset import Rule
from netfw.ir.target import Ct, Dnat, Goto, Jump, Masquerade, Redirect, Reject, Snat, Trace
from netfw.render.restore import render_ruleset
from netfw.render.rule import render_rule
from tests.protocol_names import with_numbers
from tests.unit.test_corpus import CORPUS, good_lines
from tests.unit.test_rule_text import CASES

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.parametrize("backend", list(Backend), ids=str),
    pytest.mark.parametrize("family", list(Family), ids=str),
]


def place_of(rule: Rule) -> tuple[str, str]:
    """A table and chain in which the kernel takes a rule."""
    match rule.target:
        case Trace() | Ct():
            table = "raw"
        case Snat() | Masquerade():
            return "nat", "POSTROUTING"
        case Dnat() | Redirect():
            return "nat", "OUTPUT"
        case _:
            table = "filter" if isinstance(rule.target, Reject | Jump | Goto) else "mangle"
    out = any(isinstance(m, InterfaceMatch) and m.way is Way.OUT for m in rule.matches)
    if table == "filter":
        return table, "OUTPUT" if out else "INPUT"
    return table, "OUTPUT" if out else "PREROUTING"


def rules_of(text: str) -> list[str]:
    return [line for line in with_numbers(text).splitlines() if line.startswith("-A ")]


def test_every_typed_rule_comes_back_as_it_was_rendered(backend: Backend, family: Family) -> None:
    rules = [
        Rule(matches, target)
        for case_family, matches, target, _ in CASES
        if case_family is family or (family is Family.IPV4 and case_family is family)
    ]
    with Namespace("canonical") as namespace:
        inet = "inet" if family is Family.IPV4 else "inet6"
        run(["ipset", "create", "office", "hash:ip,port", "family", inet], namespace=namespace)
        if backend is Backend.NFT:
            # a table that no backend of iptables-nft has touched yet cannot be listed
            restore(namespace, backend, family, "*filter\nCOMMIT\n")
        wanted = []
        for rule in rules:
            table, chain = place_of(rule)
            line = f"-A {chain} {render_rule(rule, family)}"
            text = f"*{table}\n:A - [0:0]\n:B - [0:0]\n{line}\nCOMMIT\n"
            restore(namespace, backend, family, text, keep=True)
            wanted.append(line)
        saved = save(namespace, backend, family)
        assert sorted(rules_of(saved)) == sorted(wanted)
        assert rules_of(render_ruleset(parse_ruleset(saved, family))) == rules_of(saved)
    assert any(isinstance(m, SetMatch) for rule in rules for m in rule.matches) or (
        family is Family.IPV6
    )


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of rulesets is absent")
def test_iptables_own_lines_come_back_the_same_through_our_data(
    backend: Backend, family: Family
) -> None:
    """Whatever this kernel takes of them: saved text, parsed and rendered, is the saved text."""
    taken = 0
    for path in sorted((CORPUS / "iptables-t").glob("*.t")):
        if path.name.startswith(("libarpt", "libebt")):
            continue
        if path.name.startswith("libipt_" if family is Family.IPV6 else "libip6t_"):
            continue
        lines = [rule for rule, _ in good_lines(path) if "physdev" not in path.name]
        table = next(iter(re.findall(r"^\*(\w+)", path.read_text(), re.MULTILINE)), "filter")
        chains = re.findall(r"^:([\w,]+)", path.read_text(), re.MULTILINE)
        chain = chains[0].split(",")[0] if chains else "INPUT"
        with Namespace("corpus") as namespace:
            taken += load_what_goes(namespace, backend, family, table, chain, lines)
            if not taken:
                continue
            try:
                saved = save(namespace, backend, family)
            except HostError:
                continue
        again = render_ruleset(parse_ruleset(saved, family, path.name))
        unlike = [
            pair
            for pair in zip(rules_of(saved), rules_of(again), strict=True)
            if pair[0] != pair[1]
        ]
        assert unlike == [], path.name
    assert taken > 200


def load_what_goes(
    namespace: Namespace,
    backend: Backend,
    family: Family,
    table: str,
    chain: str,
    lines: list[str],
) -> int:
    """Load the lines, in halves where not all of them go; returns how many went."""
    if not lines:
        return 0
    body = "\n".join(f"-A {chain} {line}" for line in lines)
    try:
        restore(namespace, backend, family, f"*{table}\n:foo - [0:0]\n{body}\nCOMMIT\n", keep=True)
    except HostError:
        if len(lines) == 1:
            return 0
        half = len(lines) // 2
        return load_what_goes(
            namespace, backend, family, table, chain, lines[:half]
        ) + load_what_goes(namespace, backend, family, table, chain, lines[half:])
    return len(lines)
