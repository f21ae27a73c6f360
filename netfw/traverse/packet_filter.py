"""Which packets are meant, in the words of a packet's description, any of which may be left out.

    [PROTOCOL] [[SOURCE][:PORT] ->] [DESTINATION][:PORT] [in IF] [out IF] [mark WORD[/MASK]]
    [sport PORTS] [dport PORTS] [flags FLAG,…] [type NUMBER[/CODE]] [ttl NUMBER]

An address may be a network, ``any`` or missing, PORTS a port or a range such as ``1000-2000``.
As in ``notation.py``, ``in`` alone says nothing of where the packet goes, and ``out`` alone means
packets of this host itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from netfw.ir.mark import MAX_MARK, MaskedWord, parse_word
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6, TCP, protocol_number
from netfw.traverse.notation import NotationError, interface_name, tcp_flags
from netfw.traverse.packet import PORT_PROTOCOLS, PROTOCOL_NAMES, Packet

_FORM = "a filter is written 'tcp 10.0.0.0/8 -> 203.0.113.1:443 in eth0', or a part of that"
_ANY = frozenset({"any", "all", "*"})
_MOST_PORT = 65535
Ports = tuple[int, int]
"""The first and the last port that is meant."""


@dataclass(frozen=True, slots=True)
class PacketFilter:
    """Packets as they come in by an interface, or as this host begins to send them.

    None, or an empty name, leaves a part open. ``mark`` is asked of the mark that the packet has
    before any rule, ``flags`` are exactly the TCP flags that are set. ``leaves_by`` is known only
    when the packet has gone.
    """

    protocols: frozenset[int] = frozenset()
    source: Net | None = None
    destination: Net | None = None
    source_ports: Ports | None = None
    destination_ports: Ports | None = None
    came_by: str = ""
    leaves_by: str = ""
    mark: MaskedWord | None = None
    flags: int | None = None
    icmp: tuple[int, int | None] | None = None
    ttl: int | None = None

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that its packets may be of."""
        nets = [net for net in (self.source, self.destination) if net is not None]
        named = {net.family for net in nets}
        if self.protocols == {ICMP}:
            named.add(Family.IPV4)
        if self.protocols == {ICMPV6}:
            named.add(Family.IPV6)
        return tuple(family for family in Family if not named or family in named)

    @property
    def is_everything(self) -> bool:
        """Whether each packet is meant."""
        return self == PacketFilter(came_by=self.came_by, leaves_by=self.leaves_by)


def parse_filter(line: str) -> PacketFilter:
    """Read a filter; raises NotationError."""
    words = [(found[0], found.start() + 1) for found in re.finditer(r"\S+", line)]
    head = 0
    while head < len(words) and words[head][0] not in _PAIRS:
        head += 1
    found = _head(words[:head])
    pairs = words[head:]
    seen: set[str] = set()
    for (name, column), value in zip(pairs[::2], [*pairs[1::2], None], strict=False):
        if name not in _PAIRS:
            known = ", ".join(_PAIRS)
            raise NotationError(column, f"'{name}' is none of {known}", _FORM)
        if value is None:
            raise NotationError(column, f"'{name}' stands alone", "such as 'in eth0'")
        if name in seen:
            raise NotationError(column, f"'{name}' stands twice", "say it once")
        seen.add(name)
        found = _read(value, lambda text, n=name, f=found: _PAIRS[n](f, text))  # type: ignore[misc]
    return _checked(found, len(line) + 1)


def filter_of(packet: Packet) -> PacketFilter:
    """The filter that means packets like this one."""
    family = packet.family
    full = (1 << family.bits) - 1
    has_ports = packet.protocol in PORT_PROTOCOLS
    return PacketFilter(
        frozenset({packet.protocol}),
        Net(family, packet.source, full),
        Net(family, packet.destination, full),
        (packet.source_port, packet.source_port) if has_ports else None,
        (packet.destination_port, packet.destination_port) if has_ports else None,
        came_by=packet.in_interface,
    )


def _read(word: tuple[str, int], reader: Callable[[str], PacketFilter]) -> PacketFilter:
    text, column = word
    try:
        return reader(text)
    except NotationError:
        raise
    except ValueError as error:
        raise NotationError(column, str(error), _FORM) from None


def _head(words: list[tuple[str, int]]) -> PacketFilter:
    """Protocol and both ends."""
    found = PacketFilter()
    if words and not _is_end(words[0][0]):
        found = _read(words[0], lambda text: replace(found, protocols=_protocols(text)))
        words = words[1:]
    texts = [text for text, _ in words]
    if "->" in texts:
        at = texts.index("->")
        before, behind = words[:at], words[at + 1 :]
    else:
        before, behind = [], words
    for side in (before, behind):
        if len(side) > 1:
            text, column = next((word for word in side if not _is_end(word[0])), side[1])
            raise NotationError(column, f"'{text}' is not understood here", _FORM)
    for word in before:
        found = _read(word, lambda text, f=found: _source(f, text))  # type: ignore[misc]
    for word in behind:
        found = _read(word, lambda text, f=found: _destination(f, text))  # type: ignore[misc]
    return found


