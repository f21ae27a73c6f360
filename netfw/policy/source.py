"""Nodes of a policy text that know their place: words, lists and mappings.

Scalars keep their text: nothing here turns ``1000:2000`` into a sexagesimal number, ``no`` into
a boolean or ``0x0f000000`` into an integer.

A policy of 100,000 rules has a million nodes. So they are not frozen (setting the fields of a
frozen object costs three times as much), and a place is a number until somebody asks for it.
Whoever has a node leaves it as it is; two uses of an anchor are one node.
"""

from __future__ import annotations

from dataclasses import dataclass

from netfw.errors import Where

COLUMN_BITS = 32
_COLUMN = (1 << COLUMN_BITS) - 1


def pack_place(line: int, column: int) -> int:
    """Line and column, counted from 1, as one number; 0 means the whole file."""
    return line << COLUMN_BITS | column


@dataclass(slots=True, eq=False)
class Scalar:
    """A single value, as text; ``quoted`` tells ``''`` from nothing at all."""

    file: str
    place: int
    text: str
    quoted: bool = False

    @property
    def where(self) -> Where:
        """Where it begins."""
        return Where(self.file, self.place >> COLUMN_BITS, self.place & _COLUMN)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return not self.text and not self.quoted


def word_at(where: Where, text: str) -> Scalar:
    """A word as if it stood at a place."""
    return Scalar(where.file, pack_place(where.line, where.column), text, True)


@dataclass(slots=True, eq=False)
class Sequence:
    """A list."""

    file: str
    place: int
    items: tuple[Node, ...]

    @property
    def where(self) -> Where:
        """Where it begins."""
        return Where(self.file, self.place >> COLUMN_BITS, self.place & _COLUMN)


@dataclass(slots=True, eq=False)
class Entry:
    """A key and its value."""

    key: Scalar
    value: Node


@dataclass(slots=True, eq=False)
class Mapping:
    """Keys and values, in the order of the file, every key once."""

    file: str
    place: int
    by_key: dict[str, Entry]

    @property
    def where(self) -> Where:
        """Where it begins."""
        return Where(self.file, self.place >> COLUMN_BITS, self.place & _COLUMN)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All keys and values."""
        return tuple(self.by_key.values())

    def find(self, key: str) -> Node | None:
        """The value of a key, or None."""
        entry = self.by_key.get(key)
        return None if entry is None else entry.value


Node = Scalar | Sequence | Mapping


def describe(node: Node) -> str:
    """What a node is, in the words of an error message."""
    match node:
        case Scalar() if node.is_empty:
            return "nothing"
        case Scalar():
            return f"'{node.text}'"
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"


def written_form(node: Node) -> str:
    """A node on one line, as flow YAML, for messages and descriptions."""
    # of every rule, so without the class patterns of a match statement
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        words = [
            item.text if isinstance(item, Scalar) else written_form(item) for item in node.items
        ]
        return f"[{', '.join(words)}]"
    pairs = [f"{key}: {written_form(entry.value)}" for key, entry in node.by_key.items()]
    return "{" + ", ".join(pairs) + "}"
