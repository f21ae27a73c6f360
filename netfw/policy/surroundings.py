"""What a policy may ask of the world around it. Where the answers come from is not known here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from netfw.ir.net import Net
from netfw.policy.faults import did_you_mean
from netfw.policy.host_names import HostNames
from netfw.policy.owner import OwnerKind


class SurroundingsFault(Exception):
    """An answer that cannot be had: the problem, and a hint."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class Surroundings(Protocol):
    """Answers what names stand for outside the policy; asked only where the policy needs it."""

    def host_names(self) -> HostNames:
        """The interfaces of the host that the policy is for; raises SurroundingsFault."""

    def addresses_of(self, name: str) -> tuple[Net, ...]:
        """The addresses of a host name, at least one; raises SurroundingsFault."""

    def number_of(self, kind: OwnerKind, name: str) -> int:
        """The number of a user or group of that host; raises SurroundingsFault."""


@dataclass(frozen=True)
class Known:
    """Answers that are at hand."""

    names: HostNames | None = None
    addresses: Mapping[str, tuple[Net, ...]] = field(default_factory=dict)

    def host_names(self) -> HostNames:
        """The interfaces; raises SurroundingsFault."""
        if self.names is None:
            raise SurroundingsFault("nothing is known of the host that this policy is for")
        return self.names

    def addresses_of(self, name: str) -> tuple[Net, ...]:
        """The addresses; raises SurroundingsFault."""
        found = self.addresses.get(name)
        if not found:
            raise SurroundingsFault(f"no address is known of '{name}'")
        return found

    def number_of(self, kind: OwnerKind, name: str) -> int:
        """The number; raises SurroundingsFault."""
        names = self.host_names()
        known = names.users if kind is OwnerKind.USER else names.groups
        if known is None:
            raise SurroundingsFault(
                f"the facts of this host say nothing of {kind.value}s, and so not of '{name}'",
                "write them anew with 'netfw facts > FILE'",
            )
        if name not in known:
            raise nobody_is_called(kind, name, known)
        return known[name]


def nobody_is_called(kind: OwnerKind, name: str, known: Iterable[str]) -> SurroundingsFault:
    """The fault of a name that no user or group has; ``known`` are names that some have."""
    hint = f"'netfw facts' lists the {kind.value}s that there are, and a number may stand here too"
    return SurroundingsFault(
        f"this host has no {kind.value} '{name}'", did_you_mean(name, known, hint)
    )


NOTHING_KNOWN = Known()
