"""Words as iptables-save quotes them."""

from __future__ import annotations

import re

from netfw.ir.word import QuotedWord

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED = re.compile(r"""["'\\]""")


def quote(text: str) -> str:
    """Quote a string as xtables_save_string does (libxtables/xtables.c).

    Letters, digits, ``_`` and ``-`` stay as they are; anything else puts the whole into double
    quotes, with ``"``, ``'`` and backslash escaped.
    """
    return text if _PLAIN.fullmatch(text) else in_quotes(text)


def in_quotes(text: str) -> str:
    """A text in double quotes, whether it needs them or not."""
    escaped = _ESCAPED.sub(r"\\\g<0>", text)
    return f'"{escaped}"'


def quote_if_needed(word: str) -> str:
    """A word kept verbatim: quoted where it was, or where it would not come back as one word."""
    if isinstance(word, QuotedWord):
        return in_quotes(word)
    if word and not any(character in " \t\"'\\" for character in word):
        return word
    return quote(word)
