"""``vars`` and ``${name}``: what they become, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from netfw.cli.main import main
from netfw.errors import PolicyError
from netfw.policy.document import NOTHING_GIVEN, Given
from netfw.policy.library import Texts
from netfw.policy.model import Policy
from netfw.policy.read import load, load_files
from netfw.policy.yaml_text import MAX_WORD


def policy_text(variables: str, nets: str = "10.0.0.0/8") -> str:
    """Nets start in line 5, column 8."""
    return (
        f"version: 1\nvars: {variables}\nendpoints: {{wan: {{host: eth0}}}}\n"
        f"nets:\n  all: {nets}\n"
        "policies:\n  - {name: p, at: wan, ingress: [{allow: ssh, from: all}]}\n"
    )


def nets_of(policy: Policy) -> list[str]:
    (rule,) = policy.endpoint_policies[0].ingress
    return [str(net) for net in rule.criteria.sources]


def read(variables: str, nets: str, *given: tuple[str, str]) -> list[str]:
    return nets_of(load(policy_text(variables, nets), "p.yaml", Given(given)))


def faults(variables: str, nets: str, given: Given = NOTHING_GIVEN) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load(policy_text(variables, nets), "p.yaml", given)
    return [f"{fault.place}: {fault.problem} | {fault.hint}" for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("variables", "nets", "expected"),
    [
        ("{a: 192.0.2.0/24}", "${a}", ["192.0.2.0/24"]),
        ("{a: 24}", "192.0.2.0/${a}", ["192.0.2.0/24"]),
        ("{a: 192, b: 24}", "${a}.0.2.0/${b}", ["192.0.2.0/24"]),
        ("{a: [192.0.2.1, 192.0.2.2]}", "${a}", ["192.0.2.1/32", "192.0.2.2/32"]),
        (
            "{a: [192.0.2.1, 192.0.2.2]}",
            "[192.0.2.0, '${a}', 192.0.2.3]",
            [f"192.0.2.{number}/32" for number in range(4)],
        ),
        ("{a: ['${b}', '${c}'], b: 192.0.2.1, c: [192.0.2.2]}", "${a}", None),
        ("{a: '${b}', b: '${c}', c: [192.0.2.1, 192.0.2.2]}", "['${a}']", None),
        ("{a: '192.${b}', b: '0.${c}', c: 2.0/24}", "${a}", ["192.0.2.0/24"]),
    ],
)
def test_variable_becomes_its_value(variables: str, nets: str, expected: list[str] | None):
    assert read(variables, nets) == (expected or ["192.0.2.1/32", "192.0.2.2/32"])


def test_two_dollars_are_one():
    with pytest.raises(PolicyError, match=r"unknown net '\$\{a\}'"):
        read("{a: x}", "$${a}")


def test_value_from_the_command_line_counts_more_than_one_from_a_file_and_from_the_policy():
    text = policy_text("{a: 10.0.0.1, b: 10.0.0.2, c: 10.0.0.3}", "['${a}', '${b}', '${c}']")
    library = Texts({"p.yaml": text, "site.yaml": "a: 192.0.2.1\nb: 192.0.2.2\n"})
    given = Given((("a", "[198.51.100.1, 198.51.100.2]"),), "site.yaml")
    assert nets_of(load_files(("p.yaml",), library, given)) == [
        "198.51.100.1/32",
        "198.51.100.2/32",
        "192.0.2.2/32",
        "10.0.0.3/32",
    ]


def test_variable_that_only_the_command_line_knows_is_one():
    assert read("{b: 1}", "10.0.0.${a}", ("a", "7")) == ["10.0.0.7/32"]


FROM_A = "'${a}' comes from p.yaml:2:8"


@pytest.mark.parametrize(
    ("variables", "nets", "expected"),
    [
        (
            "{admins: x}",
            "${admin}",
            "p.yaml:5:8: unknown variable 'admin' in '${admin}' | did you mean 'admins'?",
        ),
        (
            "{b: x}",
            "${long-name}",
            "p.yaml:5:8: unknown variable 'long-name' in '${long-name}' | define it under 'vars:'",
        ),
        (
            "{a: '${b}', b: 'x${a}'}",
            "${a}",
            "p.yaml:2:22: variable 'a' contains itself: a → b → a | ",
        ),
        (
            "{a: 300.1.1.1}",
            "${a}",
            "p.yaml:5:8: '300.1.1.1' does not appear to be an IPv4 or IPv6 address | "
            f"write it like 192.0.2.0/24 or 2001:db8:1::/48; {FROM_A}",
        ),
        (
            "{a: [192.0.2.1, 192.0.2.1/24]}",
            "[10.0.0.0/8, '${a}']",
            "p.yaml:5:21: '192.0.2.1/24' has host bits set | "
            f"the network is '192.0.2.0/24', the host is '192.0.2.1'; {FROM_A}",
        ),
        (
            "{a: [192.0.2.1]}",
            "${a}/32",
            f"p.yaml:5:8: '${{a}}' is a list, which cannot stand within a word | {FROM_A}",
        ),
        *(
            (
                "{a: x}",
                text,
                f"p.yaml:5:8: '{text}' has a '$' that begins no variable | "
                "write ${name} for a variable, $$ for a dollar",
            )
            for text in ("$a", "10.0.0.1$", "${a", "$${a}$")
        ),
        ("{a: }", "10.0.0.1", "p.yaml:2:11: variable 'a' must be a word or a list of words"),
        ("{a: {b: c}}", "${a}", "p.yaml:2:11: variable 'a' must be a word or a list of words"),
        ("{a: [[b]]}", "${a}", "p.yaml:2:12: variable 'a' must be a word or a list of words"),
        ("{A: b}", "10.0.0.1", "p.yaml:2:8: 'A' cannot be the name of a variable"),
        ("[a]", "10.0.0.1", "p.yaml:2:7: 'vars' must be a mapping of names, not a list"),
    ],
)
def test_fault_of_a_variable_is_told_where_it_is_used(variables: str, nets: str, expected: str):
    (found,) = faults(variables, nets)
    assert found.startswith(expected)


def test_variable_that_nothing_uses_cannot_be_given():
    assert faults("{admins: 1}", "10.0.0.1", Given((("admin", "2"),))) == [
        "--var admin: the policy has no variable 'admin' | did you mean 'admins'?"
    ]


def test_fault_of_a_given_value_names_the_option():
    (found,) = faults("{a: 10.0.0.1}", "${a}", Given((("a", "10.0.0.256"),)))
    assert found.startswith("p.yaml:5:8: '10.0.0.256' does not appear")
    assert found.endswith("; '${a}' comes from --var a")


def doubling(value: str) -> str:
    """Thirty variables, each of which is twice the one before."""
    steps = ", ".join(f"v{n}: {value.replace('#', f'${{v{n - 1}}}')}" for n in range(1, 31))
    return f"{{v0: 10.0.0.1, {steps}}}"


def test_variables_are_not_followed_without_end():
    chain = ", ".join(f"v{n}: '${{v{n + 1}}}'" for n in range(5000))
    found = faults(f"{{{chain}, v5000: 10.0.0.1}}", "${v0}")
    assert "variables are nested deeper than 20" in found[0]


def test_words_do_not_grow_without_end():
    found = faults(doubling('"##"'), "${v30}")
    assert f"becomes longer than {MAX_WORD} characters" in found[0]
    assert len(found) == 1


def test_lists_do_not_grow_without_end():
    found = faults(doubling('["#", "#"]'), "${v30}")
    assert "has more than 100,000 words" in found[0]
    assert len(found) == 1


def test_command_line_takes_variables(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(policy_text("{a: 10.0.0.1}", "['${a}', '${b}']"))
    Path("site.yaml").write_text("b: 192.0.2.77\n")
    assert main(["compile", "p.yaml", "--var", "a=192.0.2.9", "--vars", "site.yaml"]) == 0
    rules = capsys.readouterr().out
    assert "-s 192.0.2.9/32" in rules
    assert "-s 192.0.2.77/32" in rules
    assert main(["compile", "p.yaml", "--var", "a"]) == 2
    assert "--var a: this has no '='" in capsys.readouterr().err
    assert main(["compile", "p.yaml", "--vars", "no.yaml"]) == 3
    assert "no.yaml: there is no such file" in capsys.readouterr().err
