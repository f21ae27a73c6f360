"""Real rulesets and iptables' own test lines, read from beside the project where they are."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from netfw.facts.iptables_save import parse_ruleset
from netfw.facts.parse_rule import ParsedRule, parse_rule
from netfw.facts.words import split_words
from netfw.ir.match import UnknownMatch
from netfw.ir.names import Family
from netfw.ir.ruleset import Rule
from netfw.ir.target import UnknownTarget
from netfw.render.restore import render_ruleset
from netfw.render.rule import render_rule
from tests.protocol_names import with_numbers

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of rulesets is absent")
KEPT_VERBATIM = {
    "libip6t_DNAT.t": 3,  # names of services
    "libipt_DNAT.t": 3,
    "libxt_REDIRECT.t": 2,  # names of services
    "libxt_ipvs.t": 2,
    "libipt_ipvs.t": 2,  # an address with bits outside its mask
    "libip6t_srh.t": 2,
    "libxt_NFLOG.t": 3,  # --nflog-range, and a prefix that is cut off
    "libxt_RATEEST.t": 1,
    "libxt_rateest.t": 11,
}
"""How many good lines of which files do not become typed data; all others do."""
LEAST_SHARE = 0.95
"""Of all good lines, those that become typed data: 731 of 766."""


def rulesets() -> list[Path]:
    folder = CORPUS / "rulesets"
    return sorted(path for path in folder.rglob("*") if path.is_file()) if CORPUS.is_dir() else []


def family_of(path: Path) -> Family:
    return Family.IPV6 if "6" in path.suffix or "rules6" in path.name else Family.IPV4


@pytest.mark.parametrize("path", rulesets(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_real_ruleset_is_read_and_printed_and_read_the_same(path: Path) -> None:
    family = family_of(path)
    ruleset = parse_ruleset(path.read_text(), family, path.name)
    again = parse_ruleset(render_ruleset(ruleset), family)
    assert again == ruleset
    assert ruleset.tables


def good_lines(path: Path) -> Iterator[tuple[str, Family]]:
    for rule, _, family in lines_and_results(path):
        yield rule, family


def lines_and_results(path: Path) -> Iterator[tuple[str, str, Family]]:
    """Each good line, what iptables-save shall print for it, and its family."""
    family = Family.IPV6 if "ip6t" in path.name else Family.IPV4
    for line in path.read_text().splitlines():
        if not line or line[0] in "#*:%@" or line.count(";") < 2:
            continue
        rule, wanted, result = (part.strip() for part in line.split(";")[:3])
        if result == "OK":
            is_v6 = re.search(r"[0-9a-f]*::", rule) is not None
            wanted = rule if wanted == "=" else wanted
            yield rule, wanted, Family.IPV6 if is_v6 else family


def own_tests() -> list[Path]:
    folder = CORPUS / "iptables-t"
    return [
        path
        for path in sorted(folder.glob("*.t"))
        if not path.name.startswith(("libarpt", "libebt"))
    ]


def is_typed(parsed: ParsedRule) -> bool:
    return not isinstance(parsed.target, UnknownTarget) and not any(
        isinstance(match, UnknownMatch) for match in parsed.matches
    )


def numbered(rule: str) -> str:
    """A rule with numbers for the protocols that only some versions print by name."""
    return with_numbers(f"-A x {rule}").removeprefix("-A x ")


def parsed_of(rule: str, family: Family) -> tuple[ParsedRule, ...]:
    return parse_rule(split_words(rule), family, ("foo",))


def test_every_good_line_of_iptables_own_tests_is_read() -> None:
    typed = lines = 0
    verbatim = {}
    for path in own_tests():
        known = [all(map(is_typed, parsed_of(rule, family))) for rule, family in good_lines(path)]
        typed += sum(known)
        lines += len(known)
        if not all(known):
            verbatim[path.name] = len(known) - sum(known)
    print(f"{typed} of {lines} lines become typed data: {typed / lines:.1%}")
    assert verbatim == KEPT_VERBATIM
    assert typed / lines >= LEAST_SHARE


def test_every_good_line_prints_as_iptables_expects_it() -> None:
    checked = 0
    for path in own_tests():
        for rule, wanted, family in lines_and_results(path):
            parsed = parsed_of(rule, family)
            if not all(map(is_typed, parsed)):
                continue
            printed = [render_rule(Rule(one.matches, one.target), family) for one in parsed]
            assert [numbered(one) for one in printed] == [numbered(wanted)], path.name
            checked += 1
    assert checked > 700
