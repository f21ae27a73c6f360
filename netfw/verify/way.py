"""A way through the firewall of the stage, by its links."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.traverse.host_facts import LOOPBACK
from netfw.traverse.situation import Path
from netfw.verify.layout import Link


@dataclass(frozen=True, slots=True)
class Way:
    """The link a packet comes in by (None: this host sends it) and the one it leaves by
    (None: it is for this host). Where both are None, this host sends it to itself."""

    came_by: Link | None
    leaves_by: Link | None

    @property
    def path(self) -> Path:
        """The path through the host."""
        if self.came_by is None:
            return Path.LOOPBACK if self.leaves_by is None else Path.LOCAL_OUT
        return Path.LOCAL_IN if self.leaves_by is None else Path.FORWARDED

    @property
    def interfaces(self) -> tuple[str, str]:
        """In- and out-interface, empty where there is none; over the loopback, those with which a
        packet is sent."""
        if self.path is Path.LOOPBACK:
            return "", LOOPBACK
        came_by, leaves_by = self.came_by, self.leaves_by
        return (
            came_by.interface if came_by else "",
            leaves_by.interface if leaves_by else "",
        )

    @property
    def exit(self) -> str:
        """The interface by which a packet really leaves; empty where it stays here."""
        return self.leaves_by.interface if self.leaves_by else ""

    @property
    def reversed(self) -> Way:
        """The way of an answer."""
        return Way(self.leaves_by, self.came_by)
