"""The legacy tables through python-iptables, without the iptables programs.

python-iptables reads them from the kernel with libiptc, and lets libxtables print each match and
target, so the words are those of ``iptables-save``; this module puts them into its lines.
Each look is a Python process of its own (``netfw.host.legacy_process``): libxtables keeps its
modules in globals and serves one family for a process' life, python-iptables takes every
namespace for the same one, turns the standard output of the whole process aside while it reads,
and ends the process where libxtables does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from netfw.errors import CapabilityError, HostError
from netfw.host.legacy_process import REFUSED, UNREADABLE
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.names import Family, Hook

_PROGRAM = "netfw.host.legacy_process"
_PATIENCE = 180.0
"""Seconds: a guest under software emulation needs many to start a Python."""
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])


def read_legacy(namespace: Namespace, family: Family, *, counters: bool = False) -> str:
    """All legacy rules of a family as ``iptables-save`` prints them, but for its comment lines.

    Without ``counters`` those of chains are 0, with them the text is that of
    ``iptables-save --counters``. Tables that are not there are not created. Raises
    CapabilityError where python-iptables cannot be used on this machine, or cannot express a
    rule correctly.
    """
    return _ask(namespace, "count" if counters else "read", family)


def insert_trace(namespace: Namespace, family: Family, hook: Hook, comment: str) -> None:
    """Put a TRACE rule with a comment in front of raw PREROUTING or OUTPUT, and read it back.

    Raises HostError where it is not there afterwards, CapabilityError as ``read_legacy``.
    """
    _ask(namespace, "insert", family, hook.value, comment)


def remove_trace(namespace: Namespace, family: Family, hook: Hook, comment: str) -> int:
    """Remove the TRACE rules of a chain of raw that have this comment, and say how many."""
    return int(_ask(namespace, "remove", family, hook.value, comment))


def _ask(namespace: Namespace, what: str, family: Family, *arguments: str) -> str:
    # -P: with -m Python would look for modules in the working directory first, as root
    argv = [sys.executable, "-P", "-W", "ignore", "-m", _PROGRAM, what, str(family.value)]
    found = os.environ.get("PYTHONPATH", "")
    path = f"{_PACKAGE_ROOT}:{found}" if found else _PACKAGE_ROOT
    done = run(
        [*argv, *arguments],
        namespace=namespace,
        check=False,
        environment={"PYTHONPATH": path},
        timeout=_PATIENCE,
    )
    if done.status == 0:
        return done.stdout
    said = (done.stderr.strip().splitlines() or [f"it ended with status {done.status}"])[-1]
    if done.status == REFUSED:
        raise HostError.at(f"legacy {family}", said)
    if done.status == UNREADABLE:
        raise CapabilityError.at(
            "python-iptables",
            f"it cannot read a legacy {family} rule correctly: {said}",
            "read the tables with iptables-legacy-save",
        )
    raise CapabilityError.at(
        "python-iptables",
        f"it cannot be used for the legacy tables here: {said}",
        "install the package iptables and a C compiler, then python-iptables again",
    )
