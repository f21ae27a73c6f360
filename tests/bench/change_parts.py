"""Applies policies to the host that it runs on, and says where the time goes: ``FILE …``.

Prints a line of JSON for each: seconds by part.
"""

from __future__ import annotations

import functools
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netfw.apply import application, change, guarded
from netfw.apply.intention import Wish
from netfw.apply.wish_of import wish_of
from netfw.compiler.pipeline import compile_policy
from netfw.plan.entry import Entry
from netfw.policy.model import Policy
from netfw.policy.read import load

_PARTS = (
    (application, "entries_that_count", "history"),
    (application, "intend", "plan"),
    (application, "try_out", "try out"),
    (change, "add_entry", "history"),
    (guarded.Summons, "call", "guard"),
    (change, "carry_out", "write"),
    (change, "read_own", "read back"),
    (change, "plan", "read back"),
)
"""Functions that are timed, none of them within another."""


def main(*files: str) -> None:
    """Apply them, one after the other."""
    gc.disable()
    spent: dict[str, float] = {}
    for module, name, part in _PARTS:
        setattr(module, name, _timed(getattr(module, name), part, spent))
    for name in files:
        spent.clear()
        began = time.perf_counter()
        policy = _timed(load, "read", spent)(Path(name).read_text(encoding="utf-8"), name)
        application.apply_wish(functools.partial(_wish, policy, name, spent), lambda line: None)
        spent["all"] = time.perf_counter() - began
        print(json.dumps(spent), flush=True)


def _wish(policy: Policy, name: str, spent: dict[str, float], history: list[Entry]) -> Wish:
    compiled = _timed(compile_policy, "compile", spent)(policy)
    return _timed(wish_of, "wish", spent)(compiled, name, history)


def _timed(work: Callable[..., Any], part: str, spent: dict[str, float]) -> Callable[..., Any]:
    def measured(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return work(*arguments, **named)
        finally:
            spent[part] = spent.get(part, 0.0) + time.perf_counter() - began

    return measured


if __name__ == "__main__":
    main(*sys.argv[1:])
