"""What was applied to a host, in lines and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from netfw.plan.entry import Entry

_HASH = 12
"""Digits of a policy's hash that people compare."""


def history_lines(
    entries: Sequence[Entry], outcomes: Mapping[int, str], kept: int
) -> Iterator[str]:
    """The newest first; ``outcomes`` is what became of an entry, ``kept`` the one that counts."""
    if not entries:
        yield "nothing was applied to this host yet"
    for entry in reversed(entries):
        sign = "*" if entry.number == kept else " "
        who = f"{entry.who.user} from {entry.who.origin}" if entry.who.origin else entry.who.user
        outcome = outcomes.get(entry.number, "broken off")
        yield f"{sign} {entry.number:>4}  {entry.time}  {outcome:<10}  {who}"
        what = f"{entry.policy} ({entry.policy_hash[:_HASH]})" if entry.policy else "nothing"
        yield f"        {what}, {entry.backend}{f': {entry.why}' if entry.why else ''}"


def history_data(
    entries: Sequence[Entry], outcomes: Mapping[int, str], kept: int
) -> dict[str, object]:
    """The same as plain data, the oldest first."""
    return {
        "schema": 1,
        "confirmed": kept or None,
        "entries": [
            {
                "number": entry.number,
                "time": entry.time,
                "outcome": outcomes.get(entry.number),
                "user": entry.who.user,
                "from": entry.who.origin or None,
                "why": entry.why,
                "policy": entry.policy or None,
                "policy_hash": entry.policy_hash or None,
                "backend": entry.backend.value,
            }
            for entry in entries
        ],
    }
