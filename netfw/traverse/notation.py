"""A packet in one line: ``tcp 198.51.100.7:40000 -> 203.0.113.1:443 in eth0``.

    [PROTOCOL] [SOURCE[:PORT] ->] DESTINATION[:PORT] [in IF] [out IF] [mark WORD] [state STATE]
    [flags FLAG,…] [type NUMBER[/CODE]] [ttl NUMBER]

PROTOCOL is a name or number; IPv6 addresses with a port stand in brackets. ``in`` alone is a
packet to this host, ``in`` and ``out`` one that is forwarded, ``out`` alone one from this host.
Each piece that may be left out, and what it is then, is in ``netfw/docs/packets.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from netfw.ir.mark import parse_word
from netfw.ir.match import TCP_FLAG_BITS, ConnectionState
from netfw.ir.names import MAX_INTERFACE_NAME, Family
from netfw.ir.net import parse_address
from netfw.ir.protocols import ICMP, ICMPV6, TCP, protocol_number
from netfw.traverse.packet import (
    ACK,
    PORT_PROTOCOLS,
    PROTOCOL_NAMES,
    SYN,
    Packet,
)
from netfw.traverse.sketch import ASSUMED_SOURCE_PORT, Sketch

STATES = {
    state.value.lower(): state
    for state in ConnectionState
    if state not in (ConnectionState.SNAT, ConnectionState.DNAT)
}
"""States that a packet can be said to be in, by the word for each."""
_ECHO_REQUEST = {Family.IPV4: 8, Family.IPV6: 128}
_ICMP = {Family.IPV4: ICMP, Family.IPV6: ICMPV6}
_FORM = "a packet is written 'tcp 198.51.100.7 -> 203.0.113.1:443 in eth0'"
T = TypeVar("T")


class NotationError(ValueError):
    """What is wrong with a line, at which column (counted from 1), and what to do."""

    def __init__(self, column: int, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.column = column
        self.hint = hint or _FORM


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    column: int

    def read(self, reader: Callable[[str], T], hint: str = "") -> T:
        """What a reader makes of the word; its ValueError gets the word's place."""
        try:
            return reader(self.text)
        except ValueError as error:
            raise NotationError(self.column, str(error), hint) from None


@dataclass(slots=True)
class _Options:
    """What may follow the addresses; None where it was not said."""

    came_by: str = ""
    leaves_by: str = ""
    mark: int | None = None
    state: ConnectionState | None = None
    flags: int | None = None
    icmp: tuple[int, int] | None = None
    ttl: int | None = None
    places: dict[str, int] = field(default_factory=dict)


def parse_packet(line: str) -> Sketch:
    """Read a packet; raises NotationError."""
    words = [_Word(found[0], found.start() + 1) for found in re.finditer(r"\S+", line)]
    head, tail = _split(words)
    if not head:
        raise NotationError(1, "there is no packet", _FORM)
    protocol_word, source_word, destination_word = _addresses(head)
    family, destination, destination_port = destination_word.read(_end)
    source, source_port = 0, None
    if source_word is not None:
        other, source, source_port = source_word.read(_end)
        if other is not family:
            raise NotationError(
                source_word.column,
                f"'{source_word.text}' and '{destination_word.text}' are of different IP families",
            )
    options = _options(tail)
    has_ports = source_port is not None or destination_port is not None
    said: list[str] = []
    if protocol_word is not None:
        protocol = protocol_word.read(_protocol, "tcp, udp, icmp, …, or its number")
        if protocol in (ICMP, ICMPV6):
            protocol = _ICMP[family]
    else:
        is_tcp = has_ports or options.flags is not None
        protocol = TCP if is_tcp else _ICMP[family]
        said.append(PROTOCOL_NAMES[protocol])
    if protocol not in PORT_PROTOCOLS and has_ports:
        place = destination_word if destination_port is not None else source_word
        assert place is not None
        raise NotationError(place.column, f"protocol '{_name(protocol)}' has no ports")
    _check_options(options, protocol)
    packet = _packet(
        (family, protocol, source, destination), source_port, destination_port, options, said
    )
    return Sketch(
        packet,
        source_word is not None,
        options.leaves_by,
        options.state or ConnectionState.NEW,
        tuple(said),
    )


def _packet(
    known: tuple[Family, int, int, int],
    source_port: int | None,
    destination_port: int | None,
    options: _Options,
    said: list[str],
) -> Packet:
    """The packet with its defaults, which are noted in ``said``."""
    family, protocol, source, destination = known

    def given(value: T | None, default: T, words: str) -> T:
        if value is not None:
            return value
        said.append(words)
        return default

    ports = 0, 0
    if protocol in PORT_PROTOCOLS:
        from_port = ASSUMED_SOURCE_PORT
        ports = (
            given(source_port, from_port, f"source port {from_port}"),
            given(destination_port, 0, "destination port 0"),
        )
    flags = 0
    if protocol == TCP:
        usual = usual_flags(options.state or ConnectionState.NEW)
        flags = given(options.flags, usual, f"flags {flags_text(usual)}")
    kind = 0, 0
    if protocol == _ICMP[family]:
        echo = _ECHO_REQUEST[family]
        kind = given(options.icmp, (echo, 0), f"type {echo} (echo request)")
    given(options.state, ConnectionState.NEW, "state new")
    return Packet(
        family,
        source,
        destination,
        protocol,
        source_port=ports[0],
        destination_port=ports[1],
        tcp_flags=flags,
        icmp_type=kind[0],
        icmp_code=kind[1],
        in_interface=options.came_by,
        mark=given(options.mark, 0, "mark 0"),
        ttl=given(options.ttl, 64, "ttl 64"),
    )


