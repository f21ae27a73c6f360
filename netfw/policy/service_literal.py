"""Reads services that are written out: ``tcp/80``, ``udp/1000-2000``, ``icmp/echo-request``."""

from __future__ import annotations

from functools import lru_cache

from netfw.ir.match import PortRange
from netfw.ir.protocols import (
    DCCP,
    ICMP,
    ICMPV6,
    IGMP,
    PROTOCOL_NAMES,
    SCTP,
    TCP,
    UDP,
    UDPLITE,
)
from netfw.policy.faults import did_you_mean
from netfw.policy.fields import parse_decimal
from netfw.policy.icmp_names import BOTH_ICMP_NAMES, ICMP_NAMES
from netfw.policy.traffic import ANY, PROTOCOLS_WITH_PORTS, IcmpKind, Traffic

ANY_WORD = "any"
PROTOCOLS = {
    "tcp": TCP,
    "udp": UDP,
    "sctp": SCTP,
    "dccp": DCCP,
    "udplite": UDPLITE,
    "icmp": ICMP,
    "icmpv6": ICMPV6,
    "igmp": IGMP,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ospf": 89,
    "vrrp": 112,
}
"""Protocols by the words of the language (numbers: IANA "Assigned Internet Protocol Numbers")."""

ANY_ICMP = "icmp-any"
"""The word for ICMP and ICMPv6 at once."""
ANY_PROTOCOL = "proto"
"""What stands before the number or the further name of a protocol."""
LITERAL_WORDS = frozenset({*PROTOCOLS, ANY_WORD, ANY_ICMP, ANY_PROTOCOL})
"""Words that cannot be names of services."""
_EXTENSION_HEADERS = frozenset({0, 43, 44, 59, 60})
"""Hop-by-hop options, routing, fragments, no next header, destination options: no protocols but
headers that IPv6 puts before one, so that ``-p`` never sees them (ip6tables(8)); 0 means all."""
_PROTOCOL_WORDS = {number: word for word, number in PROTOCOLS.items()}
_NUMBERS = dict(PROTOCOL_NAMES) | PROTOCOLS


