"""Words as iptables-save quotes them."""

from __future__ import annotations

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def quote(text: str) -> str:
    """Quote a string as xtables_save_string does (libxtables/xtables.c).

    Letters, digits, ``_`` and ``-`` stay as they are; anything else puts the whole into double
    quotes, with ``"``, ``'`` and backslash escaped.
    """
    if text and all(character in _PLAIN for character in text):
        return text
    escaped = "".join(
        f"\\{character}" if character in "\"'\\" else character for character in text
    )
    return f'"{escaped}"'


def quote_if_needed(word: str) -> str:
    """A word kept verbatim: quoted only where it would not be read back as one word."""
    if word and not any(character in " \t\"'\\" for character in word):
        return word
    return quote(word)
