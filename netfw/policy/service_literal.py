"""Reads services that are written out: ``tcp/80``, ``udp/1000-2000``, ``icmp/echo-request``."""

from __future__ import annotations

from functools import lru_cache

from netfw.ir.match import PortRange
from netfw.ir.protocols import ICMP, ICMPV6, IGMP, SCTP, TCP, UDP
from netfw.policy.faults import did_you_mean
from netfw.policy.fields import parse_decimal
from netfw.policy.icmp_names import ICMP_NAMES
from netfw.policy.traffic import ANY, PROTOCOLS_WITH_PORTS, IcmpKind, Traffic

ANY_WORD = "any"
PROTOCOLS = {
    "tcp": TCP,
    "udp": UDP,
    "sctp": SCTP,
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

_PROTOCOL_WORDS = {number: word for word, number in PROTOCOLS.items()}


class LiteralFault(ValueError):
    """A service literal that cannot be; ``hint`` says what to write instead."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.hint = hint


def is_literal(word: str) -> bool:
    """Whether a word is written out rather than the name of a service."""
    return "/" in word or word in PROTOCOLS or word == ANY_WORD


@lru_cache(maxsize=4096)
def parse_service(text: str) -> Traffic:
    """Read a service literal; raises LiteralFault.

    ``any``, a protocol alone, ``tcp|udp|sctp`` with ``/port`` or ``/first-last`` (also with a
    colon), ``icmp|icmpv6`` with ``/name``, ``/type`` or ``/type/code``.
    """
    if text == ANY_WORD:
        return ANY
    word, slash, detail = text.partition("/")
    number = PROTOCOLS.get(word)
    if number is None:
        raise LiteralFault(
            f"unknown protocol '{word}' in '{text}'",
            did_you_mean(word, PROTOCOLS, f"protocols are {', '.join(PROTOCOLS)}"),
        )
    if not slash:
        return Traffic(number)
    if number in PROTOCOLS_WITH_PORTS:
        return Traffic(number, ports=parse_ports(detail, text))
    if number in ICMP_NAMES:
        return Traffic(number, icmp=_parse_icmp(number, detail, text))
    raise LiteralFault(f"'{text}': {word} has no ports", f"write '{word}'")


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
    word = _PROTOCOL_WORDS[traffic.protocol]
    if traffic.ports is not None:
        first, last = traffic.ports.first, traffic.ports.last
        return f"{word}/{first}" if first == last else f"{word}/{first}-{last}"
    if traffic.icmp is not None:
        code_first, code_last = traffic.icmp.codes
        code = "" if (code_first, code_last) == (0, 255) else f"/{code_first}"
        return f"{word}/{traffic.icmp.type}{code}"
    return word
