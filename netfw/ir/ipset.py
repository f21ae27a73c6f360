"""Sets of the kernel's ipset: what ``-m set`` asks and ``-j SET`` changes.

Kinds, their parts and options are those of ipset(8); what a packet's look-up does with them is in
``netfw/traverse/set_lookup.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from netfw.ir.names import Family
from netfw.ir.net import Net


class PartKind(Enum):
    """What one part of a member is."""

    IP = "ip"
    NET = "net"
    PORT = "port"
    INTERFACE = "iface"
    MAC = "mac"
    MARK = "mark"
    SET = "set"


SET_KINDS: Mapping[str, tuple[PartKind, ...]] = MappingProxyType(
    {
        f"{method}:{parts}": tuple(PartKind(part) for part in parts.split(","))
        for method, parts in (
            ("bitmap", "ip"),
            ("bitmap", "ip,mac"),
            ("bitmap", "port"),
            ("hash", "ip"),
            ("hash", "mac"),
            ("hash", "ip,mac"),
            ("hash", "net"),
            ("hash", "net,net"),
            ("hash", "ip,port"),
            ("hash", "net,port"),
            ("hash", "ip,port,ip"),
            ("hash", "ip,port,net"),
            ("hash", "ip,mark"),
            ("hash", "net,port,net"),
            ("hash", "net,iface"),
            ("list", "set"),
        )
    }
)
"""Every kind that ipset 7 knows, with the parts of its members."""


@dataclass(frozen=True, slots=True)
class SetPort:
    """A port 0 to 65535 of a protocol (None: TCP and UDP, in ``bitmap:port``).

    For ICMP and ICMPv6 the number is type times 256 plus code. ``spelled`` is how ipset wrote it:
    names of protocols differ between hosts (/etc/protocols).
    """

    protocol: int | None
    number: int
    spelled: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class SetInterface:
    """An interface's name, of a bridge's port where ``physdev``, or its start if ``wildcard``."""

    name: str
    physdev: bool = False
    wildcard: bool = False


@dataclass(frozen=True, slots=True)
class SetMac:
    """An Ethernet address, as ``00:0A:22:33:44:5B``."""

    address: str


@dataclass(frozen=True, slots=True)
class SetMarkWord:
    """A packet mark of 32 bits."""

    word: int


@dataclass(frozen=True, slots=True)
class SetName:
    """A set that is a member of a list."""

    name: str


Part = Net | SetPort | SetInterface | SetMac | SetMarkWord | SetName


@dataclass(frozen=True, slots=True)
class SetMember:
    """A member: a part for each that its set's kind names (``bitmap:ip,mac`` may lack the last).

    ``nomatch`` makes an exception of it. ``extensions`` are words about it that decide nothing:
    timeout in seconds, counters, comment, and what ``-j SET --map-set`` takes.
    """

    parts: tuple[Part, ...]
    nomatch: bool = False
    extensions: tuple[str, ...] = ()
    printed: str = field(default="", init=False, compare=False, repr=False)
    """What ``render_member`` made of it, once it has: a set is compared several times."""
    loaded: str = field(default="", init=False, compare=False, repr=False)
    """And what ``render_sets`` made of it: a set is loaded and kept several times."""

    @property
    def comment(self) -> str | None:
        """The text of its comment, or None."""
        words = iter(self.extensions)
        pairs = zip(words, words, strict=False)
        return next((value.strip('"') for word, value in pairs if word == "comment"), None)


@dataclass(frozen=True, slots=True)
class IpSet:
    """A set with its members.

    ``kind`` is one of ``SET_KINDS``. ``family`` is None where members have no addresses, ``mask``
    what is left of a packet's address before it is looked up (netmask, bitmask), ``mark_mask``
    the same of its mark, ``span`` the range of a bitmap (addresses or ports, ends included).
    ``options`` are all words of its creation but the kind, names with values ("" for a flag).
    """

    name: str
    kind: str
    family: Family | None = None
    options: tuple[tuple[str, str], ...] = ()
    members: tuple[SetMember, ...] = ()
    mask: int | None = None
    mark_mask: int = 0xFFFFFFFF
    span: tuple[int, int] | None = None

    @property
    def parts(self) -> tuple[PartKind, ...]:
        """What the parts of its members are; their number is what ``--match-set`` has to name."""
        return SET_KINDS[self.kind]

    @property
    def has_exceptions(self) -> bool:
        """Whether its kind knows ``nomatch`` (IPSET_TYPE_NOMATCH)."""
        return PartKind.NET in self.parts
