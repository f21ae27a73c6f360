"""What rules of native nftables ask of packets, in the words of iptables' matches.

So that one comparison serves both: whether two rules exclude each other, and whether one is for
all that another is for. What has no such word stays what it is (UnknownMatch with nft's JSON),
which excludes nothing and is implied by the same words alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from netfw.doctor.any_of import AnyOf, Condition
from netfw.doctor.mark_use import Word
from netfw.doctor.nft_mark_value import mark_read
from netfw.ir.mark import MaskedWord
from netfw.ir.match import (
    AddressMatch,
    ConnectionState,
    ConnmarkMatch,
    ConntrackMatch,
    InterfaceMatch,
    MarkMatch,
    Match,
    ProtocolMatch,
    Side,
    TcpMatch,
    UdpMatch,
    UnknownMatch,
    Way,
)
from netfw.ir.match_transport import PortRange, Ports
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import PROTOCOL_NAMES, TCP, UDP

_INTERFACES = {"iifname": Way.IN, "iif": Way.IN, "oifname": Way.OUT, "oif": Way.OUT}
_SIDES = {"saddr": Side.SOURCE, "daddr": Side.DESTINATION}
_FAMILIES = {"ip": Family.IPV4, "ip6": Family.IPV6}
_NFPROTO = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
_PROTOCOLS = dict(PROTOCOL_NAMES)
_ASKING = ("limit", "vmap", "xt", "quota", "ct count", "meter", "set")
"""Statements by which a packet may leave the rule, besides ``match``."""


def conditions(expressions: Sequence[Any]) -> Iterator[Condition]:
    """What a rule asks, by its expressions as ``nft -j`` prints them."""
    for expression in expressions:
        if not isinstance(expression, Mapping):
            continue
        match = expression.get("match")
        if isinstance(match, Mapping):
            yield from _of_match(match.get("left"), match.get("op", "=="), match.get("right"))
        elif any(word in expression for word in _ASKING):
            yield _unknown(expression)


def conditions_of_call(expressions: Sequence[Any], called: str) -> Iterator[Condition]:
    """What packets have to be for a rule to send them to a chain: by a verdict map, with one of
    the keys that lead there."""
    for expression in expressions:
        vmap = expression.get("vmap") if isinstance(expression, Mapping) else None
        pairs = _elements(vmap.get("data")) if isinstance(vmap, Mapping) else None
        if vmap is None or pairs is None:
            yield from conditions((expression,))
            continue
        keys = [
            pair[0] for pair in pairs if isinstance(pair, list) and _leads_to(pair[-1], called)
        ]
        yield from _of_match(vmap.get("key"), "==", {"set": keys})


def _leads_to(verdict: Any, called: str) -> bool:  # noqa: ANN401 - JSON
    return isinstance(verdict, Mapping) and any(
        isinstance(verdict.get(word), Mapping) and verdict[word].get("target") == called
        for word in ("jump", "goto")
    )


def _unknown(part: Any) -> UnknownMatch:  # noqa: ANN401 - JSON
    return UnknownMatch("nft", (json.dumps(part, sort_keys=True),))


def _elements(right: Any) -> list[Any] | None:  # noqa: ANN401 - JSON
    """The elements of a set that the rule itself holds; None for anything else."""
    found = right.get("set") if isinstance(right, Mapping) else None
    return found if isinstance(found, list) and found else None


def _of_match(left: Any, relation: str, right: Any) -> Iterator[Condition]:  # noqa: ANN401 - JSON
    if _is_state(left):
        yield _state(relation, right) or _unknown([left, relation, right])
        return
    several = _elements(right)
    each = [_single(left, relation, one) for one in several or [right]]
    known = [one for one in each if one is not None]
    if len(known) != len(each) or relation not in ("==", "!="):
        yield _unknown([left, relation, right])
        return
    if several is None or relation == "!=":
        for one in known:
            yield from one
        return
    shared = [one for one in known[0] if all(one in others for others in known)]
    yield from shared
    rest = [[one for one in of if one not in shared] for of in known]
    if all(len(of) == 1 for of in rest):
        yield AnyOf(tuple(of[0] for of in rest))
    elif any(rest):
        yield _unknown([left, relation, right])


def _single(left: Any, relation: str, right: Any) -> list[Match] | None:  # noqa: ANN401 - JSON
    """Matches that together say what one comparison says; None where there are none."""
    negate = relation == "!="
    read = mark_read(left)
    if read is not None:
        if not isinstance(right, int):
            return None
        word = MaskedWord(right, read[1])
        kind = MarkMatch if read[0] is Word.PACKET else ConnmarkMatch
        return [kind(word, negate)]
    if not isinstance(left, Mapping):
        return None
    if isinstance(left.get("meta"), Mapping):
        return _of_meta(str(left["meta"].get("key")), right, negate=negate)
    payload = left.get("payload")
    if isinstance(payload, Mapping):
        return _of_payload(
            str(payload.get("protocol")), str(payload.get("field")), right, negate=negate
        )
    return None


def _of_meta(key: str, right: Any, *, negate: bool) -> list[Match] | None:  # noqa: ANN401 - JSON
    if key in _INTERFACES and isinstance(right, str) and not right.startswith("@"):
        name = f"{right[:-1]}+" if right.endswith("*") else right
        return [InterfaceMatch(_INTERFACES[key], name, negate)]
    if key == "l4proto":
        number = _protocol(right)
        return None if number is None else [ProtocolMatch(number, negate)]
    if key in ("nfproto", "protocol") and not negate:
        family = (_NFPROTO if key == "nfproto" else _FAMILIES).get(str(right))
        return None if family is None else [_of_family(family)]
    return None


def _of_family(family: Family) -> AddressMatch:
    """A condition that all packets of a family meet, and none of the other."""
    return AddressMatch(Side.SOURCE, Net.everything(family))


def _of_payload(protocol: str, name: str, right: Any, *, negate: bool) -> list[Match] | None:  # noqa: ANN401 - JSON
    family = _FAMILIES.get(protocol)
    if family is not None and name in _SIDES:
        net = _net(right)
        if net is None or net.family is not family:
            return None
        return [AddressMatch(_SIDES[name], net, negate)]
    if family is not None and name in ("protocol", "nexthdr"):
        number = _protocol(right)
        return None if number is None else [_of_family(family), ProtocolMatch(number, negate)]
    if protocol in ("tcp", "udp") and name in ("sport", "dport"):
        ports = _ports(right)
        if ports is None:
            return None
        asked = Ports(ports, negate)
        source, destination = (asked, None) if name == "sport" else (None, asked)
        if protocol == "tcp":
            return [ProtocolMatch(TCP), TcpMatch(source, destination)]
        return [ProtocolMatch(UDP), UdpMatch(source, destination)]
    return None


def _protocol(right: Any) -> int | None:  # noqa: ANN401 - JSON
    if isinstance(right, int):
        return right
    return _PROTOCOLS.get(str(right))


def _net(right: Any) -> Net | None:  # noqa: ANN401 - JSON
    prefix = right.get("prefix") if isinstance(right, Mapping) else None
    text = f"{prefix.get('addr')}/{prefix.get('len')}" if isinstance(prefix, Mapping) else right
    if not isinstance(text, str):
        return None
    try:
        return Net.parse(text)
    except ValueError:
        return None


def _ports(right: Any) -> PortRange | None:  # noqa: ANN401 - JSON
    span = right.get("range") if isinstance(right, Mapping) else [right, right]
    if (
        isinstance(span, list)
        and len(span) == 2
        and all(isinstance(one, int) and 0 <= one <= 65535 for one in span)
    ):
        return PortRange(span[0], span[1])
    return None


def _is_state(left: Any) -> bool:  # noqa: ANN401 - JSON
    asked = left.get("ct") if isinstance(left, Mapping) else None
    return isinstance(asked, Mapping) and asked.get("key") == "state"


def _state(relation: str, right: Any) -> ConntrackMatch | None:  # noqa: ANN401 - JSON
    words = _elements(right) or (right if isinstance(right, list) else [right])
    known = {state.value.lower(): state for state in ConnectionState}
    states = [known.get(word) for word in words if isinstance(word, str)]
    if relation not in ("==", "!=", "in") or len(states) != len(words) or None in states:
        return None
    return ConntrackMatch(
        states=frozenset(one for one in states if one is not None), negate=relation == "!="
    )
