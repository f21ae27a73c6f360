"""Which bits a use asks for, gives and takes, and who comes before whom."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.any_of import Condition
from netfw.doctor.conditions import exclude
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkEffect, MarkTest, MarkUse, Word
from netfw.doctor.place import Spot, System
from netfw.ir.mark import MAX_MARK
from netfw.ir.names import Family

BEGINNERS = frozenset({System.SOCKET, System.DEVICE})
"""What gives packets the mark that they begin with: it overwrites nothing."""
RULES = frozenset({System.IPTABLES_NFT, System.IPTABLES_LEGACY, System.NFTABLES})


def program_of(spot: Spot) -> str:
    """The iptables that a rule is changed with."""
    name = "ip6tables" if spot.family is Family.IPV6 else "iptables"
    return f"{name}-legacy" if spot.system is System.IPTABLES_LEGACY else name


def asked_bits(test: MarkTest) -> int:
    """The bits that a test is about: of a whole word, those that the value has."""
    if test.value is None:
        return 0
    value = test.value & test.mask
    if test.mask == MAX_MARK:
        return value
    return test.mask if test.negated or not value else value


def asked_by(use: MarkUse, word: Word) -> int:
    """The bits that the tests of a use are about."""
    bits = 0
    for test in use.tests:
        if test.word is word:
            bits |= asked_bits(test)
    return bits


def effects_on(use: MarkUse, word: Word) -> Iterator[MarkEffect]:
    """What a use does to one of the two marks."""
    return (effect for effect in use.effects if effect.word is word)


def given_by(use: MarkUse, word: Word) -> int:
    """The bits that a use may make 1, copied ones included."""
    bits = 0
    for effect in effects_on(use, word):
        bits |= effect.may_set
    return bits


def set_by(use: MarkUse, word: Word) -> int:
    """The bits that a use makes 1 because its rule says so."""
    bits = 0
    for effect in effects_on(use, word):
        bits |= effect.xor
    return bits


def begins_with(use: MarkUse) -> int:
    """The mark that a socket or a device gives its packets; 0 for everything else."""
    if use.spot.system not in BEGINNERS:
        return 0
    return next((one.xor for one in effects_on(use, Word.PACKET)), 0)


def can_meet(one: MarkUse, other: MarkUse) -> bool:
    """Whether one packet may come by both with its conditions met."""
    if one is other or not one.shares_family(other):
        return False
    return not exclude(conditions_of(one), conditions_of(other))


def conditions_of(use: MarkUse) -> tuple[Condition, ...]:
    """The conditions of a rule and of its callers, where only one way leads to it."""
    if any(where.first != where.last for where in use.passages):
        return use.matches
    return (*use.matches, *use.calls)


def goes_from(one: MarkUse, other: MarkUse) -> bool:
    """Whether one packet may meet the first and then the second."""
    return one.may_precede(other) and can_meet(one, other)


def shares_way(one: MarkUse, other: MarkUse) -> bool:
    """Whether one packet may come by both, in whatever order."""
    return any(a.shares_way(b) for a in one.passages for b in other.passages)


def wiped_between(
    state: HostState, before: MarkUse, after: MarkUse, bits: int, word: Word
) -> bool:
    """Whether a rule for all packets takes these bits away on the way between two uses."""
    return any(
        not use.is_conditional
        and any(bits & ~effect.clears == 0 for effect in effects_on(use, word))
        and before.surely_precedes(use)
        and use.surely_precedes(after)
        for use in state.kinds_of_writers(word)
    )
