"""What the programs print of rules, in a form that says whether two hosts hold the same."""

from __future__ import annotations


def plain_rules(saved: str) -> str:
    """Without counters, and without what a program says of itself."""
    lines = (line.partition(" [")[0] for line in saved.splitlines())
    return "\n".join(line for line in lines if not line.startswith("#"))
