"""Forms of what is asked of packets."""

from __future__ import annotations

from netfw.ir.match import TCP_FLAG_BITS
from netfw.policy.connection_states import STATES
from netfw.policy.read_counted import ENDS
from netfw.policy.read_criteria import CRITERIA_KEYS
from netfw.policy.read_time import ZONES
from netfw.policy.schema.form import (
    Form,
    choice,
    chosen,
    closed,
    defined,
    either,
    explained,
    negatable,
    number,
    one_or_list,
    text,
    with_variable,
)
from netfw.policy.time_span import DAYS

_DAY = "|".join(DAYS)


def excepting(form: Form) -> Form:
    """What is asked for, ``{not: …}``, or ``{any-of: …, not: …}``."""
    return either(form, closed({"any-of": form, "not": form}, required=("not",)))


def _time() -> Form:
    return closed(
        {
            "days": explained(
                one_or_list(with_variable(choice(DAYS), text(f"(?:{_DAY})-(?:{_DAY})"))),
                "Days, and spans of days such as mon-fri.",
            ),
            "from": explained(defined("hour"), "When it begins; without it at midnight."),
            "to": explained(defined("hour"), "When it ends; without it at midnight."),
            "zone": explained(
                chosen(ZONES), "utc (what is meant without it), or local: the kernel's time zone."
            ),
        }
    )


def _rate() -> Form:
    ends = "|".join(ENDS)
    per = with_variable(
        choice((*ENDS, "everything")), text(f"(?:{ends})-net/[0-9]{{1,2}}(?:/[0-9]{{1,3}})?")
    )
    burst = with_variable(number(1, 10_000), text("[1-9][0-9]{0,4}"))
    return closed(
        {
            "most": explained(defined("rate"), "So many packets, such as 10/second."),
            "burst": explained(burst, "So many may come at once; without it 5."),
            "per": explained(
                one_or_list(per),
                "What is counted apart: source, destination, source-net/24/64, or everything, "
                "which is what is meant without it.",
            ),
        },
        required=("most",),
    )


def _connections() -> Form:
    return closed(
        {
            "most": explained(defined("amount"), "So many open connections."),
            "per": explained(
                chosen(ENDS), "What is counted apart: source (meant without it) or destination."
            ),
            "prefix": explained(
                defined("prefix-lengths"), "Count networks of this length, such as 24/64."
            ),
        },
        required=("most",),
    )


def _flags() -> Form:
    flags = one_or_list(chosen(TCP_FLAG_BITS))
    return closed(
        {
            "set": explained(flags, "Flags that are set."),
            "clear": explained(flags, "Flags that are not set."),
        }
    ) | {"minProperties": 1}


CRITERIA: dict[str, Form] = {
    "from": explained(excepting(defined("nets")), "Where packets come from."),
    "to": explained(excepting(defined("nets")), "Where packets go to."),
    "ip": explained(
        negatable(with_variable(choice((4, 6, "4", "6")))), "The version of IP: 4 or 6."
    ),
    "in": explained(negatable(defined("endpoints")), "The endpoints that packets come in by."),
    "out": explained(negatable(defined("endpoints")), "The endpoints that packets leave by."),
    "source-ports": explained(
        negatable(one_or_list(defined("ports"))), "Ports that packets come from."
    ),
    "tcp-flags": explained(
        negatable(_flags()), "Flags of TCP that are set and clear; the others may be either."
    ),
    "mac": explained(
        negatable(one_or_list(defined("hardware-address"))),
        "The hardware address of the frame that brought the packet.",
    ),
    "user": explained(
        negatable(one_or_list(defined("account"))),
        "The user whose process sends; egress of host endpoints only.",
    ),
    "group": explained(
        negatable(one_or_list(defined("account"))),
        "The group whose process sends; egress of host endpoints only.",
    ),
    "mark": explained(negatable(defined("mark")), "Bits of the mark that somebody else sets."),
    "state": explained(
        negatable(one_or_list(chosen(STATES))), "What connection tracking says of the packet."
    ),
    "time": explained(negatable(_time()), "Days of the week, and a time of the day."),
    "rate": explained(
        negatable(either(defined("rate"), _rate())),
        "Packets up to so many in a time; {not: …} is what is beyond.",
    ),
    "connections": explained(
        negatable(either(defined("amount"), _connections())),
        "Connections up to so many at once; {not: …} is what is beyond.",
    ),
    "starts": explained(defined("date"), "The first day (UTC) on which the rule is in force."),
    "expires": explained(defined("date"), "The last day (UTC) on which the rule is in force."),
}
"""Forms by key."""

if CRITERIA.keys() != set(CRITERIA_KEYS):
    raise AssertionError(f"the reader has other keys: {CRITERIA.keys() ^ set(CRITERIA_KEYS)}")
