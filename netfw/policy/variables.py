"""``vars`` and ``${name}``: values that are written once, or given on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass

from netfw.errors import Where
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import check_name
from netfw.policy.source import Entry, Mapping, Node, Scalar, Sequence, describe
from netfw.policy.yaml_text import MAX_WORD, NodeCount

MAX_NESTED = 20
"""Longest way from a variable through others to its value."""
MAX_LISTED = 100_000
"""Most words of a list that a variable stands for."""
_USE = re.compile(r"\$(?:\$|\{([^{}$]*)\}|)")

Value = str | tuple[str, ...]
"""A word, or the words of a list."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A variable as it is written; ``where`` is the place of its name."""

    where: Where
    value: Node


class Variables:
    """What variables stand for. They may use each other, in any order."""

    def __init__(
        self, defined: MappingOf[str, Definition], count: NodeCount, faults: Faults
    ) -> None:
        self.used: set[str] = set()
        self._defined = defined
        self._count = count
        self._faults = faults
        self._values: dict[str, Value | None] = {}
        self._way: list[str] = []

    def resolve_all(self) -> None:
        """Find what is wrong with definitions, those that nobody uses among them."""
        for name in self._defined:
            self._value(name)

    def replace(self, node: Mapping) -> Mapping:
        """The same mapping with every variable in its values replaced; keys have none."""
        return _Replacing(self, self._count, self._faults).mapping(node)

    def in_word(self, word: Scalar) -> Value | None:
        """What a word stands for; None where it is at fault (and the fault noted).

        A word that is nothing but one variable may stand for a list.
        """
        uses = list(_USE.finditer(word.text))
        names = [use[1] for use in uses if use[1] is not None]
        parts: list[str] = []
        end = 0
        sound = True
        for use in uses:
            parts.append(word.text[end : use.start()])
            end = use.end()
            if use[1] is None:
                parts.append("$")
                sound = self._check_dollar(use[0], word) and sound
                continue
            value = self._look_up(use[1], word)
            if isinstance(value, tuple):
                if use[0] == word.text:
                    return value
                self._faults.add(
                    word.where,
                    f"'{use[0]}' is a list, which cannot stand within a word",
                    self._origin(use[1]),
                )
                value = None
            sound = value is not None and sound
            parts.append(value or "")
        parts.append(word.text[end:])
        if sound and sum(map(len, parts)) > MAX_WORD:
            hint = "; ".join(self._origin(name) for name in dict.fromkeys(names))
            problem = f"'{word.text}' becomes longer than {MAX_WORD} characters"
            self._faults.add(word.where, problem, hint)
            sound = False
        return "".join(parts) if sound else None

    def explain_use(self, word: Scalar) -> None:
        """Let faults at a place where variables were replaced name them."""
        names = dict.fromkeys(use[1] for use in _USE.finditer(word.text) if use[1] is not None)
        if names:
            self._faults.explain(word.where, "; ".join(map(self._origin, names)))

    def _origin(self, name: str) -> str:
        return f"'${{{name}}}' comes from {self._defined[name].where}"

    def _check_dollar(self, text: str, word: Scalar) -> bool:
        if text == "$$":
            return True
        self._faults.add(
            word.where,
            f"'{word.text}' has a '$' that begins no variable",
            "write ${name} for a variable, $$ for a dollar",
        )
        return False

    def _look_up(self, name: str, word: Scalar) -> Value | None:
        self.used.add(name)
        if name not in self._defined:
            self._faults.add(
                word.where,
                f"unknown variable '{name}' in '{word.text}'",
                did_you_mean(name, self._defined, "define it under 'vars:'"),
            )
            return None
        if name in self._way:
            way = " → ".join([*self._way[self._way.index(name) :], name])
            self._faults.add(word.where, f"variable '{name}' contains itself: {way}")
            return None
        if len(self._way) > MAX_NESTED:
            self._faults.add(word.where, f"variables are nested deeper than {MAX_NESTED}")
            return None
        return self._value(name)

    def _value(self, name: str) -> Value | None:
        if name not in self._values:
            self._way.append(name)
            self._values[name] = self._resolve(name, self._defined[name].value)
            self._way.pop()
        return self._values[name]

    def _resolve(self, name: str, node: Node) -> Value | None:
        if isinstance(node, Scalar) and not node.is_empty:
            return self._resolve_word(node)
        if isinstance(node, Sequence):
            words: list[str] = []
            for item in node.items:
                if not isinstance(item, Scalar) or item.is_empty:
                    self._refuse(name, item)
                    return None
                value = self._resolve_word(item)
                if value is None:
                    return None
                words += value if isinstance(value, tuple) else (value,)
                if len(words) > MAX_LISTED:
                    problem = f"variable '{name}' has more than {MAX_LISTED:,} words"
                    self._faults.add(item.where, problem)
                    return None
            return tuple(words)
        self._refuse(name, node)
        return None

    def _resolve_word(self, word: Scalar) -> Value | None:
        return self.in_word(word) if "$" in word.text else word.text

    def _refuse(self, name: str, node: Node) -> None:
        self._faults.add(
            node.where,
            f"variable '{name}' must be a word or a list of words, not {describe(node)}",
        )


class _Replacing:
    """One walk through a tree. What is the same in two places (by an alias) stays so."""

    def __init__(self, variables: Variables, count: NodeCount, faults: Faults) -> None:
        self._variables = variables
        self._count = count
        self._faults = faults
        self._done: dict[Node, Node] = {}

    def mapping(self, node: Mapping) -> Mapping:
        entries = {
            key: Entry(entry.key, self._node(entry.value)) for key, entry in node.by_key.items()
        }
        return Mapping(node.file, node.place, entries)

    def _node(self, node: Node) -> Node:
        if isinstance(node, Scalar) and "$" not in node.text:
            return node
        found = self._done.get(node)
        if found is None:
            found = self._done[node] = self._replace(node)
        return found

    def _replace(self, node: Node) -> Node:
        match node:
            case Mapping():
                return self.mapping(node)
            case Sequence():
                items: list[Node] = []
                for item in node.items:
                    done = self._node(item)
                    if isinstance(item, Scalar) and isinstance(done, Sequence):
                        items += done.items
                    else:
                        items.append(done)
                return Sequence(node.file, node.place, tuple(items))
            case Scalar():
                return self._word(node)

    def _word(self, word: Scalar) -> Node:
        value = self._variables.in_word(word)
        if value is None:
            # whatever is found at this place now follows from the fault that is told already
            self._faults.mute(word.where)
            return word
        self._variables.explain_use(word)
        if isinstance(value, str):
            return Scalar(word.file, word.place, value, True)
        if not self._count.add(len(value), word, self._faults):
            self._faults.raise_if_any()
        words = tuple(Scalar(word.file, word.place, text, True) for text in value)
        return Sequence(word.file, word.place, words)


def read_definitions(entries: tuple[Entry, ...], faults: Faults) -> dict[str, Definition]:
    """The variables of ``vars:``, or of a file of variables."""
    return {
        entry.key.text: Definition(entry.key.where, entry.value)
        for entry in entries
        if check_name(entry.key, "the name of a variable", frozenset(), faults)
    }
