"""Marks refuse nonsense, and mean what the kernel means by them."""

import pytest

from netfw.ir.mark import Mark, MaskedWord, parse_word
from netfw.ir.mark_field import MarkField


@pytest.mark.parametrize(
    ("text", "word"),
    [("0", 0), ("0x10000", 0x10000), ("65536", 0x10000), ("010", 8), ("4294967295", 2**32 - 1)],
)
def test_a_word_is_read_as_iptables_reads_it(text: str, word: int) -> None:
    assert parse_word(text) == word


@pytest.mark.parametrize(
    "text",
    ["4294967296", "0x100000000", "-1", "+1", "", "0x", "ten", "1_000", "09", "0x1 2", "1.0"],
)
def test_a_word_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.4294967295|is not a number"):
        parse_word(text)


def test_a_value_outside_the_mask_is_refused_because_it_never_matches() -> None:
    with pytest.raises(ValueError, match=r"value bits 0x20000 outside its mask"):
        Mark(0x30000, 0x10000)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="empty mask"):
        Mark(0, 0)


@pytest.mark.parametrize(("value", "mask"), [(2**32, 2**32 - 1), (1, 2**32), (-1, 1)])
def test_more_than_32_bits_are_refused(value: int, mask: int) -> None:
    with pytest.raises(ValueError, match=r"outside 0\.\.4294967295"):
        MaskedWord(value, mask)


@pytest.mark.parametrize(
    ("word", "value", "mask", "result"),
    [
        (0xABCDEF12, 0x10000, 0xF0000, 0xABC1EF12),
        (0xABCDEF12, 0x30000, 0x10000, 0xABCFEF12),
        (0xABCFEF12, 0x30000, 0x10000, 0xABCDEF12),
        (0xABCDEF12, 0x5, 0xFFFFFFFF, 0x5),
    ],
)
def test_setting_clears_the_mask_and_toggles_the_value(
    word: int, value: int, mask: int, result: int
) -> None:
    assert MaskedWord(value, mask).set_on(word) == result


def test_only_the_packets_mark_is_masked_when_matching() -> None:
    assert MaskedWord(0x10000, 0x10000).matches(0xABCD0000)
    assert not MaskedWord(0x30000, 0x10000).matches(0x30000)
    assert not MaskedWord(0x30000, 0x10000).can_match


def test_a_mark_prints_with_its_mask() -> None:
    assert str(Mark(0x10000, 0xF0000)) == "0x10000/0xf0000"


def test_the_field_has_its_bits_where_the_contract_says() -> None:
    field = MarkField()
    assert (field.accept, field.checked, field.from_host_endpoint) == (0x10000, 0x20000, 0x40000)


def test_the_field_can_be_moved_anywhere() -> None:
    field = MarkField(0x0F000000)
    assert str(field.accepted) == "0x3000000/0x3000000"
    assert str(field.denied) == "0x2000000/0x3000000"
    scattered = MarkField(0x80000111)
    assert (scattered.accept, scattered.scratch) == (0x1, 0x80000000)


@pytest.mark.parametrize("mask", [0, 0x70000, 0x1F0000, 0xFFFFFFFF])
def test_a_field_of_other_than_four_bits_is_refused(mask: int) -> None:
    with pytest.raises(ValueError, match="exactly four"):
        MarkField(mask)


def test_a_mark_that_reaches_outside_the_field_is_refused() -> None:
    with pytest.raises(ValueError, match="outside netfw's field"):
        MarkField().mark(0x100000, 0x110000)


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        (0x0, "not yet judged by the policy; did not come in"),
        (0x30000, "accepted by the policy; did not come in"),
        (0x60000, "denied by the policy; came in by a host endpoint"),
        (0x10000, "accept bit without checked bit"),
    ],
)
def test_a_mark_is_explained_in_a_sentence(word: int, verdict: str) -> None:
    assert MarkField().meaning_of(word).startswith(verdict)
