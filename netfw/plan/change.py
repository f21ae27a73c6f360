"""What a plan changes, by rules of the policy: for people, and for JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netfw.ir.names import Family, TableName
from netfw.plan.span import spans

_IDENTITY = re.compile(r'(?:--)?comment "?netfw:([^" ]+)"?')


@dataclass(frozen=True, slots=True)
class Change:
    """One line that comes or goes.

    ``place`` is where: ``filter NETFW-IN-wan``, ``set NETFW-4-IN-wan-A-sp``, ``routing``,
    ``sysctl``. ``identity`` is the policy rule's, or that of a rule of netfw's own; empty where
    the line has none. ``family`` is None for a sysctl.
    """

    comes: bool
    family: Family | None
    place: str
    text: str
    identity: str = ""


def identity_of(text: str) -> str:
    """The identity in the comment of a rule or member of a set; empty where there is none."""
    found = _IDENTITY.search(text)
    return found[1] if found else ""


def changed_lines(
    family: Family | None, place: str, before: Iterable[str], after: Iterable[str]
) -> Iterator[Change]:
    """What goes and what comes between two lists, which say where a line stands among others too:
    a line that moves goes and comes."""
    old, new = list(before), list(after)
    for span in spans(old, new) or ():
        for text in old[span.first : span.last]:
            yield Change(False, family, place, text, identity_of(text))
        for text in span.comes:
            yield Change(True, family, place, text, identity_of(text))


def table_place(table: TableName, chain: str) -> str:
    """The place of a chain's rules."""
    return f"{table} {chain}"
