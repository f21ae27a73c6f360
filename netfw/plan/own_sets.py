"""What ``ipset save`` prints, taken apart into sets of ours and lists of others that hold one."""

from __future__ import annotations

from dataclasses import dataclass, field

from netfw.facts.ipset_save import parse_sets
from netfw.ir.ipset import IpSet
from netfw.ir.ruleset import OWN_CHAIN_PREFIX


@dataclass(frozen=True, slots=True)
class SavedSets:
    """Sets of ours by name, and by the name of one the lists of others that hold it.

    Others' sets are not looked at any further: they may be of kinds that netfw does not know.
    """

    own: dict[str, IpSet] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)


def read_saved_sets(text: str, file: str) -> SavedSets:
    """Take apart what ``ipset save`` printed. Raises FactError for a set of ours that cannot be
    read."""
    starts = (f"create {OWN_CHAIN_PREFIX}", f"add {OWN_CHAIN_PREFIX}")
    ours: list[str] = []
    others: list[str] = []
    lists: dict[str, list[str]] = {}
    for line in text.split("\n"):
        is_own = line.startswith(starts)
        # an empty line in the place of each line of others, so that faults name the right one
        ours.append(line if is_own else "")
        if is_own:
            continue
        if line.startswith("create ") and " list:set" in line:
            others.append(line.removeprefix("create ").partition(" list:set")[0])
        elif others and line.startswith("add ") and f" {OWN_CHAIN_PREFIX}" in line:
            for name in others:
                held = line.removeprefix(f"add {name} ")
                if held != line and held.startswith(OWN_CHAIN_PREFIX):
                    lists.setdefault(held.split(" ")[0], []).append(name)
    own = parse_sets("\n".join(ours), file)
    return SavedSets(own, {name: tuple(held_by) for name, held_by in lists.items()})
