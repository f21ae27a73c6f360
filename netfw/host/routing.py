"""Routing rules and routes of a namespace, as ``ip`` takes them."""

from __future__ import annotations

import re

from netfw.host.namespace import Namespace
from netfw.host.refused import RefusedError
from netfw.host.run import run
from netfw.ir.names import Family

_LINE = re.compile(r"Command failed -:(\d+)")


def load_routing(namespace: Namespace | None, family: Family, text: str) -> None:
    """Load lines for ``ip -batch``, which takes one by one; raises RefusedError with what ``ip``
    says of the first that it does not take: those before it stay."""
    if not text:
        return
    done = run(
        ["ip", f"-{family.value}", "-batch", "-"], stdin=text, namespace=namespace, check=False
    )
    if done.status != 0:
        found = _LINE.search(done.stderr)
        said = " ".join(_LINE.sub("", done.stderr).split()) or f"exit status {done.status}"
        lines, number = text.splitlines(), int(found[1]) if found else 0
        line = lines[number - 1] if 0 < number <= len(lines) else ""
        place = f"ip -{family.value} -batch" if namespace is None else namespace.name
        raise RefusedError.of_line(place, f"{said}; {line}" if line else said, line)
