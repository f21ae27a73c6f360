"""Reads what ``ipset save`` prints, every set with its members.

``create NAME KIND …`` before the ``add NAME MEMBER …`` of that set; ipset prints lists behind the
sets that they name. Other commands of ``ipset restore`` (flush, swap, destroy) say what to do, not
what there is, and are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from netfw.errors import FactError, Fault
from netfw.facts.faults import few
from netfw.facts.icmp_types import ICMP_TYPES
from netfw.ir.ipset import (
    SET_KINDS,
    IpSet,
    Part,
    PartKind,
    SetInterface,
    SetMac,
    SetMarkWord,
    SetMember,
    SetName,
    SetPort,
)
from netfw.ir.names import MAX_INTERFACE_NAME, MAX_SET_NAME, Family
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6, TCP, protocol_number

_WORD = re.compile(r'"[^"]*"|[^\s"]+')
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_KIND = re.compile(r" (?=(?:hash|bitmap|list):)")
_CREATE_FLAGS = frozenset({"counters", "comment", "skbinfo", "forceadd"})
_CREATE_NUMBERS = frozenset({"hashsize", "maxelem", "timeout", "size", "netmask", "markmask"})
_CREATE_NUMBERS |= {"bucketsize", "initval", "probes", "resize"}
_CREATE_WORDS = frozenset({"family", "range", "bitmask"})
_MEMBER_NUMBERS = frozenset({"timeout", "packets", "bytes", "skbqueue"})
_MEMBER_WORDS = frozenset({"comment", "skbmark", "skbprio"})
_NO_FAMILY = frozenset({"bitmap:port", "hash:mac", "list:set"})
_ICMP = {ICMP: ICMP_TYPES["icmp"], ICMPV6: ICMP_TYPES["icmp6"]}


@dataclass(slots=True)
class _Draft:
    """A set under way, with what its members still have to be measured against."""

    ipset: IpSet
    members: list[SetMember] = field(default_factory=list)
    known: set[tuple[Part, ...]] = field(default_factory=set)


def parse_sets(text: str, file: str) -> dict[str, IpSet]:
    """All sets of a file by name, in its order.

    Raises FactError with the line of each fault.
    """
    drafts: dict[str, _Draft] = {}
    faults: list[Fault] = []
    number = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            _take(line, drafts)
        except ValueError as error:
            faults.append(Fault(f"{file}:{number}", str(error)))
    if not faults and text and not text.endswith("\n"):
        hint = "save the sets again: ipset save > FILE"
        faults.append(Fault(f"{file}:{number}", "the last line is cut short", hint))
    if faults:
        raise FactError(*few(faults, file))
    return {
        name: replace(draft.ipset, members=tuple(draft.members)) for name, draft in drafts.items()
    }


def _take(line: str, drafts: dict[str, _Draft]) -> None:
    command, _, rest = line.partition(" ")
    if command == "add":
        name, said = _name_first(rest, drafts)
        draft = drafts.get(name)
        if draft is None:
            raise ValueError(f"set '{name}' has not been created")
        member = _member(said, draft.ipset, drafts)
        if member.parts in draft.known:
            raise ValueError(f"set '{name}' has this member already")
        draft.known.add(member.parts)
        draft.members.append(member)
    elif command == "create":
        ipset = _created(rest)
        if ipset.name in drafts:
            raise ValueError(f"set '{ipset.name}' has been created already")
        drafts[ipset.name] = _Draft(ipset)
    else:
        raise ValueError(f"'{command}' is not what ipset save prints: create or add")


def _name_first(text: str, drafts: dict[str, _Draft]) -> tuple[str, str]:
    """The set's name that a text begins with, and the rest: it may hold blanks, and ipset prints
    it as it is."""
    name, _, rest = text.partition(" ")
    if name not in drafts:
        fitting = (one for one in drafts if f"{text} ".startswith(f"{one} "))
        name = max(fitting, default=name, key=len)
    return name, rest if " " not in name else text[len(name) + 1 :]


def _created(rest: str) -> IpSet:
    name, *behind = _KIND.split(rest, maxsplit=1)
    if not behind:
        raise ValueError("'create' without a name and a kind such as hash:net")
    if not name or len(name.encode()) > MAX_SET_NAME:
        raise ValueError(f"a set's name has 1 to {MAX_SET_NAME} bytes: '{name}'")
    kind, *words = behind[0].split()
    if kind not in SET_KINDS:
        raise ValueError(f"'{kind}' is no kind of set")
    options = tuple(_options(words))
    values = dict(options)
    if len(values) != len(options):
        raise ValueError("an option is given twice")
    if kind.startswith("bitmap:") and "range" not in values:
        raise ValueError(f"a set of kind {kind} has a range")
    family = None if kind in _NO_FAMILY else _family(values.get("family", "inet"))
    return IpSet(
        name,
        kind,
        family,
        options,
        mask=_mask(values, family),
        mark_mask=int(values.get("markmask", "0xffffffff"), 0),
        span=_span(values["range"], kind) if "range" in values else None,
    )


def _options(words: list[str]) -> list[tuple[str, str]]:
    found = []
    rest = iter(words)
    for word in rest:
        if word in _CREATE_FLAGS:
            found.append((word, ""))
            continue
        if word not in _CREATE_NUMBERS and word not in _CREATE_WORDS:
            raise ValueError(f"'{word}' is no option of a set that netfw knows")
        value = next(rest, "")
        if word in _CREATE_NUMBERS:
            _whole(value, f"{word} ", 0xFFFFFFFF)
        elif not value:
            raise ValueError(f"{word} has no value")
        found.append((word, value))
    return found


def _whole(text: str, what: str, most: int) -> int:
    """A number in decimal or hexadecimal."""
    try:
        number = int(text, 0) if text[:2].lower() == "0x" else int(text)
    except ValueError:
        number = -1
    if not (text[:1].isdigit() and text.isascii() and 0 <= number <= most):
        raise ValueError(f"{what}'{text}' is no number from 0 to {most}")
    return number


def _family(text: str) -> Family:
    if text not in ("inet", "inet6"):
        raise ValueError(f"family '{text}' is neither inet nor inet6")
    return Family.IPV4 if text == "inet" else Family.IPV6


def _mask(values: dict[str, str], family: Family | None) -> int | None:
    if family is None:
        return None
    if "bitmask" in values:
        net = Net.parse(values["bitmask"])
        if net.family is not family:
            raise ValueError(f"bitmask '{values['bitmask']}' is not {family}")
        return net.address
    if "netmask" in values:
        length = _whole(values["netmask"], "netmask ", family.bits)
        full = (1 << family.bits) - 1
        return full ^ (full >> length)
    return None


def _span(text: str, kind: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if kind == "bitmap:port":
        ends = _whole(first, "port ", 65535), _whole(last or first, "port ", 65535)
    else:
        ends = _address(first, Family.IPV4), _address(last or first, Family.IPV4)
    if ends[0] > ends[1]:
        raise ValueError(f"range '{text}' ends before it begins")
    return ends


def _member(said: str, ipset: IpSet, drafts: dict[str, _Draft]) -> SetMember:
    kinds = ipset.parts
    if kinds == (PartKind.SET,):
        element, behind = _name_first(said, drafts)
    else:
        element, _, behind = said.partition(" ")
    if not element:
        raise ValueError("'add' without a member")
    nomatch, wildcard, extensions = _extensions(behind, ipset) if behind else (False, False, ())
    texts = element.split(",", len(kinds) - 1)
    if len(texts) != len(kinds) and not (ipset.kind == "bitmap:ip,mac" and len(texts) == 1):
        raise ValueError(f"'{element}' is no member of a set of kind {ipset.kind}")
    parts = tuple(
        _part(kind, text, ipset, drafts) for kind, text in zip(kinds, texts, strict=False)
    )
    last = parts[-1]
    if wildcard and isinstance(last, SetInterface):
        parts = (*parts[:-1], replace(last, wildcard=True))
    return SetMember(parts, nomatch, extensions)


def _extensions(text: str, ipset: IpSet) -> tuple[bool, bool, tuple[str, ...]]:
    """Whether there is ``nomatch`` and ``wildcard``, and the rest, checked."""
    flags = set()
    kept: list[str] = []
    rest = iter(_WORD.findall(text))
    for word in rest:
        if (word == "nomatch" and ipset.has_exceptions) or (
            word == "wildcard" and ipset.parts[-1] is PartKind.INTERFACE
        ):
            flags.add(word)
            continue
        if word not in _MEMBER_NUMBERS and word not in _MEMBER_WORDS:
            raise ValueError(f"'{word}' is nothing that a member of kind {ipset.kind} has")
        value = next(rest, "")
        if word in _MEMBER_NUMBERS:
            _whole(value, f"{word} ", 0xFFFFFFFFFFFFFFFF)
        elif not value:
            raise ValueError(f"{word} has no value")
        kept += (word, value)
    return "nomatch" in flags, "wildcard" in flags, tuple(kept)


def _part(kind: PartKind, text: str, ipset: IpSet, drafts: dict[str, _Draft]) -> Part:
    if kind is PartKind.IP or kind is PartKind.NET:
        return _net(kind, text, ipset)
    if kind is PartKind.PORT:
        return _port(text, ipset)
    if kind is PartKind.INTERFACE:
        name = text.removeprefix("physdev:")
        if not 1 <= len(name) <= MAX_INTERFACE_NAME:
            raise ValueError(f"an interface's name has 1 to {MAX_INTERFACE_NAME} bytes: '{name}'")
        return SetInterface(name, physdev=name != text)
    if kind is PartKind.MAC:
        if not _MAC.fullmatch(text):
            raise ValueError(f"'{text}' is no Ethernet address")
        return SetMac(text.upper())
    if kind is PartKind.MARK:
        return SetMarkWord(_whole(text, "mark ", 0xFFFFFFFF))
    if text not in drafts:
        raise ValueError(f"set '{text}' has not been created")
    if drafts[text].ipset.parts == (PartKind.SET,):
        raise ValueError(f"'{text}' is a list, which no list can hold")
    return SetName(text)


def _address(text: str, family: Family) -> int:
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"'{text}' is no address") from None
    if address.version != family.value:
        raise ValueError(f"'{text}' is not {family}")
    return int(address)


def _net(kind: PartKind, text: str, ipset: IpSet) -> Net:
    family = ipset.family
    assert family is not None
    full = (1 << family.bits) - 1
    address_text, slash, length_text = text.partition("/")
    address = _address(address_text, family)
    mask = full
    if slash:
        if kind is not PartKind.NET:
            raise ValueError(f"'{text}' is no single address")
        mask ^= full >> _whole(length_text, "prefix length ", family.bits)
    if address & ~mask:
        raise ValueError(f"'{text}' has bits outside its prefix")
    if ipset.span is not None and not ipset.span[0] <= address <= ipset.span[1]:
        raise ValueError(f"'{text}' is outside the set's range")
    return Net(family, address, mask)


def _port(text: str, ipset: IpSet) -> SetPort:
    if ipset.span is not None:
        number = _whole(text, "port ", 65535)
        if not ipset.span[0] <= number <= ipset.span[1]:
            raise ValueError(f"port {text} is outside the set's range")
        return SetPort(None, number)
    before, colon, behind = text.partition(":")
    protocol = protocol_number(before) if colon else TCP
    if protocol is None:
        raise ValueError(f"'{before}' is no protocol that netfw knows")
    return SetPort(protocol, _port_number(protocol, behind if colon else text), text)


def _port_number(protocol: int, text: str) -> int:
    names = _ICMP.get(protocol)
    if names is None:
        return _whole(text, "port ", 65535)
    kind, slash, code = text.partition("/")
    if slash:
        return _whole(kind, "ICMP type ", 255) << 8 | _whole(code, "ICMP code ", 255)
    known = names.get(text.lower())
    if known is None:
        raise ValueError(f"'{text}' is no ICMP type")
    return known[0] << 8 | (known[1] or 0)
