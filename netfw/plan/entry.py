"""One state of a host that was applied: what it was, who wanted it, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netfw.compiler.source_map import SourceMap
from netfw.ir.names import Backend, Family, TableName
from netfw.plan.own import Own
from netfw.plan.own_json import own_data, own_from


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs netfw: a user's name, and where from (``192.0.2.7 port 50122``; empty: this
    machine)."""

    user: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the history.

    ``number`` counts from 1; 0 is that of an entry which is not in the history yet. ``time`` is
    UTC as ``2026-01-31T12:00:00Z``. ``policy`` is the name of a file, empty where there is none
    (a removal), and ``policy_hash`` the SHA-256 of its texts in hexadecimal. ``own`` is what the
    host shall hold, ``origins`` lead from the comments of its rules to the policy.
    ``settings_before`` are the values that sysctls had before netfw first wrote them, and
    ``tables_before`` the tables of nf_tables that were there before it wrote in them, with those
    of iptables' built-in chains that were.
    """

    time: str
    who: Caller
    why: str
    policy: str
    policy_hash: str
    backend: Backend
    own: Own
    origins: SourceMap = field(default_factory=SourceMap)
    settings_before: Mapping[str, str] = field(default_factory=dict)
    tables_before: Mapping[tuple[Family, TableName], tuple[str, ...]] = field(default_factory=dict)
    number: int = 0


def entry_data(entry: Entry) -> dict[str, object]:
    """Plain data for a JSON file."""
    return {
        "number": entry.number,
        "time": entry.time,
        "user": entry.who.user,
        "from": entry.who.origin,
        "why": entry.why,
        "policy": entry.policy,
        "policy_hash": entry.policy_hash,
        "backend": entry.backend.value,
        "own": own_data(entry.own),
        "origins": entry.origins.to_json(),
        "settings_before": dict(entry.settings_before),
        "tables_before": [
            {"family": family.value, "table": table.value, "chains": list(chains)}
            for (family, table), chains in entry.tables_before.items()
        ],
    }


def entry_from(data: object) -> Entry:
    """Read back what ``entry_data`` gave; raises ValueError for anything else."""
    match data:
        case {
            "number": int(number),
            "time": str(time),
            "user": str(user),
            "from": str(origin),
            "why": str(why),
            "policy": str(policy),
            "policy_hash": str(policy_hash),
            "backend": str(backend),
            "own": own,
            "origins": origins,
            "settings_before": dict(before),
            "tables_before": list(tables),
            **rest,
        } if not rest and all(isinstance(word, str) for pair in before.items() for word in pair):
            return Entry(
                time,
                Caller(user, origin),
                why,
                policy,
                policy_hash,
                Backend(backend),
                own_from(own),
                SourceMap.recorded(origins),
                before,
                dict(map(_table_from, tables)),
                number,
            )
        case _:
            raise ValueError("this is no entry of the history")


def _table_from(data: object) -> tuple[tuple[Family, TableName], tuple[str, ...]]:
    match data:
        case {"family": int(family), "table": str(table), "chains": list(chains), **rest} if (
            not rest and all(isinstance(name, str) for name in chains)
        ):
            return (Family(family), TableName(table)), tuple(chains)
        case _:
            raise ValueError("a table that was there is not understood")
