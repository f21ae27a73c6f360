"""The JSON Schemas of what verbs print as data: a file of ``schemas/`` for each."""

from __future__ import annotations

from importlib.resources import files

DATA_SCHEMAS = ("doctor", "doctor-free", "explain-finding", "marks", "trace")
"""What has one: the verb, and behind a hyphen the option that makes it print something else."""


def data_schema(name: str) -> str:
    """The schema (draft 2020-12) of one of ``DATA_SCHEMAS``, as text."""
    return (files("netfw.report") / "schemas" / f"{name}.json").read_text(encoding="utf-8")