class LiteralFault(ValueError):
    """A service literal that cannot be; ``hint`` says what to write instead."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.hint = hint


def is_literal(word: str) -> bool:
    """Whether a word is written out rather than the name of a service."""
    return "/" in word or word in LITERAL_WORDS or _is_number(word)


def _is_number(word: str) -> bool:
    """Whether a word is a number or a range, which somebody took for a service."""
    return word.replace("-", "").isdigit()


def parse_services(text: str) -> tuple[Traffic, ...]:
    """Read a service literal, also one that is of two kinds; raises LiteralFault.

    That is ``icmp-any``, alone or with ``/name``: ICMP and ICMPv6.
    """
    word, slash, name = text.partition("/")
    if word != ANY_ICMP:
        return (parse_service(text),)
    if not slash:
        return (Traffic(ICMP), Traffic(ICMPV6))
    kinds = BOTH_ICMP_NAMES.get(name)
    if kinds is None:
        raise LiteralFault(
            f"'{text}': '{name}' is no type of both ICMP and ICMPv6",
            did_you_mean(name, BOTH_ICMP_NAMES, f"write one of {', '.join(BOTH_ICMP_NAMES)}"),
        )
    return both_icmp(name)


def both_icmp(name: str) -> tuple[Traffic, ...]:
    """What a name of a type means in both families; raises KeyError."""
    v4, v6 = BOTH_ICMP_NAMES[name]
    return (Traffic(ICMP, icmp=v4), Traffic(ICMPV6, icmp=v6))


@lru_cache(maxsize=4096)
def parse_service(text: str) -> Traffic:
    """Read a service literal; raises LiteralFault.

    ``any``, a protocol alone, one with ports and ``/port`` or ``/first-last`` (also with a
    colon), ``icmp|icmpv6`` with ``/name``, ``/type`` or ``/type/code``, ``proto/number`` or
    ``proto/name``.
    """
    if text == ANY_WORD:
        return ANY
    word, slash, detail = text.partition("/")
    if word == ANY_PROTOCOL:
        return Traffic(_parse_protocol(detail, text))
    number = PROTOCOLS.get(word)
    if number is None and _is_number(text):
        raise LiteralFault(
            f"'{text}' may be a port or a protocol",
            f"write tcp/{text} or udp/{text} for ports, {ANY_PROTOCOL}/{text} for a protocol",
        )
    if number is None:
        words = ", ".join(PROTOCOLS)
        otherwise = f"protocols are {words}, and {ANY_PROTOCOL}/NUMBER for any other"
        raise LiteralFault(
            f"unknown protocol '{word}' in '{text}'", did_you_mean(word, PROTOCOLS, otherwise)
        )
    if not slash:
        return Traffic(number)
    if number in PROTOCOLS_WITH_PORTS:
        return Traffic(number, ports=parse_ports(detail, text))
    if number in ICMP_NAMES:
        return Traffic(number, icmp=_parse_icmp(number, detail, text))
    raise LiteralFault(f"'{text}': {word} has no ports", f"write '{word}'")


def _parse_protocol(detail: str, text: str) -> int:
    number = parse_decimal(detail)
    if number is None:
        number = _NUMBERS.get(detail)
    if number is None or number > 255:
        raise LiteralFault(
            f"'{text}': '{detail}' is no protocol",
            did_you_mean(detail, _NUMBERS, "write a number from 1 to 255, or a name of IANA's"),
        )
    if number in _EXTENSION_HEADERS:
        raise LiteralFault(
            f"'{text}' is a header of IPv6 and no protocol",
            "name the protocol behind it" if number else f"write '{ANY_WORD}' for all protocols",
        )
    return number


def parse_ports(detail: str, text: str) -> PortRange:
    """Read a port or a range, 1 to 65535; ``text`` is what a message quotes."""
    first_text, separator, last_text = detail.partition("-" if "-" in detail else ":")
    first = parse_decimal(first_text)
    last = parse_decimal(last_text) if separator else first
    if first is None or last is None:
        raise LiteralFault(
            f"'{text}': '{detail}' is not a port or a range of ports",
            "write a number, or a range such as 1000-2000",
        )
    if not 1 <= first <= 65535 or not 1 <= last <= 65535:
        raise LiteralFault(f"'{text}': ports go from 1 to 65535")
    if first > last:
        raise LiteralFault(f"'{text}': the range is upside down", f"write {last}-{first}")
    return PortRange(first, last)


def _parse_icmp(protocol: int, detail: str, text: str) -> IcmpKind:
    names = ICMP_NAMES[protocol]
    if detail in names:
        return names[detail]
    type_text, slash, code_text = detail.partition("/")
    icmp_type = parse_decimal(type_text)
    code = parse_decimal(code_text) if slash else 0
    if icmp_type is None or code is None:
        word = _PROTOCOL_WORDS[protocol]
        raise LiteralFault(
            f"'{text}': unknown {word} type '{detail}'",
            did_you_mean(detail, names, "write a name such as echo-request, or type or type/code"),
        )
    # 255 is no type: in a rule of iptables it would mean every type (xt_tcpudp.c)
    if icmp_type > 254 or code > 255:
        raise LiteralFault(f"'{text}': types go from 0 to 254 and codes from 0 to 255")
    return IcmpKind(icmp_type, (code, code) if slash else (0, 255))


def format_service(traffic: Traffic) -> str:
    """The canonical spelling of a service literal."""
    if traffic.protocol is None:
        return ANY_WORD
    word = _PROTOCOL_WORDS.get(traffic.protocol, f"{ANY_PROTOCOL}/{traffic.protocol}")
    if traffic.ports is not None:
        first, last = traffic.ports.first, traffic.ports.last
        return f"{word}/{first}" if first == last else f"{word}/{first}-{last}"
    if traffic.icmp is not None:
        code_first, code_last = traffic.icmp.codes
        code = "" if (code_first, code_last) == (0, 255) else f"/{code_first}"
        return f"{word}/{traffic.icmp.type}{code}"
    return word
