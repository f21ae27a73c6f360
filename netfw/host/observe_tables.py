"""Native tables of nftables, rule by rule."""

from __future__ import annotations

from netfw.doctor.observed import NftTable
from netfw.facts.nft_tables import parse_nft_table
from netfw.host.namespace import Namespace
from netfw.host.nft_extensions import read_extensions
from netfw.host.run import run
from netfw.host.trace_table import TABLE as TRACE_TABLE


def read_native_tables(
    entered: Namespace | None, names: tuple[tuple[str, str], ...]
) -> tuple[NftTable, ...]:
    """The tables with these families and names, in a namespace or (None) here. Raises HostError
    and FactError."""
    found = []
    for family, name in names:
        if (family, name) == ("inet", TRACE_TABLE):
            # netfw's own, of a trace that runs: it changes nothing, and is gone in a moment
            continue
        listed = run(["nft", "-j", "list", "table", family, name], namespace=entered)
        text = run(["nft", "-a", "list", "table", family, name], namespace=entered)
        what = f"nft list table {family} {name}"
        found.append(parse_nft_table(listed.stdout, text.stdout, what))
    if any(table.has_extensions for table in found):
        extensions = read_extensions(entered)
        found = [
            table.with_extensions(
                {
                    handle: of
                    for (family, name, handle), of in extensions.items()
                    if (family, name) == (table.family, table.name)
                }
            )
            for table in found
        ]
    return tuple(found)
