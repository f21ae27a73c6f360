"""Reads ``nat``: translations of addresses, in one ordered list."""

from __future__ import annotations

from collections.abc import Callable

from netfw.errors import Where
from netfw.policy.faults import Faults
from netfw.policy.fields import read_fields, read_items
from netfw.policy.identity import name_rules
from netfw.policy.names import Names
from netfw.policy.nat_draft import NatDraft, NatFields
from netfw.policy.read_destination_nat import DNAT_KEYS, REDIRECT_KEYS, read_dnat, read_redirect
from netfw.policy.read_exempt import EXEMPT_KEYS, read_exempt
from netfw.policy.read_netmap import NETMAP_KEYS, read_netmap
from netfw.policy.read_source_nat import (
    MASQUERADE_KEYS,
    SNAT_KEYS,
    read_masquerade,
    read_snat,
)
from netfw.policy.source import Mapping, Node
from netfw.policy.translation import Translation, TranslationKind

_READERS: dict[TranslationKind, tuple[tuple[str, ...], Callable[[NatFields], NatDraft | None]]] = {
    TranslationKind.MASQUERADE: (MASQUERADE_KEYS, read_masquerade),
    TranslationKind.SNAT: (SNAT_KEYS, read_snat),
    TranslationKind.DNAT: (DNAT_KEYS, read_dnat),
    TranslationKind.REDIRECT: (REDIRECT_KEYS, read_redirect),
    TranslationKind.NETMAP: (NETMAP_KEYS, read_netmap),
    TranslationKind.EXEMPT: (EXEMPT_KEYS, read_exempt),
}
_KINDS = tuple(kind.value for kind in _READERS)


def read_nat(node: Node, names: Names, faults: Faults) -> tuple[Translation, ...]:
    """Read all entries, in the order of the file."""
    found: list[NatDraft] = []
    places: dict[str, Where] = {}
    for item in read_items(node, "'nat'", faults):
        entry = _read_entry(item, names, faults)
        if entry is not None:
            found.append(entry)
            _check_name_is_new(entry, places, faults)
    identities = name_rules("nat", [entry.draft for entry in found])
    return tuple(entry.named(identity) for entry, identity in zip(found, identities, strict=True))


def _read_entry(item: Node, names: Names, faults: Faults) -> NatDraft | None:
    fields = read_fields(item, _KINDS, "an entry of 'nat'", faults)
    if fields is None or not isinstance(item, Mapping):
        return None
    if len(item.entries) != 1:
        faults.add(
            item.where,
            f"an entry of 'nat' is one of {', '.join(_KINDS)}",
            "make one entry of each",
        )
        return None
    for kind, (keys, read) in _READERS.items():
        value = fields.find(kind.value)
        if value is None:
            continue
        before = len(faults)
        inside = read_fields(value, keys, f"'{kind.value}'", faults)
        if inside is None:
            return None
        entry = read(NatFields(inside, item, kind, names, faults))
        return entry if len(faults) == before else None
    return None


def _check_name_is_new(entry: NatDraft, places: dict[str, Where], faults: Faults) -> None:
    where, name = entry.translation.origin.where, entry.draft.name
    if name is None:
        return
    if name in places:
        faults.add(
            where,
            f"'nat' has two entries named '{name}' (the first in {places[name].seen_from(where)})",
            "give one of them another name, or none",
        )
    places.setdefault(name, where)
