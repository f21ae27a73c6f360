"""Collects everything that is wrong with a file, so that its author sees it all at once."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from netfw.errors import Fault, PolicyError, Where


class Faults:
    """Faults found so far, each with its place."""

    def __init__(self) -> None:
        self._found: list[tuple[Where, Fault]] = []

    def add(self, where: Where, problem: str, hint: str = "") -> None:
        """Note one fault."""
        self._found.append((where, Fault(str(where), problem, hint)))

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise a PolicyError with all faults in the order of the file, each once."""
        if self._found:
            ordered = sorted(self._found, key=lambda found: (found[0].line, found[0].column))
            # an anchored node is read once for every alias, its faults count once
            raise PolicyError.of(dict.fromkeys(fault for _, fault in ordered))


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the known words most like this one, or ``otherwise`` if none is near."""
    words = sorted(set(known))
    near = get_close_matches(word, words, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(f"'{candidate}'" for candidate in near) + "?"
    return otherwise
