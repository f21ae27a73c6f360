"""One thing to do on a host, in the order of a plan. Each is taken whole or fails as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.names import Family, TableName


@dataclass(frozen=True, slots=True)
class LoadSets:
    """Input for ``ipset restore``: sets are made, swapped, filled or destroyed."""

    text: str
    what: str = "sets"


@dataclass(frozen=True, slots=True)
class LoadTable:
    """One table's transaction for ``iptables-restore --noflush``."""

    family: Family
    table: TableName
    text: str


@dataclass(frozen=True, slots=True)
class LoadRouting:
    """Lines for ``ip -batch``."""

    family: Family
    text: str


@dataclass(frozen=True, slots=True)
class WriteSetting:
    """A sysctl (a path below /proc/sys) and its value."""

    name: str
    value: str


Step = LoadSets | LoadTable | LoadRouting | WriteSetting


def describe(step: Step) -> str:
    """What a step is, for messages."""
    match step:
        case LoadSets():
            return step.what
        case LoadTable():
            return f"{step.family} table {step.table}"
        case LoadRouting():
            return f"{step.family} routing"
        case WriteSetting():
            return f"sysctl {step.name}"
