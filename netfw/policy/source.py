"""YAML text to nodes that know their place.

Scalars keep their text: nothing here turns ``1000:2000`` into a sexagesimal number, ``no`` into
a boolean or ``0x0f000000`` into an integer. What YAML allows and a policy does not need (tags,
keys that are not words, documents after the first) is refused, and so are duplicate keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netfw.errors import Where
from netfw.policy.faults import Faults

if TYPE_CHECKING:
    import yaml

MAX_DEPTH = 20
"""Deepest nesting that is read; the language itself needs six levels."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value, as text; ``quoted`` tells ``''`` from nothing at all."""

    where: Where
    text: str
    quoted: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return not self.text and not self.quoted


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    where: Where
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value."""

    key: Scalar
    value: Node


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values, in the order of the file, every key once."""

    where: Where
    entries: tuple[Entry, ...]

    def find(self, key: str) -> Node | None:
        """The value of a key, or None."""
        for entry in self.entries:
            if entry.key.text == key:
                return entry.value
        return None


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
    match node:
        case Scalar():
            return node.text
        case Sequence():
            return "[" + ", ".join(map(written_form, node.items)) + "]"
        case Mapping():
            pairs = (f"{entry.key.text}: {written_form(entry.value)}" for entry in node.entries)
            return "{" + ", ".join(pairs) + "}"


def parse_nodes(text: str, file: str, faults: Faults) -> Node | None:
    """Read YAML text; what is wrong goes to ``faults``, and None means there is nothing to use."""
    # PyYAML takes 20 ms to import, which verbs without a policy need not pay
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(file, faults)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except _GivenUp:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Where(file) if mark is None else Where(file, mark.line + 1, mark.column + 1)
        words = " ".join(part for part in (error.context, error.problem) if part)
        faults.add(where, f"this is not YAML: {words}", _SYNTAX_HINT)
        return None
    except (yaml.YAMLError, UnicodeError) as error:
        problem = str(error).partition("\n")[0]
        faults.add(_place_of_reader_error(error, text, file), f"this is not YAML: {problem}")
        return None
    if builder.root is None:
        faults.add(Where(file), "the file is empty", "start with 'version: 1'")
    return builder.root


_QUOTING_STYLES = ("'", '"', "|", ">")
_SYNTAX_HINT = "look at the indentation and at ':' and '-' on this line and the one above"


def _place_of_reader_error(error: Exception, text: str, file: str) -> Where:
    """A character that YAML forbids: libyaml gives its position only in the message."""
    position = getattr(error, "position", None)
    if not isinstance(position, int):
        return Where(file)
    before = text[:position]
    return Where(file, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


class _GivenUp(Exception):
    """There is no sense in reading on; the fault is already noted."""


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet; ``key`` is the key that waits for its value."""

    where: Where
    is_mapping: bool
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    key: Scalar | None = None
    expects_key: bool = True


class _Builder:
    """Turns the stream of events into a tree, with a stack instead of recursion."""

    def __init__(self, file: str, faults: Faults) -> None:
        self.root: Node | None = None
        self._file = file
        self._faults = faults
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        import yaml

        if isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event)
            scalar = Scalar(self._where(event), event.value, event.style in _QUOTING_STYLES)
            self._finish(scalar, event.anchor)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._refuse_tag(event)
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            where = self._where(event)
            if len(self._stack) == MAX_DEPTH:
                self._faults.add(where, f"nested deeper than {MAX_DEPTH} levels")
                raise _GivenUp
            self._stack.append(_Open(where, is_mapping, event.anchor))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self._stack.pop()
            node: Node = (
                Mapping(done.where, tuple(done.entries.values()))
                if done.is_mapping
                else Sequence(done.where, tuple(done.items))
            )
            self._finish(node, done.anchor)
        elif isinstance(event, yaml.AliasEvent):
            self._finish(self._resolve(event), None)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._faults.add(
                    self._where(event), "a second document starts here", "remove the '---'"
                )
                raise _GivenUp

    def _where(self, event: yaml.Event) -> Where:
        mark = event.start_mark
        return Where(self._file, mark.line + 1, mark.column + 1) if mark else Where(self._file)

    def _refuse_tag(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._faults.add(
                self._where(event), f"tag '{tag}' is not part of a policy", "remove the tag"
            )

    def _resolve(self, event: yaml.AliasEvent) -> Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            self._faults.add(
                self._where(event),
                f"alias '*{event.anchor}' has no anchor before it",
                f"write '&{event.anchor}' in front of what it shall repeat",
            )
            raise _GivenUp
        return node

    def _finish(self, node: Node, anchor: str | None) -> None:
        """Hang a complete node into what surrounds it. An anchor counts from here on, so that
        nothing can contain itself."""
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        if not parent.is_mapping:
            parent.items.append(node)
        elif parent.expects_key:
            parent.expects_key = False
            if isinstance(node, Scalar):
                parent.key = node
            else:
                self._faults.add(node.where, f"a key must be a word, not {describe(node)}")
        else:
            parent.expects_key = True
            if parent.key is not None:
                self._add_entry(parent, Entry(parent.key, node))
            parent.key = None

    def _add_entry(self, parent: _Open, entry: Entry) -> None:
        first = parent.entries.setdefault(entry.key.text, entry)
        if first is not entry:
            self._faults.add(
                entry.key.where,
                f"key '{entry.key.text}' is here twice (first in line {first.key.where.line})",
                "remove one of them",
            )
