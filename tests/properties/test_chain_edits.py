"""Commands that change a chain rule by rule end in the rules that were wanted."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from netfw.plan.chain_edit import edits

RULES = st.lists(st.sampled_from([f"-p {number} -j DROP" for number in range(6)]), max_size=12)


def carried_out(rules: list[str], commands: list[str]) -> tuple[list[str], set[int]]:
    """What iptables makes of them (numbers count from 1), and which rules were never touched."""
    now = [*enumerate(rules)]
    for command in commands:
        kind, chain, rest = command.split(" ", 2)
        assert chain == "CHAIN"
        if kind == "-A":
            now.append((-1, rest))
            continue
        number, _, text = rest.partition(" ")
        if kind == "-I":
            # iptables refuses a number beyond the end; in nf_tables a new rule has no handle yet
            assert now[int(number) - 1][0] >= 0
            now.insert(int(number) - 1, (-1, text))
        else:
            assert kind == "-D"
            assert now.pop(int(number) - 1)[0] >= 0
    return [text for _, text in now], {place for place, _ in now if place >= 0}


@given(RULES, RULES)
@example(["a", "b", "c", "d"], ["a", "b", "c", "d", "x"])
@example(["a", "b", "c", "d", "e", "f"], ["x", "a", "y", "b", "c", "e", "f"])
def test_edits_end_in_what_was_wanted(before: list[str], after: list[str]) -> None:
    commands = edits("CHAIN", before, after)
    if commands is None:
        return
    ends, kept = carried_out(before, commands)
    assert ends == after
    assert 2 * len(kept) >= len(before)


@given(RULES.filter(lambda rules: len(rules) > 2), st.data())
def test_a_rule_more_or_less_is_one_command(rules: list[str], data: st.DataObject) -> None:
    more = [*rules]
    more.insert(data.draw(st.integers(0, len(rules))), "-p 9 -j ACCEPT")
    comes, goes = edits("CHAIN", rules, more), edits("CHAIN", more, rules)
    assert comes is not None
    assert goes is not None
    assert (len(comes), len(goes)) == (1, 1)
    assert carried_out(rules, comes)[0] == more
    assert carried_out(more, goes)[0] == rules


def test_lists_with_little_in_common_are_written_anew() -> None:
    assert edits("CHAIN", ["a", "b"], ["c", "d"]) is None
    assert edits("CHAIN", [], ["c"]) is None


def test_long_lists_that_differ_far_apart_are_not_compared() -> None:
    before = [f"-p {number}" for number in range(3000)]
    after = ["first", *before[1:-1], "last"]
    assert edits("CHAIN", before, after) is None
    assert edits("CHAIN", before, [*before[:1500], "middle", *before[1500:]]) is not None
