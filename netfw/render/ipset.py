"""Sets as input for ``ipset restore``, in the form that ``ipset save`` gives back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
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
    """All sets with their members; sets that a list names have to come before it.

    Protocols are numbers unless they were read as names: ipset looks a name up in /etc/protocols
    anew for each member: that takes two thirds of the time, and fails where the file is missing.
    """
    return "".join([f"{line}\n" for ipset in sets for line in _lines(ipset)])


def _lines(ipset: IpSet) -> Iterator[str]:
    options = (f"{name} {value}".rstrip() for name, value in ipset.options)
    yield " ".join(("create", ipset.name, ipset.kind, *options))
    add = f"add {ipset.name}"
    for member in ipset.members:
        yield f"{add} {member.loaded or _load_text(member)}"


def _load_text(member: SetMember) -> str:
    text = _with_extensions(",".join(map(_part_by_number, member.parts)), member)
    # nothing that a member means: it is as frozen as before
    object.__setattr__(member, "loaded", text)
    return text


def render_member(member: SetMember) -> str:
    """A member as ``ipset save`` prints it behind the set's name, protocols by their names."""
    if not member.printed:
        text = _with_extensions(",".join(map(_part, member.parts)), member)
        object.__setattr__(member, "printed", text)  # as above
    return member.printed


def _with_extensions(element: str, member: SetMember) -> str:
    last = member.parts[-1]
    is_wildcard = isinstance(last, SetInterface) and last.wildcard
    if not (member.nomatch or is_wildcard):
        return " ".join((element, *member.extensions))
    words = [element]
    extensions = list(member.extensions)
    if extensions[:1] == ["timeout"]:
        words += extensions[:2]
        del extensions[:2]
    if member.nomatch:
        words.append("nomatch")
    if is_wildcard:
        words.append("wildcard")
    return " ".join((*words, *extensions))


def _part_by_number(part: Part) -> str:
    if isinstance(part, SetPort) and part.protocol not in _PRINTED_OTHERWISE and not part.spelled:
        return f"{part.protocol}:{part.number}"
    return _part(part)


def _part(part: Part) -> str:
    if isinstance(part, Net):
        text = format_address(part.family, part.address)
        return text if part.is_single else f"{text}/{_length(part.mask)}"
    match part:
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


_PRINTED_OTHERWISE = (None, ICMP, ICMPV6)


@lru_cache(maxsize=512)
def _length(mask: int) -> int:
    """The length of a prefix, which every network in a set is."""
    return mask.bit_count()


def _port(port: SetPort) -> str:
    if port.protocol is None:
        return str(port.number)
    name = PRINTED_NAMES.get(port.protocol, str(port.protocol))
    if port.protocol in (ICMP, ICMPV6):
        return f"{name}:{port.number >> 8}/{port.number & 0xFF}"
    return f"{name}:{port.number}"
