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
from netfw.ir.target import UnknownTarget
from netfw.render.restore import render_ruleset

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of rulesets is absent")
FULLY_TYPED = frozenset(
    {
        "iptables.t",
        "libipt_LOG.t",
        "libip6t_LOG.t",
        "libipt_REJECT.t",
        "libip6t_REJECT.t",
        "libipt_SNAT.t",
        "libip6t_SNAT.t",
        "libipt_MASQUERADE.t",
        "libxt_MARK.t",
        "libxt_mark.t",
        "libxt_connmark.t",
        "libxt_comment.t",
        "libxt_state.t",
        "libxt_multiport.t",
        "libxt_tcp.t",
        "libxt_udp.t",
        "libxt_addrtype.t",
        "libxt_limit.t",
        "libxt_NOTRACK.t",
        "libxt_TRACE.t",
    }
)
"""Files whose every good line becomes typed data, with nothing kept verbatim."""
LEAST_TYPED = 660
"""Good lines that become typed data, of 766."""


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
    family = Family.IPV6 if "ip6t" in path.name else Family.IPV4
    for line in path.read_text().splitlines():
        if not line or line[0] in "#*:%@" or line.count(";") < 2:
            continue
        rule, _, result = (part.strip() for part in line.split(";")[:3])
        if result == "OK":
            is_v6 = re.search(r"[0-9a-f]*::", rule) is not None
            yield rule, Family.IPV6 if is_v6 else family


def is_typed(parsed: ParsedRule) -> bool:
    return not isinstance(parsed.target, UnknownTarget) and not any(
        isinstance(match, UnknownMatch) for match in parsed.matches
    )


def test_every_good_line_of_iptables_own_tests_is_read() -> None:
    typed = 0
    fully = set()
    for path in sorted((CORPUS / "iptables-t").glob("*.t")):
        if path.name.startswith(("libarpt", "libebt")):
            continue
        lines = list(good_lines(path))
        known = [
            all(map(is_typed, parse_rule(split_words(rule), family, ("foo",))))
            for rule, family in lines
        ]
        typed += sum(known)
        if lines and all(known):
            fully.add(path.name)
    assert fully >= FULLY_TYPED, sorted(FULLY_TYPED - fully)
    assert typed >= LEAST_TYPED
