"""Collects everything that is wrong with a policy, so that its author sees it all at once."""

from __future__ import annotations

from collections.abc import Iterable

from netfw.errors import Fault, PolicyError, Where

MAX_FAULTS = 1000
"""So many different faults are told; a file with more is something else than a policy."""
_MANY_WORDS = 200
"""From so many known words on, only those of the same beginning are compared."""


class Faults:
    """Faults found so far, each with its place."""

    def __init__(self) -> None:
        self._found: dict[tuple[Where, Fault], None] = {}
        self._count = 0
        self._files: dict[str, int] = {}
        self._notes: dict[Where, str] = {}
        self._muted: set[Where] = set()

    def add(self, where: Where, problem: str, hint: str = "") -> None:
        """Note one fault; raises PolicyError with all of them where there are too many."""
        self._count += 1
        if where in self._muted:
            return
        note = self._notes.get(where)
        if note:
            hint = f"{hint}; {note}" if hint else note
        self.begin_file(where.file)
        # an anchored node is read once for every alias, its faults count once
        fault = Fault(on_one_line(str(where)), on_one_line(problem), on_one_line(hint))
        self._found[where, fault] = None
        if len(self._found) > MAX_FAULTS:
            self.raise_if_any()

    def begin_file(self, file: str) -> None:
        """Faults are told file by file, in the order in which the files were begun."""
        self._files.setdefault(file, len(self._files))

    def explain(self, where: Where, note: str) -> None:
        """Add a note to the hints of all faults that will be found at this place."""
        self._notes[where] = note

    def mute(self, where: Where) -> None:
        """Tell no more faults of this place: they would follow from one that is already told.

        They count nevertheless.
        """
        self._muted.add(where)

    def __len__(self) -> int:
        """How often a fault was noted; only good for seeing whether there are new ones."""
        return self._count

    def raise_if_any(self) -> None:
        """Raise a PolicyError with all faults, file by file and in the order of each file."""
        if not self._found:
            return
        ordered = sorted(
            self._found,
            key=lambda found: (self._files[found[0].file], found[0].line, found[0].column),
        )
        faults = list(dict.fromkeys(fault for _, fault in ordered))
        if len(faults) > MAX_FAULTS:
            file = on_one_line(ordered[0][0].file)
            hint = "mend these first; nothing was read beyond them"
            faults = [*faults[:MAX_FAULTS], Fault(file, f"more than {MAX_FAULTS} faults", hint)]
        raise PolicyError.of(faults)


def on_one_line(text: str) -> str:
    """Text of a message with whatever would break the line, or the terminal, written out."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the known words most like this one, or ``otherwise`` if none is near."""
    words = set(known)
    if len(words) > _MANY_WORDS:
        # comparing thousands of words with each of hundreds of faults takes minutes
        words = {known_word for known_word in words if known_word[:2] == word[:2]}
    if len(words) > _MANY_WORDS:
        words = set(
            sorted(words, key=lambda each: (abs(len(each) - len(word)), each))[:_MANY_WORDS]
        )
    # only who makes mistakes pays for the import
    from difflib import get_close_matches

    near = get_close_matches(word, sorted(words), n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(f"'{candidate}'" for candidate in near) + "?"
    return otherwise
