"""The names of tables, as rulesets spell them."""

from __future__ import annotations

from netfw.ir.names import TableName


def table_of(text: str) -> TableName:
    """The table of a line ``*filter``; raises ValueError with a sentence."""
    try:
        return TableName(text)
    except ValueError:
        names = ", ".join(map(str, TableName))
        raise ValueError(f"'{text}' is no table (tables are {names})") from None
