"""What others have in a namespace, as text: what a change of ours must leave as it is."""

from __future__ import annotations

from netfw.host.live_namespace import LiveNamespace
from netfw.host.live_rules import SavedTable, saved_tables
from netfw.host.run import run
from netfw.ir.names import OWN_CHAIN_PREFIX
from netfw.plan.own_saved import read_saved

_NO_RULES = " ACCEPT"
"""How a built-in chain looks in which nobody has had a say."""


def read_others(namespace: LiveNamespace) -> dict[str, tuple[str, ...]]:
    """Lines by what they belong to: tables of both backends and of nft, and sets.

    A table in which others have nothing is left out. Raises HostError, and FactError for what
    cannot be read.
    """
    found: dict[str, tuple[str, ...]] = {}
    for table in saved_tables(namespace):
        if table.backend is None:
            name, lines = f"nft table {table.name}", _native(namespace, table)
        else:
            name, lines = f"{table.backend} {table.family} table {table.name}", _foreign(table)
        if lines:
            found[name] = lines
    sets = _sets(namespace)
    if sets:
        found["sets"] = sets
    return found


def _foreign(table: SavedTable) -> tuple[str, ...]:
    assert table.family is not None
    (saved,) = read_saved(table.text, table.family, f"table {table.name}").values()
    lines = saved.foreign.lines
    if all(line.startswith(":") and line.endswith(_NO_RULES) for line in lines):
        return ()
    return lines


def _native(namespace: LiveNamespace, table: SavedTable) -> tuple[str, ...]:
    argv = ["nft", "--stateless", "list", "table", *table.name.split(" ", 1)]
    return tuple(run(argv, namespace=_within(namespace), check=False).stdout.splitlines())


def _sets(namespace: LiveNamespace) -> tuple[str, ...]:
    saved = run(["ipset", "save"], namespace=_within(namespace), check=False).stdout
    return tuple(line for line in saved.splitlines() if f" {OWN_CHAIN_PREFIX}" not in line)


def _within(namespace: LiveNamespace) -> LiveNamespace | None:
    return None if namespace.is_own else namespace
