"""Sets as input for ``ipset restore``, in the form that ``ipset save`` gives back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from netfw.ir.ipset import (
    IpSet,
    Part,
    SetInterface,
    SetMac,
    SetMarkWord,
    SetMember,
    SetName,
    SetPort,
)
from netfw.ir.net import Net, format_address
from netfw.ir.protocols import ICMP, ICMPV6, PRINTED_NAMES


def render_sets(sets: Iterable[IpSet]) -> str:
    """All sets with their members; sets that a list names have to come before it."""
    return "".join(f"{line}\n" for ipset in sets for line in _lines(ipset))


def _lines(ipset: IpSet) -> Iterator[str]:
    options = (f"{name} {value}".rstrip() for name, value in ipset.options)
    yield " ".join(("create", ipset.name, ipset.kind, *options))
    for member in ipset.members:
        yield f"add {ipset.name} {render_member(member)}"


def render_member(member: SetMember) -> str:
    """A member as ``add`` takes it behind the set's name."""
    words = [",".join(map(_part, member.parts))]
    extensions = list(member.extensions)
    if extensions[:1] == ["timeout"]:
        words += extensions[:2]
        del extensions[:2]
    if member.nomatch:
        words.append("nomatch")
    if any(isinstance(part, SetInterface) and part.wildcard for part in member.parts):
        words.append("wildcard")
    return " ".join((*words, *extensions))


def _part(part: Part) -> str:
    match part:
        case Net(family, address):
            text = format_address(family, address)
            return text if part.is_single else f"{text}/{part.prefix_length}"
        case SetPort():
            return part.spelled or _port(part)
        case SetInterface(name, physdev):
            return f"physdev:{name}" if physdev else name
        case SetMac(address):
            return address
        case SetMarkWord(word):
            return f"{word:#x}"
        case SetName(name):
            return name
        case _:
            assert_never(part)


def _port(port: SetPort) -> str:
    if port.protocol is None:
        return str(port.number)
    name = PRINTED_NAMES.get(port.protocol, str(port.protocol))
    if port.protocol in (ICMP, ICMPV6):
        return f"{name}:{port.number >> 8}/{port.number & 0xFF}"
    return f"{name}:{port.number}"
