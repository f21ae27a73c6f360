"""Marks in the extensions of iptables, ebtables and arptables that a rule of nf_tables carries.

``nft`` shows no more of them than their name, so they are read as the kernel keeps them: structs
of linux/netfilter/xt_mark.h, xt_connmark.h and linux/netfilter_bridge/ebt_mark_t.h, ebt_mark_m.h.
"""

from __future__ import annotations

import struct

from netfw.ir.mark import MAX_MARK, MaskedWord
from netfw.ir.match import ConnmarkMatch, MarkMatch
from netfw.ir.target import RestoreMark, SaveMark, SetConnmark, SetMark

MarkExtension = SetMark | SetConnmark | SaveMark | RestoreMark | MarkMatch | ConnmarkMatch

_PAIR = struct.Struct("=II")
_ASKED = struct.Struct("=IIB")
_CONNECTION = {1: struct.Struct("=IIIB"), 2: struct.Struct("=IIIBBB")}
"""xt_connmark_tginfo1 and 2; the second one shifts besides."""
_BRIDGE_TARGET = struct.Struct("@Li")
_BRIDGE_MATCH = struct.Struct("@LLBB")
_SAVE, _RESTORE = 1, 2
_ACTION = ~0xF
"""The low bits of an action are the verdict."""
_SET, _OR, _AND, _XOR = (-0x10, -0x20, -0x30, -0x40)
_ANY_OF = 0x2
"""EBT_MARK_OR: one of the bits, not all of them."""


def decode_extension(
    is_target: bool, name: str, revision: int, info: bytes
) -> MarkExtension | None:
    """What an extension does with marks; None for one that has nothing to do with them, or whose
    revision netfw does not know."""
    try:
        return _target(name, revision, info) if is_target else _match(name, revision, info)
    except struct.error:
        return None


def _target(name: str, revision: int, info: bytes) -> MarkExtension | None:
    if name == "MARK" and revision == 2:
        return SetMark(MaskedWord(*_PAIR.unpack_from(info)))
    if name == "mark" and revision == 0:
        return _bridge_target(*_BRIDGE_TARGET.unpack_from(info))
    if name == "CONNMARK" and revision in _CONNECTION:
        value, mask, packet_mask, *rest = _CONNECTION[revision].unpack_from(info)
        mode = rest[-1]
        if len(rest) == 3 and rest[1]:
            return None
        if mode == _SAVE:
            return SaveMark(packet_mask, mask)
        if mode == _RESTORE:
            return RestoreMark(packet_mask, mask)
        return SetConnmark(MaskedWord(value, mask))
    return None


def _bridge_target(value: int, action: int) -> SetMark | None:
    value &= MAX_MARK
    words = {
        _SET: (value, MAX_MARK),
        _OR: (value, value),
        _AND: (0, ~value & MAX_MARK),
        _XOR: (value, 0),
    }
    pair = words.get(action & _ACTION)
    return None if pair is None else SetMark(MaskedWord(*pair))


def _match(name: str, revision: int, info: bytes) -> MarkExtension | None:
    if name in ("mark", "connmark") and revision == 1:
        value, mask, negated = _ASKED.unpack_from(info)
        kind = MarkMatch if name == "mark" else ConnmarkMatch
        return kind(MaskedWord(value, mask), bool(negated))
    if name == "mark_m" and revision == 0:
        value, mask, negated, how = _BRIDGE_MATCH.unpack_from(info)
        if how & _ANY_OF:
            return MarkMatch(MaskedWord(0, mask & MAX_MARK), not negated)
        return MarkMatch(MaskedWord(value & MAX_MARK, mask & MAX_MARK), bool(negated))
    return None
