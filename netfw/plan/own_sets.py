"""What ``ipset save`` prints, taken apart into sets of ours and lists of others that hold one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from netfw.facts.ipset_save import parse_sets
from netfw.ir.ipset import IpSet, SetMember
from netfw.ir.names import OWN_CHAIN_PREFIX, OWN_COMMENT_PREFIX
from netfw.plan.count import Count
from netfw.render.ipset import render_member

_CREATE, _ADD = f"create {OWN_CHAIN_PREFIX}", f"add {OWN_CHAIN_PREFIX}"
_COUNTERS = re.compile(r" packets (\d+) bytes (\d+)(?= comment |$)")
_IDENTITY = re.compile(rf' comment "{re.escape(OWN_COMMENT_PREFIX)}([^"]*)"$')


@dataclass(frozen=True, slots=True)
class SavedSets:
    """Sets of ours by name, and by the name of one the lists of others that hold it.

    Others' sets are not looked at any further: they may be of kinds that netfw does not know.
    """

    own: Mapping[str, IpSet] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_saved_sets(text: str, file: str, recorded: Iterable[IpSet] = ()) -> SavedSets:
    """Take apart what ``ipset save`` printed. What members have counted is left out.

    Members that a set of ``recorded`` has too are taken from there: to print those and look them
    up takes a fifth of the time that it takes to read them. Raises FactError for a set of ours
    that cannot be read.
    """
    lines = text.split("\n")
    known = _by_kind(recorded)
    found: dict[str, list[SetMember]] = {}
    members: dict[str, Mapping[str, SetMember]] = {}
    for number, line in enumerate(lines):
        if line.startswith(_CREATE):
            name, _, rest = line.removeprefix("create ").partition(" ")
            kind, *options = rest.split(" ")
            members[name] = known.get((kind, "inet6" in options), {})
        elif line.startswith(_ADD):
            line = lines[number] = _COUNTERS.sub("", line)
            name, _, element = line.removeprefix("add ").partition(" ")
            member = members[name].get(element) if name in members else None
            if member is not None:
                found.setdefault(name, []).append(member)
                lines[number] = ""
    # an empty line in the place of each line of others, so that faults name the right one
    own = parse_sets("\n".join(line if _is_ours(line) else "" for line in lines), file)
    return SavedSets(
        {
            name: replace(ipset, members=(*found.get(name, ()), *ipset.members))
            for name, ipset in own.items()
        },
        _lists(lines),
    )


def read_set_counts(text: str) -> dict[str, dict[str, Count]]:
    """What members of sets of ours have counted, by set and identity, of what ``ipset save``
    printed."""
    found: dict[str, dict[str, Count]] = {}
    for line in text.split("\n"):
        counters = _COUNTERS.search(line) if line.startswith(_ADD) else None
        identity = _IDENTITY.search(line) if counters is not None else None
        if counters is not None and identity is not None:
            counts = found.setdefault(line.split(" ")[1], {})
            count = Count(int(counters[1]), int(counters[2]))
            counts[identity[1]] = counts.get(identity[1], Count()) + count
    return found


def _is_ours(line: str) -> bool:
    return line.startswith((_CREATE, _ADD))


def _by_kind(sets: Iterable[IpSet]) -> dict[tuple[str, bool], dict[str, SetMember]]:
    """Members as ``ipset save`` prints them, by the kind of their sets and whether it is IPv6."""
    found: dict[tuple[str, bool], dict[str, SetMember]] = {}
    for ipset in sets:
        key = ipset.kind, ("family", "inet6") in ipset.options
        found.setdefault(key, {}).update((render_member(one), one) for one in ipset.members)
    return found


def _lists(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Lists of others that hold a set of ours, by its name."""
    others: list[str] = []
    found: dict[str, list[str]] = {}
    for line in lines:
        if _is_ours(line):
            continue
        if line.startswith("create ") and " list:set" in line:
            others.append(line.removeprefix("create ").partition(" list:set")[0])
        elif others and line.startswith("add ") and f" {OWN_CHAIN_PREFIX}" in line:
            for name in others:
                held = line.removeprefix(f"add {name} ")
                if held != line and held.startswith(OWN_CHAIN_PREFIX):
                    found.setdefault(held.split(" ")[0], []).append(name)
    return {name: tuple(lists) for name, lists in found.items()}
