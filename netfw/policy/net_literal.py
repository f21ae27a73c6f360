"""Reads networks that are written out: ``192.0.2.0/24``, ``2001:db8::1``."""

from __future__ import annotations

from functools import lru_cache

from netfw.ir.net import Net, parse_address
from netfw.policy.faults import Faults
from netfw.policy.source import Scalar


def is_net_literal(word: str) -> bool:
    """Whether a word is an address or network rather than a name."""
    return "." in word or ":" in word or "/" in word


def read_net(word: Scalar, faults: Faults) -> Net | None:
    """Read a network; every bit behind the prefix must be zero."""
    try:
        if "%" in word.text:
            raise ValueError(f"'{word.text}' names an interface, which a network cannot have")
        net = parse_net(word.text)
    except ValueError as error:
        faults.add(word.where, str(error), "write it like 192.0.2.0/24 or 2001:db8:1::/48")
        return None
    if net.prefix_length is None:
        faults.add(word.where, f"the mask of '{word.text}' is not a prefix")
        return None
    address_text = word.text.partition("/")[0]
    if "/" in word.text and parse_address(address_text)[1] != net.address:
        faults.add(
            word.where,
            f"'{word.text}' has host bits set",
            f"the network is '{net}', the host is '{address_text}'",
        )
        return None
    return net


@lru_cache(maxsize=4096)
def parse_net(text: str) -> Net:
    """Read a network, and clear its host bits; raises ValueError."""
    return Net.parse(text)
