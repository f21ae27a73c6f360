"""A walk through saved rules of which most are never read.

A rule whose text begins with a condition that the packet does not fulfil is left out before it is
read: that is exact, because all conditions of a rule have to hold, and one that is false decides
whatever the others are. Conditions are taken from their plain form alone (``-s`` to ``-p`` in
this order, a comment, a mark, destination ports); everything else is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from netfw.facts.saved_rules import SavedChain, SavedRules
from netfw.ir.names import ChainPolicy
from netfw.ir.net import Net
from netfw.ir.protocols import protocol_number
from netfw.traverse.connection import Conntrack
from netfw.traverse.host_facts import HostFacts
from netfw.traverse.packet import PORT_PROTOCOLS
from netfw.traverse.ready import ReadyRule
from netfw.traverse.skb import Skb
from netfw.traverse.walk import CONNMARK_WRITERS, Walker, rule_needs_conntrack

_HEAD = re.compile(
    r'(?:(! )?-s ([^\s"]+) )?(?:(! )?-d ([^\s"]+) )?(?:(! )?-i ([^\s"]+) )?'
    r'(?:(! )?-o ([^\s"]+) )?(?:(! )?-p ([a-z0-9-]+) )?'
    r'(?:-m comment --comment (?:[^\s"]+|"[^"\\]*") )?'
    r"(?:-m mark --mark (0x[0-9a-f]+)(?:/(0x[0-9a-f]+))? )?"
)
_PORTS = re.compile(r"-m (?:tcp|udp|multiport) (?:--sports? [0-9:,]+ )?--dports? ([0-9:,]+) ")
_ALL_BITS = 0xFFFFFFFF
_CONNTRACK_WORDS = ("conn", "state", "helper", "CT", "NAT", "MASQUERADE", "REDIRECT", "CONNMARK")
"""One of these stands in every rule that needs connection tracking, and in some that do not."""
_CONNMARK_WORDS = ("CONNMARK",)


class SavedWalker(Walker):
    """Walks packets through lines, and reads those that a packet may match."""

    def __init__(
        self,
        saved: SavedRules,
        facts: HostFacts,
        conntrack: Conntrack | None = None,
        *,
        conntrack_is_on: bool | None = None,
    ) -> None:
        if conntrack_is_on is None:
            conntrack_is_on = saved_needs_conntrack(saved)
        super().__init__(saved.skeleton, facts, conntrack, conntrack_is_on=conntrack_is_on)
        self._chains = {
            (chain.table.name, chain.name): _LineChain(chain, self) for chain in saved.chains()
        }
        self._writes_connmarks = any(
            isinstance(rule.target, CONNMARK_WRITERS) for rule in saved.rules_with(_CONNMARK_WORDS)
        )


def saved_needs_conntrack(saved: SavedRules) -> bool:
    """What ``needs_conntrack`` says, of rules that need not all be read for it."""
    return any(rule_needs_conntrack(rule) for rule in saved.rules_with(_CONNTRACK_WORDS))


class _LineChain:
    """A chain whose rules are made ready one by one."""

    __slots__ = ("_chain", "_ready", "_walker", "name", "policy")

    def __init__(self, chain: SavedChain, walker: Walker) -> None:
        self.name: str = chain.name
        self.policy: ChainPolicy | None = chain.policy
        self._chain = chain
        self._walker = walker
        self._ready: dict[int, ReadyRule] = {}

    def candidates(self, skb: Skb, position: int) -> Iterator[ReadyRule]:
        """The rules behind a position whose plain conditions a packet fulfils."""
        texts = self._chain.texts
        for index in range(position, len(texts)):
            if _cannot_match(texts[index], skb):
                continue
            number = index + 1
            ready = self._ready.get(number)
            if ready is None:
                rule = self._chain.rule(number)
                ready = self._ready[number] = self._walker.ready_rule(number, rule)
            yield ready


def _cannot_match(text: str, skb: Skb) -> bool:
    """Whether a rule's text begins with a condition that does not hold for the packet."""
    found = _HEAD.match(text)
    if found is None:
        return False
    (not_from, source, not_to, destination, not_in, came_by, not_out, leaves_by) = found.groups()[
        :8
    ]
    not_protocol, protocol, mark, mask = found.groups()[8:]
    if protocol is not None:
        number = _number_of(protocol)
        if number and (number == skb.protocol) is (not_protocol is not None):
            return True
        if number in PORT_PROTOCOLS and not not_protocol and not skb.packet.fragment:
            ports = _PORTS.search(text, found.end())
            if (
                ports is not None
                and '"' not in text[found.end() : ports.start()]
                and not _has_port(ports[1], skb.destination_port)
            ):
                return True
    if mark is not None and skb.mark & (int(mask, 16) if mask else _ALL_BITS) != int(mark, 16):
        return True
    if came_by is not None and _covers(came_by, skb.in_interface) is (not_in is not None):
        return True
    if leaves_by is not None and _covers(leaves_by, skb.out_interface) is (not_out is not None):
        return True
    return (source is not None and _is_refused(source, skb.source, not_from)) or (
        destination is not None and _is_refused(destination, skb.destination, not_to)
    )


def _has_port(text: str, port: int) -> bool:
    """Whether a port is among those of ``80``, ``80:90`` or ``80,90:99``."""
    if text.isdigit():
        return int(text) == port
    for one in text.split(","):
        first, colon, last = one.partition(":")
        if not colon and not first:
            # no port at all: whoever reads the rule says what is wrong with it
            return True
        if int(first or 0) <= port <= int((last or 65535) if colon else first):
            return True
    return False


def _covers(pattern: str, interface: str) -> bool:
    if pattern.endswith("+"):
        return interface.startswith(pattern[:-1])
    return interface == pattern


def _is_refused(text: str, address: int, negation: str | None) -> bool:
    net = _net(text)
    return net is not None and (address in net) is (negation is not None)


@cache
def _number_of(protocol: str) -> int | None:
    return protocol_number(protocol)


@lru_cache(maxsize=1 << 14)
def _net(text: str) -> Net | None:
    """The network that a text certainly means; None for host names and what is no network."""
    try:
        return Net.parse(text)
    except ValueError:
        return None
