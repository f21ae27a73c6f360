"""Selectors: which endpoints are meant, by their labels. ``env == 'prod' && !has(legacy)``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_LENGTH = 2000
"""Longest selector, in characters."""
MAX_DEPTH = 30
"""Deepest nesting of parentheses and negations."""

LABEL_VALUE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
"""What the value of a label looks like (the rule of Kubernetes, so that labels can be shared)."""
LABEL_KEY = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?" + LABEL_VALUE.pattern)
"""What the key of a label looks like: a value, with a domain and ``/`` before it at choice."""

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]
"""Says whether labels are meant."""

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*'|\"[^\"]*\")|(?P<sign>==|!=|&&|\|\||[!(){},])"
    rf"|(?P<word>{LABEL_KEY.pattern}))"
)


class SelectorFault(ValueError):
    """A selector that cannot be; ``offset`` is the character of it that is at fault, from 0."""

    def __init__(self, offset: int, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.offset = offset
        self.hint = hint


@dataclass(frozen=True, slots=True)
class _Token:
    offset: int
    text: str
    is_quoted: bool = False


def parse_selector(text: str) -> Selector:
    """Read a selector; raises SelectorFault.

    ``||`` binds weakest, then ``&&``, then ``!``. A comparison with a label that an endpoint does
    not have is false, and its opposite (``!=``, ``not in``) is true.
    """
    if len(text) > MAX_LENGTH:
        raise SelectorFault(0, f"the selector is longer than {MAX_LENGTH} characters")
    reader = _Reader(_tokens(text))
    found = reader.read_any(0)
    reader.expect_end()
    return found


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            offset = at + len(text[at:]) - len(text[at:].lstrip())
            character = text[offset]
            if character in "'\"":
                raise SelectorFault(offset, f"the text after {character} has no end")
            raise SelectorFault(
                offset,
                f"'{character}' is no part of a selector",
                "write it like env == 'prod' && !has(legacy)",
            )
        kind = match.lastgroup
        assert kind is not None
        word = match[kind]
        if kind == "text":
            tokens.append(_Token(match.start(kind), word[1:-1], is_quoted=True))
        else:
            tokens.append(_Token(match.start(kind), word))
        at = match.end()
    tokens.append(_Token(len(text), ""))
    return tokens


class _Reader:
    """Descends from ``||`` to single comparisons."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _takes(self, sign: str) -> bool:
        """Whether the next token is this sign or word; it is taken then."""
        token = self._next
        if token.is_quoted or token.text != sign or not sign:
            return False
        self._at += 1
        return True

    def _fault(self, problem: str, hint: str = "") -> SelectorFault:
        token = self._next
        shown = f"'{token.text}'" if token.text or token.is_quoted else "the end"
        return SelectorFault(token.offset, f"{problem}, not {shown}", hint)

    def _expect(self, sign: str, after: str) -> None:
        if not self._takes(sign):
            raise self._fault(f"expected '{sign}' after {after}")

    def expect_end(self) -> None:
        if self._next.text or self._next.is_quoted:
            hint = {"and": "use '&&' for and", "or": "use '||' for or"}.get(self._next.text, "")
            raise self._fault("expected '&&', '||' or the end", hint)

    def read_any(self, depth: int) -> Selector:
        parts = [self._read_all(depth)]
        while self._takes("||"):
            parts.append(self._read_all(depth))
        return parts[0] if len(parts) == 1 else lambda labels: any(part(labels) for part in parts)

    def _read_all(self, depth: int) -> Selector:
        parts = [self._read_one(depth)]
        while self._takes("&&"):
            parts.append(self._read_one(depth))
        return parts[0] if len(parts) == 1 else lambda labels: all(part(labels) for part in parts)

    def _read_one(self, depth: int) -> Selector:
        if depth > MAX_DEPTH:
            raise SelectorFault(
                self._next.offset, f"the selector is nested deeper than {MAX_DEPTH}"
            )
        if self._takes("!"):
            inner = self._read_one(depth + 1)
            return lambda labels: not inner(labels)
        if self._takes("("):
            inner = self.read_any(depth + 1)
            self._expect(")", "what is in parentheses")
            return inner
        if self._calls("all"):
            self._expect(")", "'all('")
            return lambda _: True
        if self._calls("has"):
            key = self._read_key()
            self._expect(")", f"'has({key}'")
            return lambda labels: key in labels
        return self._read_comparison()

    def _calls(self, word: str) -> bool:
        """Whether a word with an opening parenthesis comes; both are taken then."""
        following = self._tokens[self._at + 1 : self._at + 2]
        if following and following[0].text == "(" and self._takes(word):
            self._at += 1
            return True
        return False

    def _read_key(self) -> str:
        token = self._next
        if token.is_quoted or not LABEL_KEY.fullmatch(token.text):
            raise self._fault("expected the name of a label", "write it without quotes")
        self._at += 1
        return token.text

    def _read_value(self) -> str:
        token = self._next
        if not token.is_quoted and not LABEL_VALUE.fullmatch(token.text):
            raise self._fault("expected a value", "write it like env == 'prod'")
        self._at += 1
        return token.text

    def _read_comparison(self) -> Selector:
        key = self._read_key()
        if self._takes("=="):
            value = self._read_value()
            return lambda labels: labels.get(key) == value
        if self._takes("!="):
            value = self._read_value()
            return lambda labels: labels.get(key) != value
        if self._takes("in"):
            values = self._read_values()
            return lambda labels: labels.get(key) in values
        if self._takes("not"):
            self._expect("in", "'not'")
            values = self._read_values()
            return lambda labels: labels.get(key) not in values
        if self._takes("contains"):
            value = self._read_value()
            return lambda labels: key in labels and value in labels[key]
        if self._takes("starts"):
            self._expect("with", "'starts'")
            value = self._read_value()
            return lambda labels: key in labels and labels[key].startswith(value)
        if self._takes("ends"):
            self._expect("with", "'ends'")
            value = self._read_value()
            return lambda labels: key in labels and labels[key].endswith(value)
        raise self._fault(
            f"expected a comparison after '{key}'",
            f"write {key} == 'value', {key} in {{'a', 'b'}} or has({key})",
        )

    def _read_values(self) -> frozenset[str]:
        self._expect("{", "'in'")
        values = {self._read_value()}
        while self._takes(","):
            values.add(self._read_value())
        self._expect("}", "the values")
        return frozenset(values)
