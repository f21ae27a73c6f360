"""Translations of addresses that a policy asks for: the entries of ``nat``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from netfw.ir.names import Family
from netfw.ir.origin import Origin
from netfw.policy.conditions import Conditions
from netfw.policy.criteria import Criteria
from netfw.policy.endpoint import Endpoint
from netfw.policy.new_end import NewEnd


class TranslationKind(Enum):
    """The kinds of entries, by the words of the language."""

    MASQUERADE = "masquerade"
    SNAT = "snat"
    DNAT = "dnat"
    REDIRECT = "redirect"
    NETMAP = "netmap"
    EXEMPT = "exempt"


class Point(Enum):
    """Where addresses are translated, each time a connection begins."""

    ARRIVING = "arriving"
    """What comes in by an interface gets its new destination, before it is judged."""
    SENDING = "sending"
    """The same for what this host itself sends."""
    LEAVING = "leaving"
    """What leaves by an interface gets its new source, after it was judged."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What an entry does at one point, in one or both families.

    It is about packets that came in by ``inputs`` and leave by ``outs`` (None: whatever way, this
    host's own packets among them) and meet the criteria as they are at that point; with
    ``of_redirected`` only about those whose destination was changed before. ``new`` is None where
    they shall stay as they are.
    """

    point: Point
    families: tuple[Family, ...]
    criteria: Criteria
    new: NewEnd | None
    inputs: tuple[Endpoint, ...] | None = None
    outs: tuple[Endpoint, ...] | None = None
    of_redirected: bool = False

    def conditions(self, family: Family) -> Conditions | None:
        """What is asked of packets of a family, None where the turn is not about them."""
        return self.criteria.of_family(family) if family in self.families else None


@dataclass(frozen=True, slots=True)
class Permission:
    """What was redirected may be forwarded: packets that came in by ``inputs``, have another
    destination since, and meet the criteria with it."""

    inputs: tuple[Endpoint, ...]
    family: Family
    criteria: Criteria
    origin: Origin

    def conditions(self, family: Family) -> Conditions | None:
        """What is asked of packets of a family behind their translation."""
        return self.criteria.of_family(family) if family is self.family else None


@dataclass(frozen=True, slots=True)
class Translation:
    """An entry of ``nat``. At every point, the first entry that is about a packet decides."""

    kind: TranslationKind
    turns: tuple[Turn, ...]
    permissions: tuple[Permission, ...]
    origin: Origin

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints by which what it redirects comes in."""
        return tuple(
            endpoint
            for turn in self.turns
            if turn.point is Point.ARRIVING
            for endpoint in turn.inputs or ()
        )


def turns_at(
    translations: Sequence[Translation], point: Point
) -> Iterator[tuple[Translation, Turn]]:
    """What all entries do at a point, in order."""
    for translation in translations:
        for turn in translation.turns:
            if turn.point is point:
                yield translation, turn
