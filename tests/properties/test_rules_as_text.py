"""Whatever ruleset is rendered: read again, it is the same."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netfw.facts.iptables_save import parse_ruleset
from netfw.facts.words import split_words
from netfw.ir.match import CommentMatch
from netfw.ir.names import Family, TableName
from netfw.ir.ruleset import Rule, Ruleset
from netfw.ir.target import Drop
from netfw.render.restore import render_ruleset
from netfw.render.rule import render_rule
from tests.properties.random_rules import rules, rulesets, texts

families = st.sampled_from(Family)


tables = st.sampled_from(TableName)


# a whole ruleset takes its time to draw on a busy machine
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(families, tables).flatmap(lambda pair: rulesets(*pair)))
def test_what_is_rendered_is_read_as_the_same_ruleset(ruleset: Ruleset) -> None:
    text = render_ruleset(ruleset)
    again = parse_ruleset(text, ruleset.family)
    assert again == ruleset
    assert render_ruleset(again) == text


@given(rules(TableName.FILTER, Family.IPV4), st.randoms())
def test_the_order_of_a_rules_own_conditions_does_not_matter(rule: Rule, random) -> None:
    heads = [m for m in rule.matches if type(m).__name__ in HEADS]
    others = [m for m in rule.matches if type(m).__name__ not in HEADS]
    random.shuffle(heads)
    assert render_rule(Rule((*others, *heads), rule.target), Family.IPV4) == render_rule(
        rule, Family.IPV4
    )


HEADS = {"AddressMatch", "InterfaceMatch", "ProtocolMatch", "FragmentMatch"}


@given(texts(255))
def test_any_comment_is_one_word_and_comes_back(text: str) -> None:
    line = render_rule(Rule((CommentMatch(text),), Drop()), Family.IPV4)
    assert split_words(line) == ["-m", "comment", "--comment", text, "-j", "DROP"]


def split_by_character(line: str) -> list[str]:
    """What add_param_to_argv of iptables does, character by character."""
    words: list[str] = []
    word, quoted, escaped = "", False, False
    for character in line:
        if quoted and escaped:
            word, escaped = word + character, False
        elif quoted and character == "\\":
            escaped = True
        elif quoted and character != '"':
            word += character
        elif character == '"':
            quoted = not quoted
            if not quoted:
                words.append(word)
                word = ""
        elif character not in " \t":
            word += character
        elif word:
            words.append(word)
            word = ""
    if quoted:
        raise ValueError
    return [*words, word] if word else words


@given(st.text(st.sampled_from("ab \t\"'\\-é\u2028")) | st.text())
def test_a_line_of_anything_is_split_as_iptables_does(line: str) -> None:
    try:
        words = split_by_character(line)
    except ValueError:
        with pytest.raises(ValueError, match="a quote is never closed"):
            split_words(line)
    else:
        assert split_words(line) == words
