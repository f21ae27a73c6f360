"""The states that connection tracking gives to TCP connections.

Source: tcp_conntracks and nf_conntrack_tcp_packet in net/netfilter/nf_conntrack_proto_tcp.c.
Every packet is taken to lie in its connection's window, since packets here have no sequence
numbers. Where the state behind a packet depends on them all the same, each of the states that it
may be in is kept, and what they disagree on is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from netfw.traverse.packet import ACK, FIN, PSH, RST, SYN, URG

_VALID_FLAGS = frozenset(
    {
        SYN,
        SYN | URG,
        SYN | ACK,
        RST,
        RST | ACK,
        FIN | ACK,
        FIN | ACK | URG,
        ACK,
        ACK | URG,
    }
)
"""tcp_valid_flags; PSH may be set in any of them."""


class TcpState(Enum):
    """The states in the order of the columns below."""

    NONE = "NO"
    SYN_SENT = "SS"
    SYN_RECV = "SR"
    ESTABLISHED = "ES"
    FIN_WAIT = "FW"
    CLOSE_WAIT = "CW"
    LAST_ACK = "LA"
    TIME_WAIT = "TW"
    CLOSE = "CL"
    SYN_SENT2 = "S2"


class _Flags(Enum):
    """What counts of a packet's flags (get_conntrack_index)."""

    SYN = "syn"
    SYNACK = "synack"
    FIN = "fin"
    ACK = "ack"
    RST = "rst"


_INVALID, _IGNORE = "IV", "IG"
_ORIGINAL = {
    #              NO SS SR ES FW CW LA TW CL S2
    _Flags.SYN: "  SS SS IG IG IG IG IG SS SS S2",
    _Flags.SYNACK: "IV IV SR IV IV IV IV IV IV SR",
    _Flags.FIN: "  IV IV FW FW LA LA LA TW CL IV",
    _Flags.ACK: "  ES IV ES ES CW CW TW TW CL IV",
    _Flags.RST: "  IV CL CL CL CL CL CL CL CL CL",
}
_REPLY = {
    #              NO SS SR ES FW CW LA TW CL S2
    _Flags.SYN: "  IV S2 IV IV IV IV IV SS IV S2",
    _Flags.SYNACK: "IV SR IG IG IG IG IG IG IG SR",
    _Flags.FIN: "  IV IV FW FW LA LA LA TW CL IV",
    _Flags.ACK: "  IV IG SR ES CW CW TW TW CL IG",
    _Flags.RST: "  IV CL CL CL CL CL CL CL CL CL",
}
_NEXT = {
    (is_reply, flags, state): word
    for is_reply, rows in ((False, _ORIGINAL), (True, _REPLY))
    for flags, row in rows.items()
    for state, word in zip(TcpState, row.split(), strict=True)
}


class TcpVerdict(Enum):
    """What becomes of a packet."""

    ACCEPT = "belongs to the connection"
    INVALID = "belongs to none"
    REOPEN = "the connection is forgotten, and the packet begins a new one"
    KILL = "the last of its connection, which is forgotten"


@dataclass(frozen=True, slots=True)
class TcpTrack:
    """What is remembered of a connection (struct ip_ct_tcp), as far as it decides anything.

    ``last`` is what the last packet in window (or ignored) was, and whether it was a reply.
    """

    state: TcpState = TcpState.NONE
    last: _Flags | None = None
    last_is_reply: bool = False
    close_began: bool = False
    """IP_CT_TCP_FLAG_CLOSE_INIT: a FIN has begun to close."""
    challenge_expected: bool = False
    """IP_CT_EXP_CHALLENGE_ACK: a SYN was let through in LAST_ACK."""
    simultaneous: bool = False
    """IP_CT_TCP_SIMULTANEOUS_OPEN."""
    assured: bool = False
    reply_is_known: bool = False
    """Whether a reply has told a sequence number; where none has, there is no window yet in which
    an acknowledgement could lie."""
    all_acknowledged_by: frozenset[bool] = frozenset()
    """The sides (True: the one that answers) that have sent a reset with ACK and number 0: it
    counts as acknowledging all that the other side has sent."""
    liberal: bool = False
    """IP_CT_TCP_FLAG_BE_LIBERAL: it was picked up in midstream, and windows are not looked at."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What counts of a packet; ``acknowledges`` is False where its number is 0."""

    flags: int
    acknowledges: bool
    is_reply: bool
    reply_seen: bool
    """Whether the connection had a reply before."""

    @property
    def kind(self) -> _Flags:
        """get_conntrack_index."""
        return _kind(self.flags)


Way = tuple[TcpVerdict, TcpTrack]


def flags_are_valid(flags: int) -> bool:
    """Whether a packet with these flags is taken at all (tcp_error)."""
    return flags & ~PSH in _VALID_FLAGS


