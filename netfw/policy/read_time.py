"""Reads the criterion ``time``."""

from __future__ import annotations

import re

from netfw.ir.clock import DAY
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import Fields, read_fields, read_word, read_words
from netfw.policy.names import Names
from netfw.policy.negation import read_negation
from netfw.policy.source import Node
from netfw.policy.time_span import DAYS, EVERY_DAY, TimeSpan

_KEYS = ("days", "from", "to", "zone")
ZONES = {"utc": False, "local": True}
_HOUR = re.compile(r"([0-9]{1,2}):([0-9]{2})")


def read_time(node: Node, names: Names, faults: Faults) -> TimeSpan | None:
    """``{days, from, to, zone}`` or ``{not: …}``; None where it is at fault."""
    inner, negate = read_negation(node, "time", faults)
    fields = None if inner is None else read_fields(inner, _KEYS, "'time'", faults)
    if inner is None or fields is None:
        return None
    before = len(faults)
    start, end = _read_hour(fields, "from", 0, faults), _read_hour(fields, "to", DAY, faults)
    days = _read_days(fields, faults)
    in_kernel_zone = _read_zone(fields, faults)
    if len(faults) > before:
        return None
    span = TimeSpan(days, start % DAY, end or DAY, in_kernel_zone, negate)
    if start == end:
        faults.add(inner.where, "'time' ends when it begins", "for whole days leave 'to' out")
    elif (span.days, span.start, span.end) == (EVERY_DAY, 0, DAY):
        faults.add(inner.where, "'time' is always", "say 'days', 'from' or 'to', or leave it out")
    return span


def _read_hour(fields: Fields, key: str, otherwise: int, faults: Faults) -> int:
    """Seconds since midnight; ``24:00`` is the end of the day."""
    node = fields.find(key)
    word = None if node is None else read_word(node, f"'{key}' of 'time'", faults)
    if word is None:
        return otherwise
    found = _HOUR.fullmatch(word.text)
    seconds = int(found[1]) * 3600 + int(found[2]) * 60 if found else DAY + 1
    if seconds > DAY or (found and int(found[2]) > 59):
        faults.add(word.where, f"'{word.text}' is not a time of the day", 'write it like "08:00"')
    return seconds


def _read_days(fields: Fields, faults: Faults) -> frozenset[int]:
    """Names of days, or spans such as ``mon-fri``."""
    node = fields.find("days")
    if node is None:
        return EVERY_DAY
    found: set[int] = set()
    for word in read_words(node, "'days'", faults):
        first, dash, last = word.text.partition("-")
        ends = [DAYS.index(name) for name in (first, last if dash else first) if name in DAYS]
        if len(ends) < 2:
            hint = did_you_mean(word.text, DAYS, f"days are {', '.join(DAYS)}")
            faults.add(word.where, f"unknown day '{word.text}'", hint)
            continue
        length = (ends[1] - ends[0]) % 7
        found |= {(ends[0] + offset) % 7 for offset in range(length + 1)}
    return frozenset(found)


def _read_zone(fields: Fields, faults: Faults) -> bool:
    node = fields.find("zone")
    word = None if node is None else read_word(node, "'zone'", faults)
    if word is None:
        return False
    if word.text not in ZONES:
        faults.add(
            word.where,
            f"'zone' cannot be '{word.text}'",
            "write utc, or local for the kernel's time zone",
        )
    return ZONES.get(word.text, False)
