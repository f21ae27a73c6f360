"""Loading and saving sets with the program ipset."""

from __future__ import annotations

from collections.abc import Iterable

from netfw.facts.ipset_save import parse_sets
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.ipset import IpSet
from netfw.render.ipset import render_sets


def restore_sets(namespace: Namespace, sets: Iterable[IpSet]) -> None:
    """Make sets that are not there yet, with their members.

    Raises HostError with what ipset said, CapabilityError where the program is missing.
    """
    text = render_sets(sets)
    if text:
        run(["ipset", "restore"], stdin=text, namespace=namespace)


def save_sets(namespace: Namespace) -> dict[str, IpSet]:
    """All sets by name.

    Raises HostError with what ipset said, FactError for what it prints that netfw cannot read,
    CapabilityError where the program is missing.
    """
    saved = run(["ipset", "save"], namespace=namespace)
    return parse_sets(saved.stdout, "ipset save")
