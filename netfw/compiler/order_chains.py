"""User chains by name, as iptables-save lists them, so that order says nothing."""

from __future__ import annotations

from dataclasses import replace

from netfw.compiler.draft import Draft


def order_chains(draft: Draft) -> Draft:
    """Sort the chains of every table by the bytes of their names."""
    ordered = {
        table: tuple(sorted(chains, key=lambda chain: chain.name.encode()))
        for table, chains in draft.chains.items()
    }
    return replace(draft, chains=ordered)
