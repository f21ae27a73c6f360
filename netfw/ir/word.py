"""Words of matches and targets that netfw does not know."""

from __future__ import annotations


class QuotedWord(str):
    """A word that stood in quotes. It equals the same word without; only printing tells them
    apart, because what is not known is given back as it came."""

    __slots__ = ()
