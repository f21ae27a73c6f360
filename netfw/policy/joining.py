"""Joins the files of a policy into one."""

from __future__ import annotations

from netfw.policy.faults import Faults
from netfw.policy.fields import read_entries, read_items
from netfw.policy.inclusion import SourceFile
from netfw.policy.sections import SECTIONS, Joining
from netfw.policy.source import Entry, Mapping, Node, Sequence


def join_files(files: list[SourceFile], faults: Faults) -> Mapping:
    """The whole policy as one mapping, of at least one file."""
    if len(files) == 1:
        return files[0].root
    first = files[-1].root
    joined: dict[str, Entry] = {}
    for key, joining in SECTIONS.items():
        parts = [file.root.by_key[key] for file in files if key in file.root.by_key]
        entry = _join(key, joining, parts, faults)
        if entry is not None:
            joined[key] = entry
    return Mapping(first.file, first.place, joined)


def _join(key: str, joining: Joining, parts: list[Entry], faults: Faults) -> Entry | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    first = parts[0].value
    value: Node
    match joining:
        case Joining.EACH:
            return parts[0]
        case Joining.ONCE:
            _refuse_others(key, parts, faults)
            return parts[0]
        case Joining.NAMES:
            by_key: dict[str, Entry] = {}
            for part in parts:
                for entry in read_entries(part.value, key, faults):
                    _add(key, entry, by_key, faults)
            if not by_key:
                return None
            value = Mapping(first.file, first.place, by_key)
        case Joining.LIST:
            items = [item for part in parts for item in read_items(part.value, f"'{key}'", faults)]
            if not items:
                return None
            value = Sequence(first.file, first.place, tuple(items))
    return Entry(parts[0].key, value)


def _add(key: str, entry: Entry, by_key: dict[str, Entry], faults: Faults) -> None:
    first = by_key.setdefault(entry.key.text, entry)
    if first is not entry:
        where = entry.key.where
        faults.add(
            where,
            f"'{entry.key.text}' is twice under '{key}' "
            f"(first in {first.key.where.seen_from(where)})",
            "remove one of them, or give it another name",
        )


def _refuse_others(key: str, parts: list[Entry], faults: Faults) -> None:
    for part in parts[1:]:
        where = part.key.where
        faults.add(
            where,
            f"'{key}' is in two files (first in {parts[0].key.where.seen_from(where)})",
            "it holds for the whole policy: keep one of them",
        )
