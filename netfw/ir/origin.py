"""Where a rule comes from."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.errors import Where


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule comes from: a place in a file, and a stable identity.

    ``identity`` is what the rule's comment says behind ``netfw:`` (``public/allow-web``);
    empty for rules of others. ``text`` is a human's description of it. ``notes`` are what people
    noted beside it, by key: an owner, a ticket.
    """

    where: Where
    identity: str = ""
    text: str = ""
    notes: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.where} {self.identity}".rstrip()
