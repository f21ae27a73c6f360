"""Everything that a policy gives a name to, for the rules that use the names."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from functools import lru_cache

from netfw.ir.net import Net
from netfw.policy.definitions import Definitions, Value
from netfw.policy.endpoint import Endpoint
from netfw.policy.faults import Faults
from netfw.policy.fields import read_words
from netfw.policy.net_literal import NetFault, is_net_literal, parse_nets
from netfw.policy.service_literal import (
    ANY_WORD,
    LiteralFault,
    format_service,
    is_literal,
    parse_services,
)
from netfw.policy.source import Mapping, Node, Scalar, Sequence, written_form
from netfw.policy.surroundings import Surroundings
from netfw.policy.traffic import ANY, Traffic
from netfw.policy.zones import Zones

RESERVED_NAMES = frozenset(
    {"any", "assert", "default", "failsafe", "field", "forward", "hook", "host", "nat", "netfw"}
    | {"not", "policy", "stage", "steer", "through", "verdict"}
)
"""First parts of the identities of netfw's own rules, and words of the language."""
RESERVED_RULE_NAMES = frozenset(
    {
        "decided",
        "default",
        "elsewhere",
        "established",
        "nets",
        "invalid",
        "neighbour-discovery",
        "next-stage",
    }
)
"""Second parts of the identities of netfw's own rules."""

_WRITTEN = frozenset({"failsafe", "nat", "steer"})
"""First parts of the identities of what people write that is no rule of a policy."""


def is_of_policy(identity: str) -> bool:
    """Whether somebody wrote what has this identity, and it is none of netfw's own rules."""
    first, _, second = identity.partition("/")
    if first in RESERVED_NAMES:
        return first in _WRITTEN
    return bool(second) and second not in RESERVED_RULE_NAMES


@dataclass(frozen=True, slots=True)
class Names:
    """What the names of a file stand for, and what may be asked of its surroundings."""

    zones: Zones
    nets: Definitions[Net]
    services: Definitions[Traffic]
    surroundings: Surroundings

    def read_endpoints(self, node: Node, what: str, faults: Faults) -> tuple[Endpoint, ...]:
        """Names of endpoints and zones, selectors, or a list of them; faults are left out.

        Where nothing is there (see ``Endpoint``), that is one endpoint which is absent.
        """
        return self.zones.read_endpoints(node, what, faults)

    def read_nets(self, node: Node, what: str, faults: Faults) -> tuple[Net, ...]:
        """A name, a literal or a list of them; faults are noted and left out."""
        found: list[Net] = []
        for word in read_words(node, what, faults):
            if word.text == ANY_WORD:
                faults.add(
                    word.where,
                    f"'{what}' cannot be '{ANY_WORD}'",
                    f"leave '{what}' out: any address is meant then",
                )
                continue
            if self.zones.knows(word.text) and not self.nets.knows(word.text):
                faults.add(
                    word.where,
                    f"'{word.text}' is an endpoint, but '{what}' of a rule names nets",
                    "endpoints belong into 'at', 'from' and 'to' of the policy around the rule",
                )
                continue
            found += self.nets.resolve_word(word) or ()
        return _each_once(found)

    def read_traffic(self, node: Node, what: str, faults: Faults) -> tuple[Traffic, ...]:
        """A service, a literal, a list of them or ``any``; faults are noted and left out."""
        found: list[Traffic] = []
        words = read_words(node, what, faults)
        for word in words:
            traffic = self.services.resolve_word(word) or ()
            if len(words) > 1 and ANY in traffic:
                faults.add(
                    word.where,
                    f"'{word.text}' is every packet, so the rest of the list says nothing",
                    f"write '{ANY_WORD}' alone, or leave it out",
                )
            found += traffic
        return _each_once(found)

    def find_nets(self, node: Node) -> Meaning[Net] | None:
        """The same without a word about faults: None for whatever is not plain or not sound."""
        return _find_meaning(node, self._meaning_of_net)

    def find_traffic(self, node: Node) -> Meaning[Traffic] | None:
        """The same for services."""
        found = _find_meaning(node, self._meaning_of_service)
        if found is not None and isinstance(node, Sequence) and ANY in found[0]:
            return None
        return found

    def _meaning_of_net(self, word: str) -> Meaning[Net] | None:
        if not is_net_literal(word):
            nets = self.nets.find(word)
            return None if nets is None else (nets, (word,))
        if self.zones.knows(word):
            return None
        try:
            nets = parse_nets(word)
        except NetFault:
            return None
        return nets, tuple(map(str, nets))

    def _meaning_of_service(self, word: str) -> Meaning[Traffic] | None:
        if not is_literal(word):
            kinds = self.services.find(word)
            return None if kinds is None else (kinds, (word,))
        try:
            kinds = parse_services(word)
        except LiteralFault:
            return None
        return kinds, tuple(map(format_service, kinds))


Meaning = tuple[tuple[Value, ...], SequenceOf[str]]
"""What words stand for, and the words in a spelling and order beyond taste."""


def _find_meaning(
    node: Node, find: Callable[[str], Meaning[Value] | None]
) -> Meaning[Value] | None:
    """What a word or a list of words stands for, none of them twice."""
    if isinstance(node, Scalar):
        found = find(node.text)
        return None if found is None else (found[0], sorted(found[1]))
    if not isinstance(node, Sequence):
        return None
    values: list[Value] = []
    words: list[str] = []
    for item in node.items:
        found = find(item.text) if isinstance(item, Scalar) else None
        if found is None:
            return None
        values += found[0]
        words += found[1]
    if len(set(words)) != len(words) or not words:
        return None
    return _each_once(values), sorted(words)


def _each_once(found: list[Value]) -> tuple[Value, ...]:
    return tuple(found) if len(found) < 2 else tuple(dict.fromkeys(found))


def service_words(node: Node | None) -> list[str]:
    """The words of a list of services, in a spelling and order beyond taste.

    Words at fault stay as they are: the fault is noted elsewhere.
    """
    return _spelled(node, _service_words)


@lru_cache(maxsize=4096)
def _service_words(word: str) -> tuple[str, ...]:
    if not is_literal(word):
        return (word,)
    try:
        return tuple(map(format_service, parse_services(word)))
    except ValueError:
        return (word,)


def net_words(node: Node | None) -> list[str]:
    """The same for a list of nets."""
    return _spelled(node, _net_words)


@lru_cache(maxsize=4096)
def _net_words(word: str) -> tuple[str, ...]:
    if not is_net_literal(word):
        return (word,)
    try:
        return tuple(map(str, parse_nets(word)))
    except ValueError:
        return (word,)


def _spelled(node: Node | None, spell: Callable[[str], tuple[str, ...]]) -> list[str]:
    if node is None:
        return []
    if isinstance(node, Scalar):
        return sorted(spell(node.text))
    return sorted(spelled for word in listed_words(node) for spelled in spell(word))


def endpoint_words(node: Node | None) -> list[str]:
    """The same for a list of endpoints, zones and selectors."""
    if node is None:
        return []
    items = node.items if isinstance(node, Sequence) else (node,)
    return sorted(
        written_form(item) if isinstance(item, Mapping) else item.text
        for item in items
        if not isinstance(item, Sequence)
    )


def listed_words(node: Node | None) -> list[str]:
    """A word or the words of a list."""
    if node is None:
        return []
    items = node.items if isinstance(node, Sequence) else (node,)
    return sorted(item.text for item in items if isinstance(item, Scalar))
