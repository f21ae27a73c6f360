"""A packet in one line: ``tcp 198.51.100.7:40000 -> 203.0.113.1:443 in eth0``.

    PROTOCOL SOURCE[:PORT] -> DESTINATION[:PORT] [in IF] [out IF] [mark WORD] [state STATE]
    [flags FLAG,…] [type NUMBER[/CODE]] [ttl NUMBER]

PROTOCOL is a name or number; IPv6 addresses with a port stand in brackets. ``in`` alone is a
packet to this host, ``in`` and ``out`` one that is forwarded, ``out`` alone one from this host.
Left out are: source port 40000, destination port 0, flags syn for a new TCP packet, type echo
request, ttl 64, mark 0, state new.
"""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.mark import parse_word
from netfw.ir.match import ConnectionState
from netfw.ir.names import MAX_INTERFACE_NAME, Family
from netfw.ir.net import Net, parse_address
from netfw.ir.protocols import ICMP, ICMPV6, TCP, protocol_number
from netfw.traverse.host_facts import HostFacts, InterfaceAddress, Route
from netfw.traverse.packet import ACK, FIN, PORT_PROTOCOLS, PSH, RST, SYN, URG, Packet

_FLAGS = {"fin": FIN, "syn": SYN, "rst": RST, "psh": PSH, "ack": ACK, "urg": URG}
_STATES = {
    state.value.lower(): state
    for state in ConnectionState
    if state not in (ConnectionState.SNAT, ConnectionState.DNAT)
}
_SOURCE_PORT = 40000
_ECHO_REQUEST = {Family.IPV4: 8, Family.IPV6: 128}
_ICMP = {Family.IPV4: ICMP, Family.IPV6: ICMPV6}


@dataclass(frozen=True, slots=True)
class Described:
    """A packet as it was written down; ``facts`` say no more of the host than the line does."""

    packet: Packet
    out_interface: str
    state: ConnectionState
    facts: HostFacts


def parse_packet(line: str) -> Described:
    """Read a packet; raises ValueError with a sentence that a user can read."""
    words = line.split()
    if len(words) < 4 or words[2] != "->":
        raise ValueError("a packet is written 'tcp 198.51.100.7 -> 203.0.113.1:443 in eth0'")
    protocol = protocol_number(words[0])
    if protocol is None:
        raise ValueError(f"'{words[0]}' is no protocol")
    family, source, source_port = _end(words[1])
    other, destination, destination_port = _end(words[3])
    if other is not family:
        raise ValueError("source and destination are of different IP families")
    if protocol in (ICMP, ICMPV6):
        protocol = _ICMP[family]
    if protocol not in PORT_PROTOCOLS and (source_port or destination_port):
        raise ValueError(f"protocol '{words[0]}' has no ports")
    options = _options(words[4:], family)
    if not options.came_by and not options.leaves_by:
        raise ValueError(
            "say where it comes in ('in eth0'), where it leaves ('out eth1'), or both"
        )
    is_new = options.state is ConnectionState.NEW
    flags = options.flags if options.flags is not None else SYN if is_new else ACK
    is_icmp = protocol == _ICMP[family]
    packet = Packet(
        family,
        source,
        destination,
        protocol,
        source_port=(source_port or _SOURCE_PORT) if protocol in PORT_PROTOCOLS else 0,
        destination_port=destination_port,
        tcp_flags=flags if protocol == TCP else 0,
        icmp_type=options.icmp[0] if is_icmp else 0,
        icmp_code=options.icmp[1] if is_icmp else 0,
        in_interface=options.came_by,
        mark=options.mark,
        ttl=options.ttl,
    )
    return Described(packet, options.leaves_by, options.state, _facts(packet, options.leaves_by))


@dataclass(slots=True)
class _Options:
    """What may follow the addresses."""

    icmp: tuple[int, int]
    came_by: str = ""
    leaves_by: str = ""
    mark: int = 0
    state: ConnectionState = ConnectionState.NEW
    flags: int | None = None
    ttl: int = 64


def _options(words: list[str], family: Family) -> _Options:
    options = _Options((_ECHO_REQUEST[family], 0))
    if len(words) % 2:
        raise ValueError(f"'{words[-1]}' stands alone: options are pairs such as 'in eth0'")
    seen: set[str] = set()
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name in seen:
            raise ValueError(f"'{name}' stands twice")
        seen.add(name)
        match name:
            case "in":
                options.came_by = _interface(value)
            case "out":
                options.leaves_by = _interface(value)
            case "mark":
                options.mark = parse_word(value)
            case "state":
                options.state = _state(value)
            case "flags":
                options.flags = _flags(value)
            case "type":
                options.icmp = _icmp_type(value)
            case "ttl":
                options.ttl = _number(value, 255)
            case _:
                raise ValueError(f"'{name}' is none of in, out, mark, state, flags, type, ttl")
    return options


def _facts(packet: Packet, out_interface: str) -> HostFacts:
    family = packet.family
    if not out_interface:
        mine = InterfaceAddress(family, packet.destination, family.bits)
        return HostFacts(addresses={packet.in_interface: (mine,)})
    return HostFacts(routes=(Route(Net.everything(family), out_interface),))


def _end(text: str) -> tuple[Family, int, int]:
    address, port = text, ""
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        if not bracket:
            raise ValueError(f"'{text}' lacks its closing bracket")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        family, number = parse_address(address)
    except ValueError:
        raise ValueError(f"'{address}' is no IP address") from None
    return family, number, _number(port, 65535) if port else 0


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > most:
        raise ValueError(f"'{text}' is not a number from 0 to {most}")
    return int(text)


def _interface(text: str) -> str:
    if len(text.encode()) > MAX_INTERFACE_NAME or "/" in text:
        raise ValueError(f"'{text}' is no interface name")
    return text


def _flags(text: str) -> int:
    bits = 0
    for name in text.lower().split(","):
        if name != "none" and name not in _FLAGS:
            raise ValueError(f"'{name}' is no TCP flag: {', '.join(_FLAGS)} or none")
        bits |= _FLAGS.get(name, 0)
    return bits


def _state(text: str) -> ConnectionState:
    if text.lower() not in _STATES:
        raise ValueError(f"'{text}' is no connection state: {', '.join(_STATES)}")
    return _STATES[text.lower()]


def _icmp_type(text: str) -> tuple[int, int]:
    kind, _, code = text.partition("/")
    return _number(kind, 255), _number(code or "0", 255)
