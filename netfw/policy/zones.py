"""Zones: names that group endpoints, and selectors that choose them by their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netfw.errors import Where
from netfw.policy.definitions import Definitions
from netfw.policy.endpoint import Endpoint, EndpointKind
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import read_entries, read_fields, read_flag, read_members, read_word
from netfw.policy.selector import SelectorFault, parse_selector
from netfw.policy.source import Mapping as MappingNode
from netfw.policy.source import Node, Scalar


class Zones:
    """Everything that stands for endpoints: their own names, zones, and selectors."""

    def __init__(
        self, endpoints: Mapping[str, Endpoint], faults: Faults, *, are_all_there: bool = True
    ) -> None:
        """``are_all_there`` is False where some endpoint is at fault and left out."""
        self._endpoints = endpoints
        self._are_all_there = are_all_there
        self._names: frozenset[str] = frozenset()
        self._zones: Definitions[Endpoint] = Definitions(
            "zone", self._find, lambda word: word not in self._names, {}, faults, self._select
        )

    def read(self, node: Node, reserved: frozenset[str], faults: Faults) -> None:
        """Take in ``zones``."""
        entries = read_entries(node, "zones", Faults())
        self._names = frozenset(entry.key.text for entry in entries)
        for entry in entries:
            endpoint = self._endpoints.get(entry.key.text)
            if endpoint is not None:
                faults.add(
                    entry.key.where,
                    f"'{entry.key.text}' is an endpoint already (in line {endpoint.where.line})",
                    "give the zone another name",
                )
        self._zones.read(node, reserved)

    def knows(self, name: str) -> bool:
        """Whether a name is that of an endpoint or a zone."""
        return name in self._endpoints or name in self._names

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint, in the order of the file."""
        return tuple(self._endpoints.values())

    def read_endpoints(self, node: Node, what: str, faults: Faults) -> tuple[Endpoint, ...]:
        """Endpoints, zones and selectors, or a list of them; faults are noted and left out.

        Never empty for a sound node: where nothing is there, it is one endpoint that is absent.
        """
        found: dict[Endpoint, None] = {}
        for member in read_members(node, what, faults):
            if isinstance(member, MappingNode):
                those = self._select(member, faults)
            elif member.text in self._endpoints:
                those = (self._endpoints[member.text],)
            elif self._zones.knows(member.text):
                those = self._zones.resolve_word(member)
            else:
                self._refuse(member, f"unknown endpoint '{member.text}' in {what}", faults)
                continue
            if those is not None:
                found.update(dict.fromkeys(those or (nothing(member.where),)))
        present = tuple(endpoint for endpoint in found if not endpoint.is_absent)
        return present or tuple(found)[:1]

    def _find(self, word: Scalar, faults: Faults) -> tuple[Endpoint, ...] | None:
        endpoint = self._endpoints.get(word.text)
        if endpoint is None:
            self._refuse(word, f"unknown endpoint '{word.text}'", faults)
            return None
        return (endpoint,)

    def _refuse(self, word: Scalar, problem: str, faults: Faults) -> None:
        known = [*self._endpoints, *self._names]
        otherwise = "define it under 'endpoints:' or 'zones:'"
        faults.add(word.where, problem, did_you_mean(word.text, known, otherwise))

    def _select(self, node: MappingNode, faults: Faults) -> tuple[Endpoint, ...] | None:
        """``{select: "env == 'prod'"}``; with ``optional: true`` it may select nothing."""
        fields = read_fields(node, ("select", "optional"), "a selector", faults)
        text_node = (
            fields.require("select", "write {select: \"env == 'prod'\"}") if fields else None
        )
        word = read_word(text_node, "'select'", faults) if text_node else None
        if fields is None or word is None:
            return None
        optional = fields.find("optional")
        is_optional = optional is not None and read_flag(optional, "'optional'", faults)
        try:
            selects = parse_selector(word.text)
        except SelectorFault as error:
            problem = f"selector, character {error.offset + 1}: {error}"
            faults.add(_within(word, error.offset), problem, error.hint)
            return None
        found = tuple(
            endpoint for endpoint in self._endpoints.values() if selects(dict(endpoint.labels))
        )
        if not found and not is_optional:
            if self._are_all_there:
                faults.add(
                    word.where,
                    f'no endpoint has labels for which "{word.text}" is true',
                    _known_labels(self._endpoints.values()),
                )
            return None
        return found


def nothing(where: Where) -> Endpoint:
    """What a selector stands for that selects nothing, and may."""
    return Endpoint("nothing", EndpointKind.HOST, (), where)


def _within(word: Scalar, offset: int) -> Where:
    """The place of a character of a word that stands on one line."""
    where = word.where
    if "\n" in word.text or not where.column:
        return where
    return Where(where.file, where.line, where.column + offset + (1 if word.quoted else 0))


def _known_labels(endpoints: Iterable[Endpoint]) -> str:
    labels = sorted({f"{key}: {value}" for each in endpoints for key, value in each.labels})
    if not labels:
        return "no endpoint has labels: write {host: eth0, labels: {env: prod}}"
    shown = ", ".join(labels[:8]) + (", …" if len(labels) > 8 else "")
    return f"labels are {shown}; with 'optional: true' a selector may select nothing"
