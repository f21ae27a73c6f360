"""What the kernel showed of a packet on a live host, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.ir.names import Family, Hook
from netfw.ir.origin import Origin
from netfw.traverse.packet import Packet
from netfw.traverse.traversal import Outcome


@dataclass(frozen=True, slots=True)
class ObservedStep:
    """A rule that the packet matched, or a chain's end that decided.

    ``backend`` is ``nft`` or ``legacy``; ``table`` is a table of iptables, or one of nftables
    with its family (``inet mine``). ``rule`` counts from 1; 0 is the end of a chain or its
    policy, and -1 a rule that was not there when the trace began. ``text`` is empty where none is
    known. ``origin`` is where a policy says it. ``jump`` is the chain that it leads to.
    """

    hook: Hook | None
    backend: str
    table: str
    chain: str
    rule: int
    text: str
    origin: Origin | None
    outcome: Outcome
    mark_before: int
    mark_after: int
    jump: str = ""
    of_iptables: bool = True
    """Whether it is a table of iptables, which a prediction can follow."""
    may_write: bool = False
    """Whether such a rule can write the packet's mark."""

    @property
    def place(self) -> str:
        """Where the rule stands."""
        if self.rule > 0:
            what = f"rule {self.rule}"
        elif self.rule < 0:
            what = "new rule" if self.text else "rule that is gone"
        else:
            is_builtin = self.hook is not None and self.chain == self.hook.value
            what = "policy" if is_builtin or self.outcome is not Outcome.RETURN else "end"
        return f"{self.backend} {self.table} {self.chain} {what}"


@dataclass(frozen=True, slots=True)
class OutsideChange:
    """The mark was another one at the next event, and no rule between them wrote it.

    ``between`` says where; it is empty where the packet began with a mark. ``writers`` are who may
    have done so, the likeliest first, each with the reason.
    """

    mark_before: int
    mark_after: int
    between: str
    writers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoutingSeen:
    """Where routing sent the packet, and by which of the host's routing rules.

    ``mark`` is the one that it asked with. ``rule`` and ``route`` are in the words of ``ip``;
    empty where that is not known. ``passed_over`` are rules by mark that came before it and did
    not match, ``behind`` those that would have matched and were not asked any more. ``note``
    says what is strange about it.
    """

    mark: int
    decision: str
    rule: str = ""
    route: str = ""
    reads_mark: bool = False
    passed_over: tuple[str, ...] = ()
    kernel: str = ""
    """What the kernel answers when it is asked again."""
    behind: tuple[str, ...] = ()
    note: str = ""


Entry = ObservedStep | OutsideChange | RoutingSeen


class ObservedEnd(Enum):
    """Where a packet's way ended, as far as was seen."""

    DELIVERED = "delivered to this host"
    SENT = "sent"
    DROPPED = "dropped by a rule"
    REJECTED = "rejected by a rule"
    QUEUED = "queued to a process"
    VANISHED = "gone between hooks"
    UNKNOWN = "not known"
    """Events were lost, or the trace ended before the packet did."""

    @property
    def is_drop(self) -> bool:
        """Whether the packet did not get through."""
        return self in (ObservedEnd.DROPPED, ObservedEnd.REJECTED, ObservedEnd.VANISHED)


@dataclass(frozen=True, slots=True)
class ObservedPacket:
    """One packet's way.

    ``number`` counts from 1; ``time`` is seconds since 1970. ``packet`` is None where its headers
    could not be read. ``headers`` are its first bytes as it came. ``detail`` is by which
    interface it was sent, or why it is gone, with ``evidence`` for that. ``translated`` is the
    packet as it was at the end, where that is not as it came. ``unsure`` says why
    nobody can be sure of its way; empty where all was seen.
    """

    number: int
    time: float
    family: Family
    packet: Packet | None
    title: str
    entries: tuple[Entry, ...]
    end: ObservedEnd
    detail: str
    mark: int
    evidence: tuple[str, ...] = ()
    translated: str = ""
    connection: str = ""
    surprises: tuple[str, ...] = ()
    prediction: str = ""
    unsure: str = ""
    headers: bytes = b""
    length: int = 0

    @property
    def steps(self) -> tuple[ObservedStep, ...]:
        """The rules and ends of chains alone."""
        return tuple(entry for entry in self.entries if isinstance(entry, ObservedStep))

    @property
    def ending(self) -> str:
        """Where its way ended, in words."""
        if self.end is ObservedEnd.SENT:
            return f"sent by {self.detail}"
        if self.end in (ObservedEnd.DROPPED, ObservedEnd.REJECTED) and self.steps:
            return f"{self.end.value}: {self.steps[-1].place}"
        text: str = self.end.value
        return f"{text}: {self.detail}" if self.detail else text

    @property
    def marks(self) -> frozenset[int]:
        """Every mark that it had."""
        found = {self.mark}
        for entry in self.entries:
            if not isinstance(entry, RoutingSeen):
                found |= {entry.mark_before, entry.mark_after}
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class TraceTotals:
    """What a trace did in all.

    ``matched`` packets were meant by the filter, ``followed`` were within the rate limit.
    ``lost`` says in words which events the kernel could not hand over; ``notes`` what else
    limits what was seen.
    """

    shown: int
    matched: int
    followed: int
    seconds: float
    lost: str = ""
    notes: tuple[str, ...] = ()
