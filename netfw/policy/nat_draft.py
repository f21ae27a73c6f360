"""An entry of ``nat`` that has been read and has no identity yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netfw.ir.names import Family
from netfw.ir.origin import Origin
from netfw.policy.criteria import Criteria
from netfw.policy.endpoint import Endpoint
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import Fields, read_flag, read_word
from netfw.policy.identity import Draft
from netfw.policy.names import Names
from netfw.policy.read_criteria import ReadCriteria, describe_families, read_criteria
from netfw.policy.read_rule import read_rule_name
from netfw.policy.source import Mapping, written_form
from netfw.policy.translation import Permission, Translation, TranslationKind, Turn

_FAMILIES = {
    "4": (Family.IPV4,),
    "6": (Family.IPV6,),
    "all": (Family.IPV4, Family.IPV6),
}
HOST_WORD = "host"
"""This host itself, as what sends a packet."""


@dataclass(frozen=True, slots=True)
class NatDraft:
    """An entry, and what it is named after."""

    translation: Translation
    draft: Draft

    def named(self, identity: str) -> Translation:
        """The finished entry."""
        origin = replace(self.translation.origin, identity=identity)
        permissions = tuple(
            replace(permission, origin=origin) for permission in self.translation.permissions
        )
        return replace(self.translation, origin=origin, permissions=permissions)


class NatFields:
    """The keys of an entry, read one after the other."""

    def __init__(
        self, fields: Fields, item: Mapping, kind: TranslationKind, names: Names, faults: Faults
    ) -> None:
        self.fields = fields
        self.item = item
        self.kind = kind
        self.names = names
        self.faults = faults
        self._before = len(faults)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong with the entry so far."""
        return len(self.faults) == self._before

    @property
    def origin(self) -> Origin:
        """Where the entry stands; it has no identity yet."""
        return Origin(self.item.where, "", written_form(self.item)[1:-1])

    def criteria(self, sources: str, destinations: str) -> ReadCriteria:
        """Services and nets, under the keys that this kind of entry has for them."""
        renamed = self.fields.renamed({"from": sources, "to": destinations})
        service = self.fields.find("service")
        called = (sources, destinations)
        return read_criteria(renamed, service, "service", self.names, self.faults, ends=called)

    def families(self, otherwise: tuple[Family, ...]) -> tuple[Family, ...]:
        """``family``: 4, 6 or all."""
        node = self.fields.find("family")
        word = read_word(node, "'family'", self.faults) if node else None
        if word is None:
            return otherwise
        found = _FAMILIES.get(word.text)
        if found is None:
            meant = " and ".join(str(family) for family in otherwise)
            hint = f"write 4, 6 or all; without it, {meant} is meant"
            if otherwise == _FAMILIES["4"]:
                hint = "write 4, 6 or all; without it, 4 is meant"
            hint = did_you_mean(word.text, _FAMILIES, hint)
            self.faults.add(word.where, f"unknown family '{word.text}'", hint)
        return found or ()

    def flag(self, key: str) -> bool:
        """A key that is true or false; false without it."""
        node = self.fields.find(key)
        return node is not None and read_flag(node, f"'{key}'", self.faults)

    def endpoints(self, key: str) -> tuple[Endpoint, ...] | None:
        """Endpoints under a key, None without it."""
        node = self.fields.find(key)
        return None if node is None else self.names.read_endpoints(node, f"'{key}'", self.faults)

    def check_families(
        self, criteria: Criteria, families: Sequence[Family], to: str | None = None
    ) -> tuple[Family, ...]:
        """Those families in which any packet can meet the criteria; it is a fault if none can.

        ``to`` is the key that says of which family the entry is.
        """
        found = tuple(family for family in families if criteria.of_family(family) is not None)
        if not found and self.is_sound:
            where, hint = self.item.where, "give it addresses and services of one family"
            if to is not None:
                (family, *_) = families
                what = f"'{to}' is {family}, its service or addresses are not"
            elif len(families) == 1:
                what = f"it is for {families[0]} alone, its service or addresses are not"
                other = 6 if families[0] is Family.IPV4 else 4
                hint = f"say family: {other}, or family: all"
            else:
                what = describe_families(criteria)
            self.faults.add(where, f"no packet can match this {self.kind.value}: {what}", hint)
        return found

    def finish(
        self,
        turns: Sequence[Turn],
        meaning: list[object],
        permissions: Sequence[Permission] = (),
    ) -> NatDraft | None:
        """The entry, None where anything is wrong with it."""
        name = read_rule_name(self.fields, self.faults)
        if not self.is_sound:
            return None
        translation = Translation(self.kind, tuple(turns), tuple(permissions), self.origin)
        return NatDraft(translation, Draft(self.kind.value, meaning, name))
