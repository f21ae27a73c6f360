"""Lines of iptables-restore input as words."""

from __future__ import annotations

import re

from netfw.ir.word import QuotedWord

_QUOTED = re.compile(r'([^ \t"]*)"((?:[^"\\]|\\.)*)"|([^ \t"]+)|(")', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def split_words(line: str) -> list[str]:
    """Split a line as iptables-restore does (add_param_to_argv in iptables/xshared.c).

    Blanks and tabs separate, and nothing else. Double quotes hold blanks together and may begin
    inside a word; the closing quote ends the word. A backslash inside quotes keeps the next
    character as it is; outside it is a character like any other, as is ``'``.
    Raises ValueError for a quote that is never closed.
    """
    if '"' not in line:
        if "\t" in line:
            line = line.replace("\t", " ")
        return [word for word in line.split(" ") if word]
    words: list[str] = []
    for before, quoted, plain, open_quote in _QUOTED.findall(line):
        if plain:
            words.append(plain)
        elif open_quote:
            raise ValueError("a quote is never closed")
        else:
            text = _ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted
            words.append(QuotedWord(before + text))
    return words
