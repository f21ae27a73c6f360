"""Follows ``include`` from file to file."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from netfw.errors import Where
from netfw.policy.faults import Faults
from netfw.policy.fields import read_fields, read_words
from netfw.policy.library import MAX_FILE, MAX_FILES, Library, LibraryFault, beside, is_pattern
from netfw.policy.sections import SECTIONS
from netfw.policy.source import Mapping, Scalar
from netfw.policy.yaml_text import NodeCount, parse_nodes

MAX_INCLUDES = 10
"""Longest way from a file through what it includes."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a policy. ``has_dollar`` is False where it surely uses no variable."""

    name: str
    root: Mapping
    has_dollar: bool


class Inclusion:
    """Collects the files of a policy: what a file includes stands before the file itself."""

    def __init__(self, library: Library, count: NodeCount, faults: Faults) -> None:
        self.files: list[SourceFile] = []
        self._library = library
        self._count = count
        self._faults = faults
        self._begun = 0
        self._characters = 0
        self._done: set[Hashable] = set()
        self._way: list[tuple[Hashable, str]] = []

    def add_file(self, name: str, include: Scalar | None = None) -> None:
        """Read a file and what it includes; ``include`` is the word that asked for it.

        A file that is asked for a second time is there already.
        """
        where = Where(name) if include is None else include.where
        subject = "" if include is None else f"'{name}': "
        try:
            identity = self._library.identity_of(name)
            if any(identity == other for other, _ in self._way):
                self._refuse_cycle(identity, where)
                return
            if identity in self._done:
                return
            self._done.add(identity)
            if not self._has_room(where):
                return
            text = self._library.text_of(name)
        except LibraryFault as fault:
            if fault.line:
                self._faults.add(Where(name, fault.line), fault.problem, fault.hint)
            else:
                self._faults.add(where, f"{subject}{fault.problem}", fault.hint)
            return
        self._characters += len(text)
        if self._characters > MAX_FILE:
            self._faults.add(
                where, f"up to this file the policy has more than {MAX_FILE >> 20} MiB of text"
            )
            return
        self._way.append((identity, name))
        self._read(name, text)
        self._way.pop()

    def _has_room(self, where: Where) -> bool:
        self._begun += 1
        if self._begun == MAX_FILES + 1:
            self._faults.add(where, f"the policy has more than {MAX_FILES} files")
        elif len(self._way) > MAX_INCLUDES:
            self._faults.add(where, f"files include each other deeper than {MAX_INCLUDES} levels")
        else:
            return self._begun <= MAX_FILES
        return False

    def _refuse_cycle(self, identity: Hashable, where: Where) -> None:
        names = [name for _, name in self._way]
        start = next(number for number, (other, _) in enumerate(self._way) if other == identity)
        way = " → ".join([*names[start:], names[start]])
        self._faults.add(where, f"this file includes itself: {way}", "remove one of the includes")

    def _read(self, name: str, text: str) -> None:
        root = parse_nodes(text, name, self._faults, self._count)
        fields = (
            None
            if root is None
            else read_fields(root, tuple(SECTIONS), "a policy file", self._faults)
        )
        if fields is None or not isinstance(root, Mapping):
            return
        include = fields.find("include")
        for word in () if include is None else read_words(include, "'include'", self._faults):
            self._include(name, word)
        self.files.append(SourceFile(name, root, "$" in text))

    def _include(self, name: str, word: Scalar) -> None:
        wanted = beside(name, word.text)
        if "$" in word.text:
            self._faults.add(
                word.where,
                f"'{word.text}': a variable cannot stand in 'include'",
                "variables are known only when all files are read",
            )
            return
        if not is_pattern(word.text):
            self.add_file(wanted, word)
            return
        found = self._library.names_like(wanted)
        if not found:
            self._faults.add(
                word.where,
                f"no file is called like '{wanted}'",
                "make one, or remove the pattern; names that start with '.' are not meant",
            )
        for each in found:
            self.add_file(each, word)
