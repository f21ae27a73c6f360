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
    begun = [use for use in state.uses if use.spot.system in BEGINNERS]
    if not begun:
        return
    guilty = [use for use in state.kinds_of_writers(Word.PACKET) if _is_in_output(use)]
    seen: set[tuple[int, object]] = set()
    for writer in guilty:
        for socket in begun:
            mark = socket.effects[0].xor
            if (mark, writer.spot) in seen or not _may_meet(socket, mark, writer):
                continue
            after = _after(writer, mark)
            reader = None if after is None else _misled(state, socket, mark, writer, after)
            if reader is not None and after is not None:
                seen.add((mark, writer.spot))
                yield _finding(writer, socket, reader, mark, after)


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
    state: HostState, socket: MarkUse, mark: int, writer: MarkUse, after: int
) -> MarkUse | None:
    """Somebody behind the writer who asks for the socket's mark, and does not see it."""
    for reader in state.kinds_of_readers(Word.PACKET):
        if reader is writer or not any(_is_misled(test, mark, after) for test in reader.tests):
            continue
        if reader.spot.system is System.ROUTING and keeps_its_way(state, writer):
            continue
        if reader.spot.system not in (*RULES, System.ROUTING):
            continue
        if reader.shares_family(socket) and goes_from(writer, reader):
            return reader
    return None


def _is_misled(test: MarkTest, mark: int, after: int) -> bool:
    """Whether the test is about this mark, and answers otherwise behind the writer."""
    value = (test.value or 0) & test.mask
    is_about = test.word is Word.PACKET and value and (mark ^ value) & test.mask == 0
    return bool(is_about) and bool((after ^ value) & test.mask)


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
