"""Names that stand for lists: nets and services, which may name each other in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingOf
from typing import Generic, TypeVar

from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import check_name, read_entries, read_members, read_words
from netfw.policy.source import Entry, Mapping, Node, Scalar

Value = TypeVar("Value")

MAX_DEPTH = 20
"""Longest way from a name through other names to what it stands for."""


class Definitions(Generic[Value]):
    """What names of one kind stand for.

    ``what`` is the kind in messages (``net``), ``parse`` reads a literal (and notes what is
    wrong with it), ``is_literal`` tells a literal from a name. ``expand`` reads a member that is
    a mapping (such as ``{file: …}``); without it there are none. ``find_other`` knows what
    ``other_names`` stand for, which an author may define otherwise.
    """

    def __init__(
        self,
        what: str,
        parse: Callable[[Scalar, Faults], tuple[Value, ...] | None],
        is_literal: Callable[[str], bool],
        builtin: MappingOf[str, tuple[Value, ...]],
        faults: Faults,
        expand: Callable[[Mapping, Faults], tuple[Value, ...] | None] | None = None,
        find_other: Callable[[str], tuple[Value, ...] | None] = lambda _: None,
        other_names: Iterable[str] = (),
    ) -> None:
        self.what = what
        self._expand = expand
        self._find_other = find_other
        self._other_names = other_names
        self._parse = parse
        self._is_literal = is_literal
        self._faults = faults
        self._known: dict[str, tuple[Value, ...] | None] = dict(builtin)
        self._written: dict[str, tuple[Scalar | Mapping, ...]] = {}

    def read(self, node: Node, reserved: frozenset[str]) -> None:
        """Take in the user's definitions and resolve every one of them."""
        builtin = dict(self._known)
        entries: list[Entry] = []
        for entry in read_entries(node, f"{self.what}s", self._faults):
            what = f"{self.what} '{entry.key.text}'"
            members: tuple[Scalar | Mapping, ...] = (
                read_words(entry.value, what, self._faults)
                if self._expand is None
                else read_members(entry.value, what, self._faults)
            )
            if check_name(entry.key, f"the name of a {self.what}", reserved, self._faults):
                entries.append(entry)
                self._written[entry.key.text] = members
        for entry in entries:
            name = entry.key.text
            if name in builtin:
                continue
            self._resolve(entry.key, (name,))
        for entry in entries:
            name = entry.key.text
            if name in builtin:
                self._check_same_as_builtin(entry, builtin[name])

    def _check_same_as_builtin(self, entry: Entry, meaning: tuple[Value, ...] | None) -> None:
        """A name that netfw knows may be written down again, but not given another meaning."""
        values: list[Value] = []
        for member in self._written[entry.key.text]:
            values += self._resolve_member(member, ()) or ()
        if set(values) != set(meaning or ()):
            name = entry.key.text
            self._faults.add(
                entry.key.where,
                f"{self.what} '{name}' is built in and means something else",
                f"choose another name, such as 'my-{name}'",
            )

    def knows(self, name: str) -> bool:
        """Whether a name is defined."""
        return name in self._known

    def find(self, name: str) -> tuple[Value, ...] | None:
        """What a name stands for; None where it is unknown or at fault, which is not noted."""
        return self._known[name] if name in self._known else self._find_other(name)

    def resolve_word(self, word: Scalar) -> tuple[Value, ...] | None:
        """What a literal or a name stands for; None where it is at fault (and the fault noted)."""
        if self._is_literal(word.text):
            return self._parse(word, self._faults)
        found = self.find(word.text)
        if found is not None or word.text in self._known:
            return found
        self._faults.add(
            word.where,
            f"unknown {self.what} '{word.text}'",
            did_you_mean(
                word.text,
                [*self._known, *self._written, *self._other_names],
                f"define it under '{self.what}s:'",
            ),
        )
        return None

    def _resolve(self, name: Scalar, way: tuple[str, ...]) -> tuple[Value, ...] | None:
        if name.text in self._known:
            return self._known[name.text]
        values: dict[Value, None] = {}
        sound = True
        for member in self._written[name.text]:
            found = self._resolve_member(member, way)
            if found is None:
                sound = False
            else:
                values.update(dict.fromkeys(found))
        self._known[name.text] = tuple(values) if sound else None
        return self._known[name.text]

    def _resolve_member(
        self, member: Scalar | Mapping, way: tuple[str, ...]
    ) -> tuple[Value, ...] | None:
        """What a member of a definition stands for; ``way`` are the names that led to it."""
        if isinstance(member, Mapping):
            assert self._expand is not None
            return self._expand(member, self._faults)
        if member.text in way:
            problem = f"{self.what} '{way[0]}' contains itself: {' → '.join(way)}"
            self._faults.add(member.where, problem)
        elif len(way) > MAX_DEPTH:
            self._faults.add(member.where, f"{self.what}s are nested deeper than {MAX_DEPTH}")
        elif member.text in self._written and not self._is_literal(member.text):
            return self._resolve(member, (*way, member.text))
        else:
            return self.resolve_word(member)
        return None
