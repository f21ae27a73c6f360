"""Places on a host where a mark is written or read, and when a packet comes by there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.ir.names import Backend, Family, Hook


class System(Enum):
    """What on a host can write or read a mark; the value is the word that people know."""

    IPTABLES_NFT = "iptables-nft"
    IPTABLES_LEGACY = "iptables-legacy"
    NFTABLES = "nftables"
    """Native tables of nft, those of ebtables-nft and arptables-nft among them."""
    ROUTING = "ip rule"
    SOCKET = "socket"
    DEVICE = "device"
    """A tunnel or WireGuard, whose outer packets get a mark."""
    XFRM = "xfrm"
    CONNTRACK = "conntrack"
    IPVS = "IPVS"
    QUEUE = "NFQUEUE"
    TC = "tc"
    BPF = "eBPF"
    IPSET = "ipset"
    BRIDGE = "bridge"
    SYSCTL = "sysctl"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of_backend(cls, backend: Backend) -> System:
        """The iptables of a backend."""
        return cls.IPTABLES_NFT if backend is Backend.NFT else cls.IPTABLES_LEGACY


class Stage(Enum):
    """Where a packet is, coarsely; the order depends on its way (``WAYS``).

    Routing is a stage of its own where packets come in. For this host's own packets it happens
    before OUTPUT (with the socket's mark), and again inside OUTPUT, right behind mangle.
    """

    SOCKET = "socket"
    OUTPUT_ROUTING = "first routing"
    INGRESS = "ingress"
    BRIDGE = "bridge"
    PREROUTING = "PREROUTING"
    ROUTING = "routing"
    INPUT = "INPUT"
    FORWARD = "FORWARD"
    OUTPUT = "OUTPUT"
    POSTROUTING = "POSTROUTING"
    EGRESS = "egress"
    ARP = "ARP"
    """Packets of ARP, which no rule of the others ever sees."""

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of_hook(cls, hook: Hook) -> Stage:
        """The stage of a hook of the IP layer."""
        return cls(hook.value)


class Way(Enum):
    """The ways that packets take through a host."""

    FORWARDED = "forwarded"
    TO_HOST = "to this host"
    FROM_HOST = "from this host"

    def __str__(self) -> str:
        return self.value


_ARRIVING = (Stage.INGRESS, Stage.BRIDGE, Stage.PREROUTING, Stage.ROUTING)
WAYS: dict[Way, tuple[Stage, ...]] = {
    Way.FORWARDED: (*_ARRIVING, Stage.FORWARD, Stage.POSTROUTING, Stage.EGRESS),
    Way.TO_HOST: (*_ARRIVING, Stage.INPUT, Stage.SOCKET),
    Way.FROM_HOST: (
        Stage.SOCKET,
        Stage.OUTPUT_ROUTING,
        Stage.OUTPUT,
        Stage.POSTROUTING,
        Stage.EGRESS,
    ),
}
"""The stages of each way, first to last. A packet over lo takes the third and then the second,
with its mark: that is left out, since then everything would come before everything."""

REROUTING_PRIORITY = -149
"""Where this host's packets are routed again: behind the last chain of mangle OUTPUT (-150)."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A rule, or whatever else touches a mark, so that people find it.

    ``family`` is None where it is both or neither. ``table``, ``chain`` and ``number`` (from 1)
    are netfilter's, with ``table`` such as ``inet mine`` for native nftables; elsewhere ``table``
    and ``chain`` are empty or what comes nearest (a device, a preference). ``line`` is that of
    iptables-save (0: none), ``handle`` that of nft (0: none), ``text`` the rule itself.
    """

    system: System
    family: Family | None = None
    table: str = ""
    chain: str = ""
    number: int = 0
    text: str = ""
    line: int = 0
    handle: int = 0

    def __str__(self) -> str:
        words = [str(self.system)]
        if self.family is not None and self.system is not System.NFTABLES:
            words.append(str(self.family))
        words += filter(None, (self.table, self.chain))
        if self.number:
            words.append(f"rule {self.number}")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Passage:
    """When packets come by a spot: a stage, and the order in it.

    ``priority`` is that of the base chain, which ``base`` names (equal names: the same chain).
    ``first`` and ``last`` are the rule numbers on the way from the base chain to the spot, by the
    first and the last of all calls that lead there: a rule 4 of a chain that rules 2 and 9 call is
    at (2, 4) and (9, 4).
    """

    stage: Stage
    priority: int = 0
    base: str = ""
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()

    def may_precede(self, other: Passage) -> bool:
        """Whether some packet may come by here before it comes by the other one.

        Chains of equal priority run in the order of their registration, the last one first; that
        is not kept anywhere, so both orders may be.
        """
        if self.stage is not other.stage:
            return _stage_before(self.stage, other.stage)
        if self.priority != other.priority:
            return self.priority < other.priority
        return self.base != other.base or self.first < other.last

    def surely_precedes(self, other: Passage) -> bool:
        """Whether a packet that comes by both comes by here first, always."""
        if self.stage is not other.stage:
            return _stage_before(self.stage, other.stage)
        if self.priority != other.priority:
            return self.priority < other.priority
        return self.base == other.base and self.last < other.first

    def shares_way(self, other: Passage) -> bool:
        """Whether one packet may come by both, in whatever order."""
        return any(self.stage in way and other.stage in way for way in WAYS.values())


def _stage_before(one: Stage, other: Stage) -> bool:
    return any(
        one in way and other in way and way.index(one) < way.index(other) for way in WAYS.values()
    )
