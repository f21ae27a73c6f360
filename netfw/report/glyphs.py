"""The few signs beyond ASCII, and what stands for them where the output cannot show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Signs for drawing."""

    arrow: str
    line: str
    branch: str
    start: str
    end: str
    dot: str
    good: str
    bad: str
    unsure: str


UNICODE = Glyphs("→", "│", "├─", "┌", "└", "·", "✓", "✗", "?")
ASCII = Glyphs("->", "|", "+-", ".", "`", "-", "ok", "NO", "?")


def glyphs_for(stream: TextIO) -> Glyphs:
    """Unicode signs where the stream's encoding has them."""
    try:
        "".join((UNICODE.arrow, UNICODE.branch, UNICODE.good)).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE
