"""Loading and saving sets with the program ipset."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netfw.errors import ConflictError
from netfw.facts.ipset_save import parse_sets
from netfw.host.namespace import Namespace
from netfw.host.refused import RefusedError
from netfw.host.run import run
from netfw.host.wait import wait_until
from netfw.ir.ipset import IpSet
from netfw.render.ipset import render_sets

_LINE = re.compile(r"\bError in line (\d+): ")
_NOISE = re.compile(r"^ipset v\S+: ")
_IN_USE = "it is in use by a kernel component"
_LET_GO = 5.0
"""Seconds. nf_tables lets a set go some time after the rule that asked it (nf_tables_trans_destroy
in net/netfilter/nf_tables_api.c is work for later)."""


def restore_sets(namespace: Namespace, sets: Iterable[IpSet]) -> None:
    """Make sets that are not there yet, with their members.

    Raises RefusedError with what ipset said, CapabilityError where the program is missing.
    """
    load_sets(namespace, render_sets(sets))


def load_sets(namespace: Namespace | None, text: str, *, patience: float = _LET_GO) -> None:
    """Load lines for ``ipset restore``, which takes one by one.

    A set that is to be destroyed may be in use for ``patience`` seconds. Raises RefusedError with
    what ipset says of the first line that it does not take: those before it stay. Raises
    ConflictError where something else still asks a set, CapabilityError where the program is
    missing.
    """
    left = text.splitlines()

    def is_taken() -> bool:
        del left[: _taken(namespace, left)]
        return not left

    if wait_until(is_taken, patience):
        return
    name = left[0].split()[1]
    raise ConflictError.at(
        f"set {name}",
        "it cannot be destroyed: a rule or a list that is not netfw's asks it",
        f"iptables-save, ip6tables-save and ipset list say which: look for {name}",
    )


def _taken(namespace: Namespace | None, lines: list[str]) -> int:
    """How many lines were taken: all, or those before one that destroys a set which is in use."""
    text = "".join(f"{line}\n" for line in lines)
    done = run(["ipset", "restore"], stdin=text, namespace=namespace, check=False, timeout=300)
    if done.status == 0:
        return len(lines)
    found = _LINE.search(done.stderr)
    number = int(found[1]) if found else 0
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    said = _NOISE.sub("", " ".join(done.stderr.split())) or f"exit status {done.status}"
    said = _LINE.sub("", said)
    if _IN_USE in said and line.startswith("destroy "):
        return number - 1
    raise RefusedError.of_line("ipset restore", f"{said}; {line}" if line else said, line)


def save_sets(namespace: Namespace | None, prefix: str = "") -> dict[str, IpSet]:
    """All sets by name, or those alone whose name begins so.

    Raises HostError with what ipset said, FactError for what it prints that netfw cannot read,
    CapabilityError where the program is missing.
    """
    text = saved_sets(namespace)
    if prefix:
        starts = (f"create {prefix}", f"add {prefix}")
        text = "".join(f"{line}\n" for line in text.split("\n") if line.startswith(starts))
    return parse_sets(text, "ipset save")


def saved_sets(namespace: Namespace | None) -> str:
    """What ``ipset save`` prints. Raises HostError, CapabilityError where it is missing."""
    return run(["ipset", "save"], namespace=namespace).stdout
