"""YAML text to nodes.

What YAML allows and a policy does not need (tags, keys that are not words, documents after the
first) is refused, and so are duplicate keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from netfw.errors import Where
from netfw.policy.faults import Faults, on_one_line
from netfw.policy.source import (
    COLUMN_BITS,
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    describe,
    pack_place,
)

if TYPE_CHECKING:
    import yaml

MAX_DEPTH = 20
"""Deepest nesting that is read; the language itself needs six levels."""
MAX_NODES = 5_000_000
"""Most nodes that a policy may have, those of an alias counted each time that it is used."""
MAX_WORD = 4096
"""Longest value, in characters."""
_QUOTING_STYLES = frozenset({"'", '"', "|", ">"})
_SYNTAX_HINT = "look at the indentation and at ':' and '-' on this line and the one above"
_TAB_HINT = "indent with blanks, not with tabs"
# characters without a meaning in any value; a line break is one in a note of several lines
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class NodeCount:
    """Nodes made so far, over all files of a policy."""

    def __init__(self, most: int = MAX_NODES) -> None:
        self.made = 0
        self.most = most

    def add(self, nodes: int, node: Node, faults: Faults) -> bool:
        """Count some more; False, and a fault at ``node``, where they are too many."""
        self.made += nodes
        if self.made <= self.most:
            return True
        faults.add(
            node.where,
            f"up to here the policy has more than {self.most:,} values",
            "aliases and variables count each time that they are used",
        )
        return False


def parse_nodes(
    text: str, file: str, faults: Faults, count: NodeCount | None = None
) -> Node | None:
    """Read YAML text; what is wrong goes to ``faults``, and None means there is nothing to use."""
    # PyYAML takes 20 ms to import, which verbs without a policy need not pay
    import yaml

    faults.begin_file(file)
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    builder = _Builder(file, faults, count or NodeCount())
    try:
        builder.build(parser)
    except _GivenUp:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Where(file) if mark is None else Where(file, mark.line + 1, mark.column + 1)
        words = " ".join(part for part in (error.context, error.problem) if part)
        hint = _TAB_HINT if "'\\t'" in words else _SYNTAX_HINT
        faults.add(where, f"this is not YAML: {words}", hint)
        return None
    except (yaml.YAMLError, UnicodeError) as error:
        problem = str(error).partition("\n")[0]
        faults.add(_place_of_reader_error(error, text, file), f"this is not YAML: {problem}")
        return None
    finally:
        parser.dispose()
    if builder.root is None:
        faults.add(Where(file), "the file is empty", "start with 'version: 1'")
    return builder.root


def _place_of_reader_error(error: Exception, text: str, file: str) -> Where:
    """A character that YAML forbids: libyaml gives its position only in the message."""
    position = getattr(error, "position", None)
    if not isinstance(position, int):
        return Where(file)
    before = text[:position]
    return Where(file, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


class _GivenUp(Exception):
    """There is no sense in reading on; the fault is already noted."""


class _Open:
    """A collection whose end has not come yet.

    Either ``items`` or ``by_key`` is None; ``key`` is the key that waits for its value.
    """

    __slots__ = ("anchor", "before", "by_key", "items", "key", "place")

    def __init__(self, place: int, is_mapping: bool, anchor: str | None, before: int) -> None:
        self.place = place
        if is_mapping:
            self.by_key: dict[str, Entry] | None = {}
            self.items: list[Node] | None = None
        else:
            self.by_key = None
            self.items = []
        self.key: Scalar | None = None
        self.anchor = anchor
        self.before = before


class _Builder:
    """Turns the stream of events into a tree, with a stack instead of recursion."""

    def __init__(self, file: str, faults: Faults, count: NodeCount) -> None:
        self.root: Node | None = None
        self._file = file
        self._faults = faults
        self._count = count
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int]] = {}
        # stands for a key that is at fault; no key that is written can have this text
        self._no_key = Scalar(file, 0, "\0")
        self._has_lists_as_keys = False

    def build(self, parser: yaml.SafeLoader) -> None:
        """Take all events.

        One loop that leaves to methods what is seldom, because a policy of 100,000 rules has a
        million of them.
        """
        import yaml

        scalar_event, alias_event = yaml.ScalarEvent, yaml.AliasEvent
        mapping_start, sequence_start = yaml.MappingStartEvent, yaml.SequenceStartEvent
        mapping_end, sequence_end = yaml.MappingEndEvent, yaml.SequenceEndEvent
        get_event: Callable[[], Any] = parser.get_event
        file, stack, count = self._file, self._stack, self._count
        has_document = False
        top: _Open | None = None
        node: Node
        while (event := get_event()) is not None:
            kind = type(event)
            if kind is scalar_event:
                mark = event.start_mark
                place = (mark.line + 1) << COLUMN_BITS | mark.column + 1
                text, quoted = event.value, event.style in _QUOTING_STYLES
                node = Scalar(file, place, text, quoted)
                count.made += 1
                if event.tag is not None:
                    self._refuse_tag(event)
                # what is printable has no control characters
                if (quoted and not text.isprintable()) or len(text) > MAX_WORD:
                    self._check_text(node)
                if event.anchor is not None:
                    self._anchors[event.anchor] = node, 1
            elif kind is mapping_start or kind is sequence_start:
                if event.tag is not None or len(stack) == MAX_DEPTH:
                    self._refuse_collection(event)
                mark = event.start_mark
                place = (mark.line + 1) << COLUMN_BITS | mark.column + 1
                top = _Open(place, kind is mapping_start, event.anchor, count.made)
                stack.append(top)
                continue
            elif kind is mapping_end or kind is sequence_end:
                node = self._close(stack.pop())
                top = stack[-1] if stack else None
            elif kind is alias_event:
                node = self._resolve(event)
            elif kind is yaml.DocumentStartEvent:
                if has_document:
                    where = self._where(event)
                    self._faults.add(where, "a second document starts here", "remove the '---'")
                    raise _GivenUp
                has_document = True
                continue
            else:
                continue
            # hang a complete node into what surrounds it
            if top is None:
                self.root = node
            elif top.items is not None:
                top.items.append(node)
            elif top.key is None:
                top.key = node if isinstance(node, Scalar) else self._refuse_key(node)
            else:
                key, top.key = top.key, None
                assert top.by_key is not None
                entry = Entry(key, node)
                if top.by_key.setdefault(key.text, entry) is not entry:
                    self._refuse_second(key, top.by_key)

    def _where(self, event: yaml.Event) -> Where:
        mark = event.start_mark
        return Where(self._file, mark.line + 1, mark.column + 1) if mark else Where(self._file)

    def _refuse_tag(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._faults.add(
                self._where(event), f"tag '{tag}' is not part of a policy", "remove the tag"
            )

    def _check_text(self, word: Scalar) -> None:
        if len(word.text) > MAX_WORD:
            shown = f"{word.text[:20]}…"
            self._faults.add(word.where, f"'{shown}' is longer than {MAX_WORD} characters")
            self._faults.mute(word.where)
        elif found := _CONTROL.search(word.text):
            shown = on_one_line(found[0])
            self._faults.add(word.where, f"the control character {shown} cannot be in a value")
            self._faults.mute(word.where)

    def _refuse_collection(self, event: yaml.CollectionStartEvent) -> None:
        """Where it has a tag, or lies too deep."""
        self._refuse_tag(event)
        if len(self._stack) == MAX_DEPTH:
            self._faults.add(self._where(event), f"nested deeper than {MAX_DEPTH} levels")
            raise _GivenUp

    def _close(self, done: _Open) -> Node:
        """A complete collection. An anchor counts from its end on, so that nothing can contain
        itself."""
        node: Node
        if done.by_key is not None:
            if self._has_lists_as_keys:
                done.by_key.pop(self._no_key.text, None)
            node = Mapping(self._file, done.place, done.by_key)
        else:
            node = Sequence(self._file, done.place, tuple(done.items or ()))
        self._count.made += 1
        if self._count.made > self._count.most:
            self._expect_room(node, 0)
        if done.anchor is not None:
            self._anchors[done.anchor] = node, self._count.made - done.before
        return node

    def _resolve(self, event: yaml.AliasEvent) -> Node:
        found = self._anchors.get(event.anchor or "")
        if found is None:
            self._faults.add(
                self._where(event),
                f"alias '*{event.anchor}' has no anchor before it",
                f"write '&{event.anchor}' in front of what it shall repeat",
            )
            raise _GivenUp
        node, nodes = found
        self._expect_room(Scalar(self._file, self._place(event), ""), nodes)
        return node

    def _place(self, event: yaml.Event) -> int:
        mark = event.start_mark
        return pack_place(mark.line + 1, mark.column + 1) if mark else 0

    def _expect_room(self, node: Node, nodes: int) -> None:
        if not self._count.add(nodes, node, self._faults):
            raise _GivenUp

    def _refuse_key(self, node: Node) -> Scalar:
        self._faults.add(node.where, f"a key must be a word, not {describe(node)}")
        self._has_lists_as_keys = True
        return self._no_key

    def _refuse_second(self, key: Scalar, by_key: dict[str, Entry]) -> None:
        if key is self._no_key:
            return
        first = by_key[key.text].key.where
        self._faults.add(
            key.where,
            f"key '{key.text}' is here twice (first in line {first.line})",
            "remove one of them",
        )
