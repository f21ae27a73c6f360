"""Marks of IPsec: policies and states that ask for one, states that set one.

Source: linux/xfrm.h.
"""

from __future__ import annotations

import socket
import struct

from netfw.doctor.observed import TransformMark
from netfw.host.live_namespace import LiveNamespace
from netfw.host.netlink import DUMP, attributes_of, dump, link_message
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.ir.net import format_address

_XFRM = 6
_GET_STATE, _GET_POLICY = 18, 21
_STATE_LENGTH, _POLICY_LENGTH = 224, 168
"""sizeof(struct xfrm_usersa_info) and of xfrm_userpolicy_info; attributes follow."""
_ID_LENGTH, _POLICY_ID_LENGTH = 24, 64
"""sizeof(struct xfrm_usersa_id) and of xfrm_userpolicy_id, which ask."""
_MARK, _SET_MARK, _SET_MARK_MASK = 21, 29, 30
_PAIR = struct.Struct("=II")
_FAMILIES = {2: Family.IPV4, 10: Family.IPV6}


def read_transforms(namespace: LiveNamespace) -> tuple[TransformMark, ...]:
    """Every policy and state with a mark. Raises OSError where the kernel has no IPsec."""
    with namespace.call(_open) as link:
        policies = dump(link, link_message(_GET_POLICY, DUMP, bytes(_POLICY_ID_LENGTH)), "xfrm")
        states = dump(link, link_message(_GET_STATE, DUMP, bytes(_ID_LENGTH)), "xfrm")
    found = [_marked(body, "policy", _POLICY_LENGTH) for body in policies]
    found += [_marked(body, "state", _STATE_LENGTH) for body in states]
    return tuple(one for one in found if one.mark is not None or one.sets is not None)


def _open() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _XFRM)
    made.bind((0, 0))
    made.settimeout(10.0)
    return made


def _marked(body: bytes, kind: str, length: int) -> TransformMark:
    attributes = attributes_of(body, length)
    mark = sets = None
    if _MARK in attributes:
        value, mask = _PAIR.unpack_from(attributes[_MARK])
        if mask:
            mark = MaskedWord(value, mask)
    if _SET_MARK in attributes:
        (value,) = struct.unpack_from("=I", attributes[_SET_MARK])
        mask = 0xFFFFFFFF
        if _SET_MARK_MASK in attributes:
            (mask,) = struct.unpack_from("=I", attributes[_SET_MARK_MASK])
        sets = MaskedWord(value, mask)
    words = [f"{kind} {_selector(body)}"]
    words += [f"mark {mark}"] if mark is not None else []
    words += [f"output-mark {sets}"] if sets is not None else []
    return TransformMark(kind, ", ".join(words), mark, sets)


def _selector(body: bytes) -> str:
    """xfrm_selector: destination, source, ports and masks, family, lengths of the prefixes."""
    number, to_length, from_length = struct.unpack_from("=HBB", body, 40)
    family = _FAMILIES.get(number)
    if family is None:
        return "any"
    size = family.bits // 8
    to, source = (int.from_bytes(body[at : at + size], "big") for at in (0, 16))
    return (
        f"{format_address(family, source)}/{from_length} -> "
        f"{format_address(family, to)}/{to_length}"
    )
