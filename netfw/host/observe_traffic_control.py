"""Filters and actions of tc that read or write marks.

Source: linux/pkt_cls.h, linux/rtnetlink.h, linux/tc_act/tc_skbedit.h and the like.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator

from netfw.doctor.mark_use import MarkEffect, MarkTest, Word
from netfw.doctor.observed import Link, TrafficControl
from netfw.host.live_namespace import LiveNamespace
from netfw.host.netlink import DUMP, attributes_of, dump, link_message
from netfw.ir.mark import MAX_MARK, MaskedWord

_GET_QDISC, _GET_FILTER = 38, 46
_HEAD = struct.Struct("=BxxxiIII")
"""struct tcmsg: family, interface, handle, parent, info."""
_KIND, _OPTIONS = 1, 2
_INGRESS_HANDLE = 0xFFFF0000
_INGRESS_PARENT, _EGRESS_PARENT = 0xFFFFFFF2, 0xFFFFFFF3
"""TC_H_CLSACT with TC_H_MIN_INGRESS and TC_H_MIN_EGRESS."""
_ACTIONS = {"fw": 4, "u32": 7, "flower": 3, "matchall": 2, "bpf": 1, "basic": 3}
"""The attribute of a filter that holds its actions (TCA_FW_ACT, …)."""
_FW_MASK, _U32_MARK, _CAKE_MARK, _BPF_NAME = 5, 10, 18, 7
_SKBEDIT_MARK, _SKBEDIT_MASK = 5, 8
_CTINFO_MARK_MASK = 7
_NOT_KNOWN = "eBPF: what it does is not known"
_WORD = struct.Struct("=I")


def read_traffic_control(
    namespace: LiveNamespace, links: Iterable[Link]
) -> tuple[TrafficControl, ...]:
    """Everything of tc that touches marks, by interface. Raises OSError."""
    names = {link.index: link.name for link in links}
    found: list[TrafficControl] = []
    with namespace.call(_open) as link:
        for body in dump(link, _wish(_GET_QDISC, 0, 0), "tc qdisc"):
            _, index, handle, _, _ = _HEAD.unpack_from(body)
            attributes = attributes_of(body, _HEAD.size)
            kind, name = _text(attributes.get(_KIND, b"")), names.get(index, str(index))
            if kind == "cake":
                found += _of_cake(name, attributes)
            parents = (
                ((_INGRESS_PARENT, "ingress"), (_EGRESS_PARENT, "egress"))
                if handle == _INGRESS_HANDLE
                else ((handle, "egress"),)
            )
            if not handle:
                # the default qdisc of an interface takes no filters
                continue
            for asked, side in parents:
                for each in dump(link, _wish(_GET_FILTER, index, asked), "tc filter"):
                    found += _of_filter(name, side, each)
    return tuple(found)


def _open() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    made.bind((0, 0))
    made.settimeout(10.0)
    return made


def _wish(kind: int, index: int, parent: int) -> bytes:
    return link_message(kind, DUMP, _HEAD.pack(0, index, 0, parent, 0))


def _of_cake(device: str, attributes: dict[int, bytes]) -> Iterator[TrafficControl]:
    mask = _word(attributes_of(attributes.get(_OPTIONS, b""), 0).get(_CAKE_MARK))
    if mask:
        test = MarkTest(Word.PACKET, mask, None)
        yield TrafficControl(device, "egress", "cake", f"cake fwmark {mask:#x}", (test,))


def _of_filter(device: str, side: str, body: bytes) -> Iterator[TrafficControl]:
    _, _, handle, _, _ = _HEAD.unpack_from(body)
    attributes = attributes_of(body, _HEAD.size)
    kind = _text(attributes.get(_KIND, b""))
    options = attributes_of(attributes.get(_OPTIONS, b""), 0)
    tests: list[MarkTest] = []
    text = f"filter {kind}"
    if kind == "fw" and handle:
        mask = _word(options.get(_FW_MASK), MAX_MARK)
        tests.append(MarkTest(Word.PACKET, mask, handle))
        text += f" handle {handle:#x}/{mask:#x}"
    elif kind == "u32" and len(options.get(_U32_MARK, b"")) >= 8:
        value, mask = struct.unpack_from("=II", options[_U32_MARK])
        tests.append(MarkTest(Word.PACKET, mask, value))
        text += f" match mark {value:#x} {mask:#x}"
    effects = []
    if kind == "bpf":
        text += f" {_text(options.get(_BPF_NAME, b''))}"
        effects.append(MarkEffect.any_value(Word.PACKET, MAX_MARK, _NOT_KNOWN))
    nested = options.get(_ACTIONS.get(kind, 0), b"")
    for _, action in sorted(attributes_of(nested, 0).items()):
        for words, effect in _of_action(attributes_of(action, 0)):
            effects.append(effect)
            text += f" action {words}"
    if tests or effects:
        yield TrafficControl(device, side, f"filter {kind}", text, tuple(tests), tuple(effects))


def _of_action(action: dict[int, bytes]) -> Iterator[tuple[str, MarkEffect]]:
    kind = _text(action.get(_KIND, b""))
    options = attributes_of(action.get(_OPTIONS, b""), 0)
    if kind == "skbedit" and _SKBEDIT_MARK in options:
        word = MaskedWord(
            _word(options[_SKBEDIT_MARK]), _word(options.get(_SKBEDIT_MASK), MAX_MARK)
        )
        yield f"skbedit mark {word}", MarkEffect.set_word(Word.PACKET, word)
    elif kind == "bpf":
        yield kind, MarkEffect.any_value(Word.PACKET, MAX_MARK, _NOT_KNOWN)
    elif kind == "connmark":
        yield kind, MarkEffect(Word.PACKET, keep=0, mixed=MAX_MARK)
    elif kind == "ctinfo" and _word(options.get(_CTINFO_MARK_MASK)):
        mask = _word(options[_CTINFO_MARK_MASK])
        yield f"ctinfo cpmark {mask:#x}", MarkEffect(Word.PACKET, keep=0, mixed=mask)


def _word(value: bytes | None, otherwise: int = 0) -> int:
    return int(_WORD.unpack_from(value)[0]) if value is not None and len(value) >= 4 else otherwise


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
