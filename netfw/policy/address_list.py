"""Reads lists of addresses: one to a line, as others publish and generate them."""

from __future__ import annotations

from netfw.errors import Where
from netfw.ir.net import Net
from netfw.policy.faults import Faults
from netfw.policy.net_literal import NetFault, parse_nets

MAX_LIST = 1_000_000
"""Most networks of one list."""
_MOST_FAULTS = 20
"""So many faults of one list are told."""


def parse_list(text: str, file: str, faults: Faults) -> tuple[Net, ...] | None:
    """Read a list: an address, a network or ``first-last`` on each line.

    ``#`` and ``;`` begin a comment. None, and faults with their lines, for a list that is wrong
    or empty.
    """
    found: dict[Net, None] = {}
    wrong = 0
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].partition(";")[0]
        word = words.strip()
        if not word:
            continue
        try:
            found.update(dict.fromkeys(parse_nets(word)))
        except NetFault as error:
            wrong += 1
            if wrong <= _MOST_FAULTS:
                column = len(words) - len(words.lstrip()) + 1
                faults.add(Where(file, number, column), str(error), error.hint)
        if len(found) > MAX_LIST:
            faults.add(Where(file, number), f"this list has more than {MAX_LIST} networks")
            return None
    if wrong > _MOST_FAULTS:
        faults.add(Where(file), f"{wrong - _MOST_FAULTS} more lines of this list are wrong")
    if wrong:
        return None
    if not found:
        faults.add(
            Where(file),
            "this list holds no address",
            "a rule for nobody has no meaning: leave it out, or list an address that nobody has, "
            "such as 192.0.2.0/24",
        )
        return None
    return tuple(found)
