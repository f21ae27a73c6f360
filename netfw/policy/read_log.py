"""Reads what a log rule writes, and how often."""

from __future__ import annotations

import re

from netfw.ir.names import MAX_LOG_PREFIX, MAX_NFLOG_PREFIX
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import parse_decimal, read_fields, read_number, read_word
from netfw.policy.rule import PREFIX_END, LogSettings
from netfw.policy.source import Node, Scalar, Sequence

_LOG_KEYS = ("service", "prefix", "rate", "group")
LAST_GROUP = 65535
"""The group is a number of 16 bits (linux/netfilter/xt_NFLOG.h)."""

RATE_UNITS = {
    "s": "sec",
    "sec": "sec",
    "second": "sec",
    "m": "min",
    "min": "min",
    "minute": "min",
    "h": "hour",
    "hour": "hour",
    "d": "day",
    "day": "day",
}
"""Units of a rate, and what the limit match calls them."""
DEFAULT_RATE = "10/minute"
"""How often a log rule writes unless it says so: enough to see it, too little to fill a disk."""
_LEAST_A_DAY = 5
"""The limit match begins with a burst of 5, and that must come back within a day (MAX_CPJ,
net/netfilter/xt_limit.c): the legacy backend refuses anything slower."""
PREFIX = re.compile(r"[A-Za-z0-9_.,/@#=+-]+( [A-Za-z0-9_.,/@#=+-]+)*")


def read_log(
    value: Node, policy_name: str, faults: Faults
) -> tuple[LogSettings | None, Node | None]:
    """``log: {prefix, rate, service, group}``, or ``log: service`` with defaults."""
    longest = MAX_LOG_PREFIX - len(PREFIX_END)
    if isinstance(value, Scalar | Sequence):
        rate, unit = parse_rate(DEFAULT_RATE)
        return LogSettings(policy_name[:longest].rstrip("-"), rate, unit), value
    fields = read_fields(value, _LOG_KEYS, "'log'", faults)
    if fields is None:
        return None, None
    group = None
    if (node := fields.find("group")) is not None:
        group = read_number(node, "'group'", 0, LAST_GROUP, faults)
        # nothing stands behind it: whoever reads the group has it as a field of its own
        longest = MAX_NFLOG_PREFIX
    prefix = policy_name[:longest].rstrip("-")
    if (node := fields.find("prefix")) and (word := read_word(node, "'prefix'", faults)):
        prefix = word.text
        if len(prefix) > longest:
            faults.add(word.where, f"prefix '{prefix}' is longer than {longest} characters")
        elif not PREFIX.fullmatch(prefix):
            faults.add(
                word.where,
                f"prefix '{prefix}' has characters that a log line should not have",
                "use letters, digits, single blanks and _.,/@#=+-",
            )
    rate, unit = parse_rate(DEFAULT_RATE)
    if (node := fields.find("rate")) and (word := read_word(node, "'rate'", faults)):
        try:
            rate, unit = parse_rate(word.text)
        except ValueError as error:
            faults.add(
                word.where,
                str(error),
                did_you_mean(word.text, ("unlimited",), "write it like 5/minute, or 'unlimited'"),
            )
        if unit == "day" and rate is not None and rate < _LEAST_A_DAY:
            faults.add(
                word.where,
                f"'{word.text}': the kernel cannot count so slowly",
                f"the least is {_LEAST_A_DAY}/day",
            )
    return LogSettings(prefix, rate, unit, group), fields.find("service")


def parse_rate(text: str) -> tuple[int | None, str]:
    """Read ``5/minute``; raises ValueError with a sentence."""
    if text == "unlimited":
        return None, "min"
    number_text, _, unit_text = text.partition("/")
    number = parse_decimal(number_text)
    unit = RATE_UNITS.get(unit_text)
    if number is None or unit is None:
        raise ValueError(f"'{text}' is not a rate")
    # the limit match counts in steps of 1/10000 s (XT_LIMIT_SCALE, linux/netfilter/xt_limit.h)
    if not 1 <= number <= 10_000:
        raise ValueError(f"'{text}': rates go from 1 to 10000")
    return number, unit
