"""A rule in OUTPUT takes away the mark that a program or a tunnel gave its own packets."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.any_of import Condition
from netfw.doctor.asked import BEGINNERS, RULES, conditions_of, goes_from
from netfw.doctor.conditions import exclude
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import MarkTest, MarkUse, Word
from netfw.doctor.place import Stage, System
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing
from netfw.doctor.steering import keeps_its_way, rule_at
from netfw.doctor.symptoms import BitsLost
from netfw.ir.mark import MAX_MARK
from netfw.ir.match import ProtocolMatch
from netfw.ir.protocols import TCP, UDP

CODE = "socket-mark-overwritten"
TITLE = "a rule in OUTPUT takes away the mark that a program gave its own socket"
EXPLANATION = """\
WireGuard, VPN programs and proxies mark their own packets (SO_MARK, 'wg set IF fwmark'), so that
a routing rule or a kill switch tells them from what goes into the tunnel. A rule in OUTPUT that
marks this host's packets, or clears bits of them, does so with these as well: they are routed
into the tunnel themselves, the handshake never ends, or the kill switch drops them.

Leave them out: ask for mark 0 in the bits that you write ('-m mark --mark 0x0/MASK'), or RETURN
for the port of the tunnel first.
"""
_PROTOCOLS = {"tcp": TCP, "udp": UDP, "wireguard": UDP}


def find(state: HostState) -> Iterator[Finding]:
    """Each rule in OUTPUT behind which somebody does not know the mark of a socket any more."""
    readers = _Readers(state)
    # a host may have thousands of sockets, most of them with a mark that others have as well
    begun: dict[tuple[int, str, object], MarkUse] = {}
    for use in state.uses:
        if use.spot.system in BEGINNERS and any(readers.about(use.effects[0].xor)):
            kind = (use.effects[0].xor, use.spot.table, use.spot.family)
            begun.setdefault(kind, use)
    if not begun:
        return
    for writer in state.kinds_of_writers(Word.PACKET):
        if not _is_in_output(writer):
            continue
        for (mark, *_), socket in begun.items():
            after = _after(writer, mark)
            if after is None or after == mark:
                continue
            misled = [one for one, test in readers.about(mark) if _is_misled(test, mark, after)]
            if misled and _may_meet(socket, mark, writer):
                reader = _misled(state, socket, writer, misled)
                if reader is not None:
                    yield _finding(writer, socket, reader, mark, after)
                    break


class _Readers:
    """Rules that ask for a mark, by mask and value, so that those for one mark are found."""

    def __init__(self, state: HostState) -> None:
        self._by_mask: dict[int, dict[int, list[tuple[MarkUse, MarkTest]]]] = {}
        for use in state.kinds_of_readers(Word.PACKET):
            if use.spot.system not in (*RULES, System.ROUTING):
                continue
            for test in use.tests:
                value = (test.value or 0) & test.mask
                if test.word is Word.PACKET and value:
                    known = self._by_mask.setdefault(test.mask, {})
                    known.setdefault(value, []).append((use, test))

    def about(self, mark: int) -> Iterator[tuple[MarkUse, MarkTest]]:
        """Those for whom a packet with this mark is the one that they ask for."""
        for mask, known in self._by_mask.items():
            yield from known.get(mark & mask, ())


def _is_in_output(use: MarkUse) -> bool:
    return use.spot.system in RULES and any(where.stage is Stage.OUTPUT for where in use.passages)


def _may_meet(socket: MarkUse, mark: int, writer: MarkUse) -> bool:
    """Whether packets of the socket pass the conditions of the writer, its tests among them."""
    if not socket.shares_family(writer):
        return False
    number = _PROTOCOLS.get(socket.spot.table)
    own: tuple[Condition, ...] = () if number is None else (ProtocolMatch(number),)
    if exclude(conditions_of(writer), own):
        return False
    return all(
        test.matches(mark) is not False if test.word is Word.PACKET else not test.needed
        for test in writer.tests
    )


def _after(writer: MarkUse, mark: int) -> int | None:
    """The mark behind the writer; None where the rules alone do not say it."""
    for effect in writer.effects:
        if effect.word is Word.PACKET:
            if effect.mixed or effect.opaque:
                return None
            mark = effect.applied(mark)
    return mark


def _misled(
    state: HostState, socket: MarkUse, writer: MarkUse, readers: list[MarkUse]
) -> MarkUse | None:
    """One of these readers that comes behind the writer."""
    for reader in readers:
        if reader is writer or not reader.shares_family(socket):
            continue
        if reader.spot.system is System.ROUTING and keeps_its_way(state, writer):
            continue
        if goes_from(writer, reader):
            return reader
    return None


def _is_misled(test: MarkTest, mark: int, after: int) -> bool:
    """Whether a test for this mark answers otherwise behind the writer."""
    return bool((after ^ mark) & test.mask)


def _finding(writer: MarkUse, socket: MarkUse, reader: MarkUse, mark: int, after: int) -> Finding:
    mask = 0
    for effect in writer.effects:
        mask |= effect.written if effect.word is Word.PACKET else 0
    guard = (
        f"meta mark & {mask:#x} == 0"
        if writer.spot.system is System.NFTABLES
        else f"-m mark --mark 0x0/{mask:#x}"
    )
    if mask == MAX_MARK and writer.spot.system is System.NFTABLES:
        guard = "meta mark 0"
    return Finding(
        CODE,
        Severity.WARNING if writer.is_conditional else Severity.ERROR,
        f"{writer.spot} makes {after:#x} of mark {mark:#x}, which {socket.spot} gives its own "
        f"packets and {reader.spot} asks for",
        (writer.spot, socket.spot, reader.spot),
        f"its packets that come by there are not known any more: {reader.spot} takes them for "
        "others'",
        (f"leave marked packets out: add {guard} to the rule",),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet with the socket's mark that comes by the guilty rule."""
    guilty, socket, reader = finding.evidence
    use, begun = state.use_at(guilty), state.use_at(socket)
    if use is None or begun is None:
        return NoProbing("its rules or sockets are not there any more")
    mark = begun.effects[0].xor
    lost = mark & ~(_after(use, mark) or 0)
    if not lost:
        return NoProbing("the packet keeps the bits that it has, and gets others besides")
    wanted = Wanted((guilty,), rule_at(state, reader), mark=mark)
    return Probing(conversations(state, wanted), BitsLost(guilty, lost, reader))
