"""The ledger of marks: a picture of the way with all bits, a table by bits, and plain data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from netfw.doctor.ledger import BITS, Does, Entry, Ledger
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.place import Stage
from netfw.report.doctor import spot_data
from netfw.report.glyphs import Glyphs

_MOST_ROWS = 60
_MOST_NUMBERS = 8
_MOST_MARKS = 8
_WIDTH = 99
_NARROWEST = 30
_HEAD = "31       24 23       16 15        8 7         0"
_LEGEND = (
    "W writes: 1 sets, 0 clears, ^ toggles, = copies from the other mark, * any value; "
    "R reads: 1 or 0 asked for, x several or copied"
)


def ledger_lines(ledger: Ledger, glyphs: Glyphs) -> Iterator[str]:
    """Both words, each drawn along the way and then listed by bits."""
    for word in Word:
        entries = ledger.of(word)
        if not entries:
            yield f"{word}: nobody on {ledger.host} writes or reads it"
            yield ""
            continue
        rows = [list(same) for _, same in groupby(entries, key=_looks)]
        yield f"{word} on {ledger.host}"
        yield ""
        yield from _picture(rows, glyphs)
        yield ""
        yield from _table(ledger, word, rows)
        yield ""
    if ledger.entries:
        yield from _wrapped(_LEGEND, "")
    marked = [one for one in ledger.connections if one.mark]
    for one in marked[:_MOST_MARKS]:
        yield f"connections with mark {one.mark:#x}: {one.count} of {one.family} ({one.example})"
    if len(marked) > _MOST_MARKS:
        yield f"… and {len(marked) - _MOST_MARKS} more marks of connections"
    for each in ledger.not_read:
        yield f"not read: {each}"


def _picture(rows: Sequence[Sequence[Entry]], glyphs: Glyphs) -> Iterator[str]:
    """A row for each use; those of one chain that look the same share one."""
    yield f"         {_HEAD}"
    last: Stage | str | None = None
    for number, row in enumerate(rows[:_MOST_ROWS], start=1):
        first = row[0]
        stage: Stage | str = first.stage or "never reached"
        if stage != last:
            yield f"  {glyphs.start if last is None else glyphs.branch} {stage}"
            last = stage
        way = "W" if first.is_writer else "R"
        more = f" and {len(row) - 1} more" if len(row) > 1 else ""
        yield f"  {number:>4} {way} {_signs(first.bits, glyphs)}  {_place(first.use)}{more}"
    if len(rows) > _MOST_ROWS:
        yield f"       … and {len(rows) - _MOST_ROWS} rows more; --json has all"
    yield f"  {glyphs.end} end of the way"


def _looks(entry: Entry) -> tuple[object, ...]:
    spot = entry.use.spot
    return entry.stage, entry.is_writer, entry.bits, spot.system, spot.table, spot.chain


def _signs(bits: Sequence[Does | None], glyphs: Glyphs) -> str:
    """Bit 31 first, in groups of four."""
    signs = [does.sign if does is not None else glyphs.dot for does in reversed(bits)]
    nibbles = ["".join(signs[at : at + 4]) for at in range(0, BITS, 4)]
    return "  ".join(" ".join(nibbles[at : at + 2]) for at in range(0, len(nibbles), 2))


def _place(use: MarkUse) -> str:
    base = use.passages[0] if use.passages else None
    priority = f" ({base.priority})" if base is not None and base.first else ""
    return f"{use.spot}{priority}"


def _table(ledger: Ledger, word: Word, rows: Sequence[Sequence[Entry]]) -> Iterator[str]:
    """A line for neighbouring bits that the same rows touch, the highest first."""
    numbers = {id(entry): number for number, row in enumerate(rows, start=1) for entry in row}
    cells = [("bits", "mask", "written by", "read by", "perhaps")]
    for group in reversed(list(ledger.groups(word))):
        which = str(group.low) if group.low == group.high else f"{group.high}-{group.low}"
        written, read = (
            _numbers(numbers[id(entry)] for entry in group.entries if entry.is_writer is is_writer)
            for is_writer in (True, False)
        )
        if not group.entries:
            written = read = "nobody"
        cells.append((which, f"{group.mask:#x}", written, read, "; ".join(group.owners)))
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    for row in cells:
        start = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False))
        yield from _wrapped(f"  {start}  {row[4]}".rstrip(), " " * (len(start) + 4))


def _numbers(found: Iterable[int]) -> str:
    """Rows by number, such as ``2-5 9``."""
    parts: list[list[int]] = []
    for number in sorted(set(found)):
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    words = [str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts]
    if len(words) > _MOST_NUMBERS:
        words = [*words[:_MOST_NUMBERS], "…"]
    return " ".join(words) or "nobody"


def what_text(entry: Entry) -> str:
    """What a use does with the word, in value and mask."""
    if entry.is_writer:
        return ", ".join(str(one) for one in entry.use.effects if one.word is entry.word)
    asked = [f"asks for {test}" for test in entry.use.tests if test.word is entry.word]
    asked += [
        f"copies {effect.mixed:#x} to the {effect.word}"
        for effect in entry.use.effects
        if effect.word is not entry.word and effect.mixed
    ]
    return ", ".join(asked)


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        max(_WIDTH, len(indent) + _NARROWEST),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def ledger_data(ledger: Ledger) -> dict[str, Any]:
    """The same as plain data: uses in the order of the way, and for each bit who touches it."""
    return {
        "schema": 1,
        "host": ledger.host,
        "not_read": [{"what": each.what, "why": each.why} for each in ledger.not_read],
        "uses": [_entry_data(entry) for entry in ledger.entries],
        "bits": {
            word.name.lower(): [_bit_data(ledger, word, bit) for bit in range(BITS)]
            for word in Word
        },
        "connections": [
            {
                "family": one.family.value,
                "mark": f"{one.mark:#x}",
                "count": one.count,
                "example": one.example,
            }
            for one in ledger.connections
        ],
    }


def _entry_data(entry: Entry) -> dict[str, Any]:
    return {
        "word": entry.word.name.lower(),
        "does": "writes" if entry.is_writer else "reads",
        "mask": f"{entry.mask:#x}",
        "what": what_text(entry),
        "place": spot_data(entry.use.spot),
        "owners": list(entry.owners),
        "passages": [
            {
                "stage": passage.stage.value,
                "priority": passage.priority,
                "first": list(passage.first),
                "last": list(passage.last),
            }
            for passage in entry.use.passages
        ],
    }


def _bit_data(ledger: Ledger, word: Word, bit: int) -> dict[str, Any]:
    """Uses are named by their place in ``uses``, from 0."""
    touching = [
        (index, entry)
        for index, entry in enumerate(ledger.entries)
        if entry.word is word and entry.bits[bit] is not None
    ]
    return {
        "bit": bit,
        "mask": f"{1 << bit:#x}",
        "writers": [index for index, entry in touching if entry.is_writer],
        "readers": [index for index, entry in touching if not entry.is_writer],
        "owners": list(dict.fromkeys(name for _, entry in touching for name in entry.owners)),
    }
