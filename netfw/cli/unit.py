"""Units of systemd that come with netfw, as they are for this installation."""

from __future__ import annotations

import os
import sys
from importlib.resources import files

from netfw.host.state_folder import VARIABLE


def unit_text(name: str, **words: str) -> str:
    """The text of a unit, with this installation's program and state folder; ``words`` are put in
    the place of ``@word@``."""
    text = (files("netfw.apply") / name).read_text(encoding="utf-8")
    for word, value in {**words, "netfw": _program()}.items():
        text = text.replace(f"@{word}@", value)
    folder = os.environ.get(VARIABLE)
    if folder:
        setting = f"Environment={_quoted(f'{VARIABLE}={os.path.abspath(folder)}')}"
        text = text.replace("[Service]\n", f"[Service]\n{setting}\n")
    return text


def _program() -> str:
    program = os.path.abspath(sys.argv[0])
    if os.path.basename(program) == "netfw":
        return _quoted(program)
    return f"{_quoted(sys.executable)} -P -m netfw"


def _quoted(word: str) -> str:
    """As systemd.syntax(7) and systemd.unit(5) have it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word else word
