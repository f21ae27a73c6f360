"""Reads the criteria ``starts`` and ``expires``."""

from __future__ import annotations

import re
from datetime import date

from netfw.policy.faults import Faults
from netfw.policy.fields import Fields, read_word
from netfw.policy.validity import FIRST_DAY, LAST_DAY, Validity

VALIDITY_KEYS = ("starts", "expires")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_validity(fields: Fields, faults: Faults) -> Validity | None:
    """Both keys together; None where neither is there, or one is at fault."""
    first, last = (_read_date(fields, key, faults) for key in VALIDITY_KEYS)
    if first is None and last is None:
        return None
    if first is not None and last is not None and last < first:
        faults.add(
            fields.where,
            f"'expires' ({last}) is before 'starts' ({first})",
            "a rule is in force from the day it starts to the end of the day it expires",
        )
    return Validity(first, last)


def _read_date(fields: Fields, key: str, faults: Faults) -> date | None:
    node = fields.find(key)
    word = None if node is None else read_word(node, f"'{key}'", faults)
    if word is None:
        return None
    try:
        if not _DATE.fullmatch(word.text):
            raise ValueError(word.text)
        found = date.fromisoformat(word.text)
    except ValueError:
        faults.add(word.where, f"'{word.text}' is not a date", "write it like 2027-06-30")
        return None
    if not FIRST_DAY <= found <= LAST_DAY:
        faults.add(
            word.where,
            f"'{key}' cannot be {found}",
            f"rules can name days from {FIRST_DAY} to {LAST_DAY}, where iptables' clock ends",
        )
        return None
    return found
