"""Applies policies in turn to the host that it runs on: ``FILE FILE … TIMES``.

A process of its own, inside the host's namespace, as netfw is: but it starts Python and reads the
policies once. Prints how many changes were made, and the seconds that they took.
"""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

from netfw.apply.application import apply_wish
from netfw.apply.intention import Wish
from netfw.apply.wish_of import wish_of
from netfw.compiler.compiled import Compiled
from netfw.compiler.pipeline import compile_policy
from netfw.plan.entry import Entry
from netfw.policy.read import load


def main(*argv: str) -> None:
    """Apply them."""
    *files, times = argv
    policies = [(name, compile_policy(load(Path(name).read_text(), name))) for name in files]
    gc.disable()
    began = time.monotonic()
    made = 0
    for name, compiled in itertools.islice(itertools.cycle(policies), int(times)):
        applied = apply_wish(_wish(name, compiled), lambda line: None)
        made += applied.made is not None
    print(made, time.monotonic() - began)


def _wish(name: str, compiled: Compiled) -> Callable[[list[Entry]], Wish]:
    return lambda history: wish_of(compiled, name, history)


if __name__ == "__main__":
    main(*sys.argv[1:])
