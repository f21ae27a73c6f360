"""The texts that a policy is made of, by name. Where they come from is not known here."""

from __future__ import annotations

import posixpath
from collections.abc import Hashable, Mapping
from fnmatch import fnmatchcase
from typing import Protocol

MAX_FILE = 64 * 1024 * 1024
"""Longest file that is read, and most octets of all files of a policy together: room for half a
million rules."""
MAX_FILES = 1000
"""Most files of one policy."""


class LibraryFault(Exception):
    """A text that cannot be had: the problem, a hint, and the line in it where there is one."""

    def __init__(self, problem: str, hint: str = "", line: int = 0) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.line = line


class Library(Protocol):
    """Answers with the text of a name.

    Names are paths; those of files that a policy names are relative to the file that names them
    (``beside``).
    """

    def identity_of(self, name: str) -> Hashable:
        """What is equal for two names of one text; raises LibraryFault where there is none."""

    def text_of(self, name: str) -> str:
        """The text; raises LibraryFault."""

    def names_like(self, pattern: str) -> tuple[str, ...]:
        """The names of a pattern with ``*``, ``?`` and ``[…]``, sorted; at most MAX_FILES + 1."""


class Texts:
    """A library of texts that are at hand."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)

    def identity_of(self, name: str) -> Hashable:
        """The name itself, without detours."""
        found = posixpath.normpath(name)
        if found not in map(posixpath.normpath, self._texts):
            raise LibraryFault("there is no such file")
        return found

    def text_of(self, name: str) -> str:
        """The text; raises LibraryFault."""
        identity = self.identity_of(name)
        return next(
            text for other, text in self._texts.items() if posixpath.normpath(other) == identity
        )

    def names_like(self, pattern: str) -> tuple[str, ...]:
        """The names of a pattern, whose stars do not stand for ``/``."""
        wanted = posixpath.normpath(pattern).split("/")
        return tuple(
            name
            for name in sorted(map(posixpath.normpath, self._texts))
            if len(parts := name.split("/")) == len(wanted)
            and all(map(fnmatchcase, parts, wanted))
        )


def beside(file: str, name: str) -> str:
    """The name of a file that ``file`` names: relative to the folder of that file."""
    return posixpath.join(posixpath.dirname(file), name)


def is_pattern(name: str) -> bool:
    """Whether a name stands for several."""
    return any(character in name for character in "*?[")
