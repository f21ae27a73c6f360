"""Names of sets: telling, at most 28 bytes, and the same whatever else the policy says.

``NETFW-4-IN-wan-A-sp``: the family, the chain that asks the set, what is done with what is found
(Allow, Deny, Reject, Pass) and what is looked up (source, destination, port).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from netfw.ir.match import IcmpMatch, Match, MultiportMatch, ProtocolMatch, TcpMatch, UdpMatch
from netfw.ir.names import OWN_CHAIN_PREFIX, Family
from netfw.ir.protocols import PRINTED_NAMES

MAX_NAME = 28
"""Three bytes less than ipset allows (IPSET_MAXNAMELEN, linux/netfilter/ipset/ip_set.h): whoever
replaces a set needs a name for the new one beside the old one's."""
_HASH = 7
_MARK = 5
"""Base-32 digits: what tells runs of one chain apart need not be long."""


def set_name(family: Family, chain: str, action: str, parts: str, kind: str, mark: str) -> str:
    """The set of a run of rules; ``kind`` are words about traffic and ``mark`` tells later runs
    of the same action in a chain apart, both empty where there is nothing to tell."""
    words = [chain.removeprefix(OWN_CHAIN_PREFIX), f"{action[:1].upper()}{mark}", parts]
    return _name(family, "-".join([*words, kind] if kind else words))


def set_of_rule(family: Family, identity: str, parts: str) -> str:
    """The set of a single rule: ``NETFW-4-public.office-s``."""
    return _name(family, f"{identity.replace('/', '.')}-{parts}")


def mark_of(identities: Iterable[str]) -> str:
    """A mark for a run that one rule more changes but rarely: the lowest hash among its rules."""
    return "." + min(map(_digest, identities))[:_MARK]


def kind_words(term: tuple[Match, ...]) -> str:
    """Matches on protocol and ports in short: ``tcp``, ``udp1000-2000``, ``icmp8``."""
    words = ""
    for match in term:
        match match:
            case ProtocolMatch(number):
                words += PRINTED_NAMES.get(number, f"proto{number}")
            case IcmpMatch(_, number, codes):
                words += f"{number}" if codes == (0, 255) else f"{number}.{codes[0]}-{codes[1]}"
            case TcpMatch(None, ports) | UdpMatch(None, ports) if ports is not None:
                words += f"{ports.ports.first}-{ports.ports.last}"
            case MultiportMatch(ports=spans):
                words += ".".join(f"{span.first}-{span.last}" for span in spans)
            case _:
                words += f".{_digest(repr(match))[:_MARK]}"
    return words


def _name(family: Family, text: str) -> str:
    """The name in full, or its start, a dot and a hash of all of it."""
    prefix = f"{OWN_CHAIN_PREFIX}{family.value}-"
    room = MAX_NAME - len(prefix)
    if len(text) > room:
        text = f"{text[: room - _HASH - 1]}.{_digest(text)[:_HASH]}"
    return prefix + text


def _digest(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()