def begin(flags: int) -> TcpTrack | None:
    """The track behind a connection's first packet, or None where it may not begin one."""
    kind = _kind(flags)
    word = _NEXT[False, kind, TcpState.NONE]
    if word == _INVALID:
        return None
    # nf_conntrack_tcp_loose is on: an ACK may begin a connection in midstream
    return TcpTrack(TcpState(word), kind, liberal=kind is _Flags.ACK)


def follow(tracks: frozenset[TcpTrack], segment: Segment) -> set[Way]:
    """What a packet of a connection may mean, for each state that the connection may be in."""
    return {way for track in tracks for way in _follow(track, segment)}


def _kind(flags: int) -> _Flags:
    if flags & RST:
        return _Flags.RST
    if flags & SYN:
        return _Flags.SYNACK if flags & ACK else _Flags.SYN
    return _Flags.FIN if flags & FIN else _Flags.ACK


def _follow(track: TcpTrack, segment: Segment) -> list[Way]:
    kind, is_reply = segment.kind, segment.is_reply
    old, word = track.state, _NEXT[is_reply, kind, track.state]
    if word == _INVALID:
        return [(TcpVerdict.INVALID, track)]
    last_was_mine = track.last_is_reply is is_reply
    if word == TcpState.SYN_SENT.value and old in (TcpState.TIME_WAIT, TcpState.CLOSE):
        if track.close_began or (last_was_mine and track.last is _Flags.RST):
            return [(TcpVerdict.REOPEN, track)]
        word = _IGNORE
    if word == _IGNORE:
        return _ignored(track, segment)
    new = TcpState(word)
    if new is TcpState.TIME_WAIT and old is TcpState.LAST_ACK and kind is _Flags.ACK:
        if track.challenge_expected and track.last is _Flags.SYN and not last_was_mine:
            # an ACK that answers the SYN, and not the FIN
            return [(TcpVerdict.ACCEPT, replace(track, challenge_expected=False))]
    elif new is TcpState.SYN_SENT2:
        track = replace(track, simultaneous=True)
    elif new is TcpState.SYN_RECV and is_reply and kind is _Flags.ACK and track.simultaneous:
        new = TcpState.ESTABLISHED
    ways = _in_window(track, segment, new)
    if kind is _Flags.RST and (not is_reply) in track.all_acknowledged_by:
        # a reset older than what is acknowledged is invalid
        ways.append((TcpVerdict.INVALID, track))
    if (
        kind is _Flags.RST
        and old is TcpState.ESTABLISHED
        and track.assured
        and track.last is not _Flags.SYN
    ):
        # a reset whose sequence number is not exactly the one expected closes nothing
        ways += _in_window(track, segment, old)
    return ways


def _ignored(track: TcpTrack, segment: Segment) -> list[Way]:
    """The packet passes, and the connection is not thought to have changed."""
    ways, kind, is_reply = [], segment.kind, segment.is_reply
    if kind is _Flags.SYNACK and track.last is _Flags.SYN and track.last_is_reply is not is_reply:
        # it may acknowledge a SYN that was ignored: then the connection begins anew
        anew = replace(track, close_began=False, challenge_expected=False)
        ways += _in_window(replace(anew, state=TcpState.SYN_SENT), segment, TcpState.SYN_RECV)
    kept = replace(track, last=kind, last_is_reply=is_reply)
    if kind is _Flags.SYN and not is_reply:
        expected = track.state is TcpState.LAST_ACK
        kept = replace(kept, challenge_expected=expected, simultaneous=False)
    ways.append((TcpVerdict.ACCEPT, kept))
    return ways


def _in_window(track: TcpTrack, segment: Segment, new: TcpState) -> list[Way]:
    old, kind = track.state, segment.kind
    after = replace(
        track,
        state=new,
        last=kind,
        last_is_reply=segment.is_reply,
        close_began=track.close_began or (new is TcpState.FIN_WAIT and old is not new),
        reply_is_known=track.reply_is_known or (segment.is_reply and kind is not _Flags.RST),
    )
    if kind is _Flags.RST and segment.flags & ACK and not segment.acknowledges:
        sides = track.all_acknowledged_by | {segment.is_reply}
        after = replace(after, all_acknowledged_by=sides)
    if not segment.reply_seen:
        verdict = TcpVerdict.KILL if kind is _Flags.RST else TcpVerdict.ACCEPT
    else:
        verdict = TcpVerdict.ACCEPT
        if new is TcpState.ESTABLISHED and old in (TcpState.SYN_RECV, TcpState.ESTABLISHED):
            after = replace(after, assured=True)
    ways = [(verdict, after)]
    if (
        segment.acknowledges
        and not segment.is_reply
        and not track.reply_is_known
        and not track.liberal
    ):
        # it acknowledges what was never seen: that is in or out of window by mere chance
        ways += [(TcpVerdict.INVALID, track), (TcpVerdict.ACCEPT, track)]
    return ways


def closed(tracks: frozenset[TcpTrack]) -> frozenset[TcpTrack]:
    """The tracks behind a reset that REJECT has sent (nf_conntrack_tcp_set_closing)."""
    return frozenset(replace(track, state=TcpState.CLOSE) for track in tracks)
