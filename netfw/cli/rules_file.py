"""Reading saved rules from a file, with one clear line for whatever is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from netfw.errors import FactError

if TYPE_CHECKING:
    from netfw.ir.names import Family
    from netfw.ir.ruleset import Ruleset


def read_rules(name: str, family: Family) -> Ruleset:
    """The rules in a file as iptables-save prints them, ``-`` for standard input.

    Raises FactError.
    """
    from netfw.facts.iptables_save import parse_ruleset

    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except FileNotFoundError:
        raise FactError.at(name, "there is no such file") from None
    except OSError as error:
        raise FactError.at(name, f"cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FactError.at(
            f"{name}:{line}",
            f"byte {data[error.start]:#04x} is not UTF-8",
            "rules are text as iptables-save prints them",
        ) from None
    return parse_ruleset(text, family, "<stdin>" if name == "-" else name)
