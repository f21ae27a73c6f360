"""Everybody's rules and sets, from a host to its twin: of both backends, and those of nft."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netfw.errors import CapabilityError, HostError
from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_rules import SavedTable, saved_tables
from netfw.host.namespace import Namespace
from netfw.host.run import Completed, run
from netfw.host.trace_table import TABLE as TRACE_TABLE
from netfw.host.uncopied import Uncopied
from netfw.ir.names import Backend, Family

_COUNTERS = re.compile(r" \[\d+:\d+\]$")
_OF_IPTABLES = re.compile(r"\bxt (?:match|target|watcher) |# ?xt_")
"""How nft shows what only iptables can load."""
_MOVING = re.compile(r" (?:expires [0-9smhdw]+|packets \d+ bytes \d+)")
"""What nft prints that another moment would show otherwise."""


def copy_rules(source: LiveNamespace, target: Namespace, live: LiveNamespace) -> list[Uncopied]:
    """Load the rules and sets of the source into the target, of which ``live`` is a view.

    What could not be loaded, or is not there as it was, is in the result. Raises HostError where
    the source cannot be read.
    """
    lacking = list(_copy_sets(source, target))
    # a trace that runs on the host is not one of the twin's
    wanted = [table for table in saved_tables(source) if table.name != f"inet {TRACE_TABLE}"]
    for table in wanted:
        if table.backend is None:
            lacking += _copy_native(source, target, table)
        else:
            lacking += _copy_table(table.backend, table, target)
    found = {_key(table): _plain(table.text) for table in saved_tables(live)}
    for table in wanted:
        if _key(table) in found and found[_key(table)] != _plain(table.text):
            what = f"{table.backend} table {table.name}: it is not there as it was"
            lacking.append(Uncopied(what, family=table.family))
    return lacking


def _key(table: SavedTable) -> tuple[Backend | None, Family | None, str]:
    return table.backend, table.family, table.name


def _plain(text: str) -> list[str]:
    """Chains and rules, without comments and counters."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return [_COUNTERS.sub("", line) if line.startswith(":") else line for line in lines]


def _copy_table(backend: Backend, table: SavedTable, target: Namespace) -> Iterator[Uncopied]:
    assert table.family is not None
    try:
        restore(target, backend, table.family, table.text, keep=True)
    except HostError as error:
        yield Uncopied(f"{backend} table {table.name}: {_said(error)}", family=table.family)


def _copy_sets(source: LiveNamespace, target: Namespace) -> Iterator[Uncopied]:
    try:
        saved = _run(source, "ipset", "save")
    except CapabilityError:
        # whoever has no such program has no such sets, or rules that name them will be refused
        return
    if saved.status != 0:
        # no set was ever made: the kernel's part is not loaded
        return
    if not saved.stdout.strip():
        return
    done = run(["ipset", "restore"], stdin=saved.stdout, namespace=target, check=False)
    if done.status != 0:
        yield Uncopied(f"sets: {' '.join(done.stderr.split())}")


def _copy_native(
    source: LiveNamespace, target: Namespace, table: SavedTable
) -> Iterator[Uncopied]:
    what, family = f"nft table {table.name}", table.family
    command = ["nft", "list", "table", *table.name.split(" ", 1)]
    try:
        listed = _run(source, *command)
    except CapabilityError:
        yield Uncopied(f"{what}: the program nft is not installed", family=family)
        return
    if listed.status != 0:
        yield Uncopied(f"{what}: {' '.join(listed.stderr.split())}", family=family)
        return
    if _OF_IPTABLES.search(listed.stdout):
        yield Uncopied(f"{what}: it holds matches of iptables", family=family)
        return
    done = run(["nft", "-f", "-"], stdin=listed.stdout, namespace=target, check=False)
    if done.status != 0:
        said = " ".join(done.stderr.split("\n", 1)[0].split())
        yield Uncopied(f"{what}: {said}", family=family)
        return
    again = run(command, namespace=target, check=False)
    if _MOVING.sub("", again.stdout) != _MOVING.sub("", listed.stdout):
        yield Uncopied(f"{what}: it is not there as it was", family=family)


def _run(namespace: LiveNamespace, *argv: str) -> Completed:
    return run(argv, namespace=None if namespace.is_own else namespace, check=False)


def _said(error: HostError) -> str:
    return "; ".join(fault.problem for fault in error.faults)
