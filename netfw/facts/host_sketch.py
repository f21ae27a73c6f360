"""What a host shows of itself to somebody who writes its first policy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SketchedInterface:
    """An interface, the kind that the kernel calls it (empty: hardware) and its addresses, with
    prefix lengths. ``leads_out`` says that the default route of a family leaves by it."""

    name: str
    kind: str
    addresses: tuple[str, ...]
    leads_out: bool


@dataclass(frozen=True, slots=True)
class Service:
    """A service that others can reach: ``tcp`` or ``udp``, a port, and the programs behind it,
    where they may be seen."""

    protocol: str
    port: int
    programs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostSketch:
    """Interfaces, services, whether it forwards, and who is logged in by SSH just now (an address,
    or empty)."""

    name: str
    interfaces: tuple[SketchedInterface, ...]
    services: tuple[Service, ...]
    forwards: bool
    ssh_client: str