def _split(words: list[_Word]) -> tuple[list[_Word], list[_Word]]:
    """Protocol and addresses, and the pairs behind them."""
    arrow = next((index for index, word in enumerate(words) if word.text == "->"), None)
    if arrow is not None:
        return words[: arrow + 2], words[arrow + 2 :]
    for index, word in enumerate(words[:2]):
        if _is_end(word.text):
            return words[: index + 1], words[index + 1 :]
    return words[:2], words[2:]


def _addresses(head: list[_Word]) -> tuple[_Word | None, _Word | None, _Word]:
    """Protocol, source and destination; the first two may be missing."""
    texts = [word.text for word in head]
    if "->" not in texts:
        if len(head) == 1:
            return None, None, head[0]
        return head[0], None, head[1]
    arrow = texts.index("->")
    if arrow + 1 == len(head):
        raise NotationError(head[arrow].column, "no destination stands behind '->'")
    if arrow > 2:
        raise NotationError(head[2].column, f"'{texts[2]}' stands where '->' belongs")
    before, destination = head[:arrow], head[arrow + 1]
    if not before:
        return None, None, destination
    if len(before) == 2:
        return before[0], before[1], destination
    if _is_end(before[0].text) or protocol_number(before[0].text) is None:
        return None, before[0], destination
    return before[0], None, destination


def _is_end(text: str) -> bool:
    try:
        _end(text)
    except ValueError:
        return False
    return True


def _options(words: list[_Word]) -> _Options:
    options = _Options()
    for name in words[::2]:
        if name.text not in _PAIRS:
            known = ", ".join(_PAIRS)
            raise NotationError(
                name.column, f"'{name.text}' is none of {known}", "such as 'in eth0'"
            )
    if len(words) % 2:
        last = words[-1]
        raise NotationError(last.column, f"'{last.text}' stands alone", "such as 'in eth0'")
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name.text in options.places:
            raise NotationError(name.column, f"'{name.text}' stands twice", "say it once")
        options.places[name.text] = name.column
        attribute, reader, hint = _PAIRS[name.text]
        setattr(options, attribute, value.read(reader, hint))
    return options


def _check_options(options: _Options, protocol: int) -> None:
    for name, fits in (("flags", protocol == TCP), ("type", protocol in (ICMP, ICMPV6))):
        if name in options.places and not fits:
            raise NotationError(
                options.places[name],
                f"protocol '{_name(protocol)}' has no {name}",
                "flags are for tcp, type is for icmp",
            )


def _name(protocol: int) -> str:
    return PROTOCOL_NAMES.get(protocol, str(protocol))


def _protocol(text: str) -> int:
    found = protocol_number(text)
    if found is None:
        raise ValueError(f"'{text}' is no protocol")
    return found


def _end(text: str) -> tuple[Family, int, int | None]:
    address, port = text, ""
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        if not bracket:
            raise ValueError(f"'{text}' lacks its closing bracket")
        if port and not port.startswith(":"):
            raise ValueError(f"'{text}' has '{port}' where ':PORT' belongs")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        family, number = parse_address(address)
    except ValueError:
        raise ValueError(f"'{address}' is no IP address") from None
    return family, number, _number(port, 65535) if port else None


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > most:
        raise ValueError(f"'{text}' is not a number from 0 to {most}")
    return int(text)


def interface_name(text: str) -> str:
    """A name that the kernel takes for an interface; raises ValueError."""
    if not text or len(text.encode()) > MAX_INTERFACE_NAME or "/" in text or " " in text:
        raise ValueError(f"'{text}' is no interface name")
    return text


def tcp_flags(text: str) -> int:
    """The bits of ``syn,ack``; raises ValueError."""
    bits = 0
    for name in text.lower().split(","):
        if name != "none" and name not in TCP_FLAG_BITS:
            raise ValueError(f"'{name}' is no TCP flag")
        bits |= TCP_FLAG_BITS.get(name, 0)
    return bits


def usual_flags(state: ConnectionState) -> int:
    """The TCP flags of a packet in this state, unless a line says so."""
    return SYN if state is ConnectionState.NEW else ACK


def flags_text(bits: int) -> str:
    """TCP flags as they are written in a line."""
    return ",".join(name for name, bit in TCP_FLAG_BITS.items() if bits & bit) or "none"


def _state(text: str) -> ConnectionState:
    if text.lower() not in STATES:
        raise ValueError(f"'{text}' is no connection state")
    return STATES[text.lower()]


def _icmp_type(text: str) -> tuple[int, int]:
    kind, _, code = text.partition("/")
    return _number(kind, 255), _number(code or "0", 255)


def _ttl(text: str) -> int:
    return _number(text, 255)


_PAIRS: dict[str, tuple[str, Callable[[str], object], str]] = {
    "in": ("came_by", interface_name, f"at most {MAX_INTERFACE_NAME} bytes, without '/'"),
    "out": ("leaves_by", interface_name, f"at most {MAX_INTERFACE_NAME} bytes, without '/'"),
    "mark": ("mark", parse_word, "such as 'mark 0x10000'"),
    "state": ("state", _state, f"one of {', '.join(STATES)}"),
    "flags": ("flags", tcp_flags, f"some of {', '.join(TCP_FLAG_BITS)}, or none"),
    "type": ("icmp", _icmp_type, "such as 'type 3/4'"),
    "ttl": ("ttl", _ttl, "such as 'ttl 64'"),
}
"""What may follow the addresses: where it goes, how it is read, and how it is written."""


def read_option(name: str, text: str) -> object:
    """What a pair's value means: an interface's name, a mark, a state, …; raises ValueError."""
    return _PAIRS[name][1](text)
