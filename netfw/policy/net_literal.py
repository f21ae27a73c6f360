"""Reads networks that are written out: ``192.0.2.0/24``, ``2001:db8::1``."""

from __future__ import annotations

from functools import lru_cache

from netfw.ir.net import Net, parse_address
from netfw.policy.faults import Faults
from netfw.policy.source import Scalar


def is_net_literal(word: str) -> bool:
    """Whether a word is an address or network rather than a name."""
    return "." in word or ":" in word or "/" in word


def read_net(word: Scalar, faults: Faults) -> tuple[Net, ...] | None:
    """Read a network or a range of addresses; notes what is wrong with it."""
    try:
        return parse_nets(word.text)
    except NetFault as error:
        faults.add(word.where, str(error), error.hint)
        return None


class NetFault(ValueError):
    """A network that cannot be; ``hint`` says what to write instead."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.hint = hint


@lru_cache(maxsize=4096)
def parse_nets(text: str) -> tuple[Net, ...]:
    """Read a network, whose bits behind the prefix must be zero, or ``first-last``.

    A range becomes the fewest networks that are exactly it. Raises NetFault.
    """
    if "%" in text:
        raise NetFault(f"'{text}' names an interface, which a network cannot have", _HINT)
    first, dash, last = text.partition("-")
    if dash:
        return _parse_range(first, last, text)
    try:
        net = Net.parse(text, strict=True)
    except ValueError:
        raise _fault_of(text) from None
    if net.prefix_length is None:
        raise _fault_of(text)
    return (net,)


def _fault_of(text: str) -> NetFault:
    """What is wrong with a network."""
    try:
        net = Net.parse(text)
    except ValueError as error:
        return NetFault(str(error), _HINT)
    if net.prefix_length is None:
        return NetFault(f"the mask of '{text}' is not a prefix")
    address = text.partition("/")[0]
    problem = f"'{text}' has host bits set"
    return NetFault(problem, f"the network is '{net}', the host is '{address}'")


_HINT = "write it like 192.0.2.0/24 or 2001:db8:1::/48"


def _parse_range(first_text: str, last_text: str, text: str) -> tuple[Net, ...]:
    try:
        (family, first), (other, last) = parse_address(first_text), parse_address(last_text)
    except ValueError:
        raise NetFault(
            f"'{text}' is not a range of addresses", "write it like 192.0.2.10-192.0.2.20"
        ) from None
    if family is not other:
        raise NetFault(f"'{text}' goes from {family} to {other}")
    if first > last:
        raise NetFault(f"'{text}': the range is upside down", f"write {last_text}-{first_text}")
    full = (1 << family.bits) - 1
    nets = []
    while first <= last:
        # as many addresses as the alignment of the first allows, and the range still holds
        size = min(first & -first or full + 1, 1 << ((last - first + 1).bit_length() - 1))
        nets.append(Net(family, first, full ^ (size - 1)))
        first += size
    return tuple(nets)