def _is_end(text: str) -> bool:
    if text == "->" or text in _ANY:
        return True
    try:
        _end(text)
    except ValueError:
        return False
    return True


def _end(text: str) -> tuple[Net | None, Ports | None]:
    address, port = text, ""
    if text.startswith("["):
        address, bracket, port = text[1:].partition("]")
        if not bracket:
            raise ValueError(f"'{text}' lacks its closing bracket")
        if port and not port.startswith(":"):
            raise ValueError(f"'{text}' has '{port}' where ':PORT' belongs")
        port = port[1:]
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
        if not port:
            raise ValueError(f"'{text}' ends where a port belongs")
    if text.isascii() and text.isdigit():
        raise ValueError(f"'{text}' is no address; a port is written ':{text}' or 'dport {text}'")
    net = None
    if address and address not in _ANY:
        try:
            net = Net.parse(address)
        except ValueError:
            raise ValueError(f"'{address}' is no IP address or network") from None
    return net, _ports(port) if port else None


def _ports(text: str) -> Ports:
    first, dash, last = text.partition("-")
    numbers = [int(part) if part.isascii() and part.isdigit() else -1 for part in (first, last)]
    low, high = numbers[0], numbers[1] if dash else numbers[0]
    if not 0 <= low <= high <= _MOST_PORT:
        raise ValueError(f"'{text}' is no port from 0 to {_MOST_PORT} and no range such as 22-80")
    return low, high


def _protocols(text: str) -> frozenset[int]:
    number = protocol_number(text)
    if number is None:
        raise ValueError(f"'{text}' is no protocol and no address")
    return frozenset({ICMP, ICMPV6}) if text.lower() == "icmp" else frozenset({number})


def _source(found: PacketFilter, text: str) -> PacketFilter:
    net, ports = _end(text)
    return replace(found, source=net, source_ports=ports)


def _destination(found: PacketFilter, text: str) -> PacketFilter:
    net, ports = _end(text)
    return replace(found, destination=net, destination_ports=ports)


def _interface(text: str) -> str:
    name = interface_name(text)
    if any(character in name for character in '"\\*'):
        raise ValueError(f"'{text}': quotes, backslashes and '*' cannot be in a filter")
    return name


def parse_mark(text: str) -> MaskedWord:
    """``0x40000/0xf0000``, or a whole mark; raises ValueError."""
    value, slash, mask = text.partition("/")
    word = MaskedWord(parse_word(value), parse_word(mask) if slash else MAX_MARK)
    if not word.can_match:
        raise ValueError(f"'{text}' can never match: the value has bits outside its mask")
    return word


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 255:
        raise ValueError(f"'{text}' is not a number from 0 to 255")
    return int(text)


def _icmp(text: str) -> tuple[int, int | None]:
    kind, slash, code = text.partition("/")
    return _number(kind), _number(code) if slash else None


def _refuse_state(found: PacketFilter, text: str) -> PacketFilter:
    raise ValueError(f"state {text}: connection tracking comes only after a packet is chosen")


_PAIRS: dict[str, Callable[[PacketFilter, str], PacketFilter]] = {
    "in": lambda found, text: replace(found, came_by=_interface(text)),
    "out": lambda found, text: replace(found, leaves_by=_interface(text)),
    "mark": lambda found, text: replace(found, mark=parse_mark(text)),
    "sport": lambda found, text: replace(found, source_ports=_ports(text)),
    "dport": lambda found, text: replace(found, destination_ports=_ports(text)),
    "flags": lambda found, text: replace(found, flags=tcp_flags(text)),
    "type": lambda found, text: replace(found, icmp=_icmp(text)),
    "ttl": lambda found, text: replace(found, ttl=_number(text)),
    "state": _refuse_state,
}
"""What may stand behind the ends."""


def _checked(found: PacketFilter, end: int) -> PacketFilter:
    """Refuse what no packet can be."""
    nets = [net for net in (found.source, found.destination) if net is not None]
    if len({net.family for net in nets}) > 1:
        raise NotationError(1, "source and destination are of different IP families", _FORM)
    if found.flags is not None:
        if found.protocols and found.protocols != {TCP}:
            raise NotationError(1, "only tcp has flags", _FORM)
        found = replace(found, protocols=frozenset({TCP}))
    if found.icmp is not None:
        if found.protocols and not found.protocols <= {ICMP, ICMPV6}:
            raise NotationError(1, "only icmp has types", _FORM)
        found = replace(found, protocols=found.protocols or frozenset({ICMP, ICMPV6}))
    if found.source_ports is not None or found.destination_ports is not None:
        if found.protocols and not found.protocols <= PORT_PROTOCOLS:
            (number, *_) = sorted(found.protocols)
            name = PROTOCOL_NAMES.get(number, str(number))
            raise NotationError(1, f"protocol '{name}' has no ports", _FORM)
        if not found.protocols:
            found = replace(found, protocols=frozenset(PORT_PROTOCOLS))
    if nets and found.protocols:
        other = ICMPV6 if nets[0].family is Family.IPV4 else ICMP
        left = found.protocols - {other}
        if not left:
            raise NotationError(end, f"{nets[0].family} has no such protocol", _FORM)
        found = replace(found, protocols=left)
    return found
