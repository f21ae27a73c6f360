"""What of a host its twin lacks."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.names import Family


@dataclass(frozen=True, slots=True)
class Uncopied:
    """Something that could not be copied, by name.

    Nothing can be said of the packets that depend on it: those that come in or go out by
    ``interface``, where it is about one (empty: any packet), and of ``family``, where it is about
    one.
    """

    what: str
    interface: str = ""
    family: Family | None = None

    def concerns(self, family: Family, *interfaces: str) -> bool:
        """Whether a packet of a family that passes these interfaces depends on it."""
        return self.family in (None, family) and self.interface in ("", *interfaces)
