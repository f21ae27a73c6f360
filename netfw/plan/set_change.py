"""From the sets that a host holds to those that it shall hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from netfw.ir.ipset import IpSet
from netfw.plan.change import Change, identity_of
from netfw.plan.set_text import base_of, free_name, member_of, shape_of
from netfw.plan.step import LoadSets
from netfw.render.ipset import render_sets


@dataclass(frozen=True, slots=True)
class SetChange:
    """One set that is not as it shall be.

    ``comes`` are members that are to be added, in the order of the policy, ``goes`` those that are
    to be taken out. ``installed`` is the one that rules ask now, None if there is none, or
    several. ``wanted`` has the name that the policy gives it, ``new_name`` is what it is called if
    it is made anew.
    """

    installed: IpSet | None
    wanted: IpSet
    new_name: str
    comes: tuple[str, ...]
    goes: tuple[str, ...]

    @staticmethod
    def of(installed: IpSet | None, wanted: IpSet, new_name: str) -> SetChange:
        """Compare two sets."""
        # once: each member is made a text for it
        old = {} if installed is None else dict.fromkeys(map(member_of, installed.members))
        new = dict.fromkeys(map(member_of, wanted.members))
        comes = tuple(text for text in new if text not in old)
        goes = tuple(text for text in old if text not in new)
        return SetChange(installed, wanted, new_name, comes, goes)

    @property
    def is_reshaped(self) -> bool:
        """Whether the set cannot become the other one by its members alone."""
        return self.installed is None or shape_of(self.installed) != shape_of(self.wanted)

    def changes(self) -> Iterator[Change]:
        """What comes and goes, for people."""
        place = f"set {self.wanted.name}"
        for text in self.goes:
            yield Change(False, self.wanted.family, place, text, identity_of(text))
        for text in self.comes:
            yield Change(True, self.wanted.family, place, text, identity_of(text))

    def in_place(self) -> LoadSets:
        """Change the set that is there, which no rule notices in between: a packet that both the
        old and the new set hold is always found, one that neither holds never is.

        Members come before others go. Where members are exceptions to others (``nomatch``) the
        whole set is changed for another one instead.
        """
        assert self.installed is not None
        name = self.installed.name
        members = (*self.installed.members, *self.wanted.members)
        if any(member.nomatch for member in members):
            swap = f"swap {self.new_name} {name}\ndestroy {self.new_name}\n"
            return LoadSets(self.made_anew().text + swap, f"set {name}")
        old, new = _elements(self.goes), _elements(self.comes)
        # -exist: what is there already only gets another comment
        lines = [f"add {name} {text} -exist\n" for text in new.values()]
        lines += [f"del {name} {element}\n" for element in old if element not in new]
        return LoadSets("".join(lines), f"set {name}")

    def made_anew(self) -> LoadSets:
        """Make the set under its new name; rules go over to it afterwards."""
        return LoadSets(
            render_sets([replace(self.wanted, name=self.new_name)]), f"set {self.new_name}"
        )


def set_changes(
    installed: Mapping[str, IpSet],
    wanted: Mapping[str, IpSet],
    in_use: frozenset[str],
    kept: frozenset[str] = frozenset(),
) -> list[SetChange]:
    """The sets that differ; ``in_use`` are the names that rules of ours ask now, ``kept`` those
    that rules in the other backend ask."""
    found: dict[str, list[IpSet]] = {}
    for name in in_use & installed.keys():
        found.setdefault(base_of(name), []).append(installed[name])
    changes = []
    for name, ipset in wanted.items():
        one = found[name][0] if len(found.get(name, ())) == 1 else None
        change = SetChange.of(one, ipset, "")
        if change.is_reshaped or change.comes or change.goes:
            changes.append(replace(change, new_name=free_name(name, in_use | kept)))
    return changes


def _elements(texts: Iterable[str]) -> dict[str, str]:
    """Members by what they hold, without what is said about it."""
    return {text.partition(" comment ")[0]: text for text in texts}
