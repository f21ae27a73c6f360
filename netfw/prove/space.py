"""The space of all packets of a family, as Boolean variables, and sets of packets in it.

A set of packets is a binary decision diagram over the bits of header fields, interfaces, the
connection's state, and those bits of the marks that some rule names. What netfw cannot know of a
packet (an unknown match) is a variable of its own, an oracle, which keeps comparisons sound:
what holds for every answer of the oracle holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Protocol

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.prove.diagrams import new_manager
from netfw.prove.interfaces import NO_INTERFACE, Interfaces


class Bdd(Protocol):
    """A set of packets; equal sets are equal objects, whatever they were made of."""

    def __and__(self, other: Bdd, /) -> Bdd: ...
    def __or__(self, other: Bdd, /) -> Bdd: ...
    def __invert__(self) -> Bdd: ...
    def __len__(self) -> int: ...


class Field(Enum):
    """A field of a packet, or of its connection, in the order of the variables."""

    IN_INTERFACE = "in"
    OUT_INTERFACE = "out"
    STATE = "state"
    DNAT = "dnat"
    SNAT = "snat"
    REPLY = "reply"
    PROTOCOL = "protocol"
    ICMP_TYPE = "icmp_type"
    ICMP_CODE = "icmp_code"
    DESTINATION = "destination"
    DESTINATION_PORT = "destination_port"
    SOURCE = "source"
    SOURCE_PORT = "source_port"
    TCP_FLAGS = "tcp_flags"
    FRAGMENT = "fragment"


STATES = (
    ConnectionState.NEW,
    ConnectionState.ESTABLISHED,
    ConnectionState.RELATED,
    ConnectionState.INVALID,
    ConnectionState.UNTRACKED,
)
"""What conntrack says of a packet, by the number that stands for it in the space."""
_WIDTHS = {
    Field.STATE: 3,
    Field.DNAT: 1,
    Field.SNAT: 1,
    Field.REPLY: 1,
    Field.PROTOCOL: 8,
    Field.ICMP_TYPE: 8,
    Field.ICMP_CODE: 8,
    Field.DESTINATION_PORT: 16,
    Field.SOURCE_PORT: 16,
    Field.TCP_FLAGS: 6,
    Field.FRAGMENT: 1,
}
NOTRACK = "notrack"
"""The state variable that says that a rule has switched tracking off for the packet."""


def mark_bit(bit: int) -> str:
    """The state variable of a bit (0 to 31) of the packet's mark."""
    return f"mark{bit}"


def connmark_bit(bit: int) -> str:
    """The state variable of a bit (0 to 31) of the connection's mark."""
    return f"connmark{bit}"


def bits_of(word: int) -> Iterator[int]:
    """The numbers of the bits that are set in a 32-bit word, lowest first."""
    return (bit for bit in range(32) if word >> bit & 1)


class Space:
    """All packets of a family.

    ``mark_mask`` and ``connmark_mask`` are the bits of the marks that are followed (32 bits);
    the others are changed by no rule and asked for by none.
    """

    def __init__(
        self, family: Family, interfaces: Interfaces, mark_mask: int = 0, connmark_mask: int = 0
    ) -> None:
        self.family = family
        self.interfaces = interfaces
        self.manager = new_manager()
        self.true: Bdd = self.manager.true
        self.false: Bdd = self.manager.false
        self.state_variables: dict[str, Bdd] = {}
        """What rules can change: bits of marks, and whether tracking is off."""
        # a bit and its copy side by side: `mark ^ connmark == v` over 32 bits is then a diagram of
        # 64 nodes, and with one word behind the other it would be one of 2 ** 32
        for bit in bits_of(mark_mask | connmark_mask):
            if mark_mask >> bit & 1:
                self.state_variables[mark_bit(bit)] = self._declare(mark_bit(bit))
            if connmark_mask >> bit & 1:
                self.state_variables[connmark_bit(bit)] = self._declare(connmark_bit(bit))
        self.state_variables[NOTRACK] = self._declare(NOTRACK)
        interface_bits = max(1, (len(interfaces.names) - 1).bit_length())
        self._literals: dict[Field, tuple[tuple[Bdd, Bdd], ...]] = {}
        """Packets with a bit of a field 0, and with it 1, the lowest bit first."""
        self._masked: dict[tuple[Field, int, int], Bdd] = {}
        self._between: dict[tuple[Field, int, int], Bdd] = {}
        for field in Field:
            if field in (Field.SOURCE, Field.DESTINATION):
                width = family.bits
            elif field in (Field.IN_INTERFACE, Field.OUT_INTERFACE):
                width = interface_bits
            else:
                width = _WIDTHS[field]
            names = [f"{field.value}.{number}" for number in range(width)]
            bits = [self._declare(name) for name in names]
            self._literals[field] = tuple((~bit, bit) for bit in reversed(bits))
        self._oracles: dict[object, Bdd] = {}
        self.oracle_names: dict[str, object] = {}
        """What each oracle stands for, by the name of its variable."""

    def _declare(self, name: str) -> Bdd:
        self.manager.declare(name)
        variable: Bdd = self.manager.var(name)
        return variable

    def width(self, field: Field) -> int:
        """The number of bits of a field."""
        return len(self._literals[field])

    def names_of(self, field: Field) -> tuple[str, ...]:
        """The variables of a field, the highest bit first."""
        return tuple(f"{field.value}.{number}" for number in range(self.width(field)))

    def oracle(self, key: object) -> Bdd:
        """The variable for something that netfw cannot know; the same for the same key."""
        found = self._oracles.get(key)
        if found is None:
            name = f"oracle{len(self._oracles)}"
            found = self._oracles[key] = self._declare(name)
            self.oracle_names[name] = key
        return found

    def ite(self, condition: Bdd, then: Bdd, otherwise: Bdd) -> Bdd:
        """``then`` where the condition holds, else ``otherwise``."""
        chosen: Bdd = self.manager.ite(condition, then, otherwise)
        return chosen

    def either(self, one: Bdd, other: Bdd) -> Bdd:
        """The packets that are in one set and not in the other."""
        found: Bdd = self.manager.apply("xor", one, other)
        return found

    def any_of(self, sets: Iterable[Bdd]) -> Bdd:
        """The union, folded in a balanced tree: far faster than one by one."""
        level = list(sets)
        if not level:
            return self.false
        while len(level) > 1:
            level = [
                level[at] | level[at + 1] if at + 1 < len(level) else level[at]
                for at in range(0, len(level), 2)
            ]
        return level[0]

    def masked(self, field: Field, value: int, mask: int) -> Bdd:
        """All packets with ``field & mask == value``."""
        key = (field, value, mask)
        found = self._masked.get(key)
        if found is not None:
            return found
        if value & ~mask:
            return self.false
        literals = self._literals[field]
        found = self.true
        place = 0
        while mask >> place:
            if mask >> place & 1:
                found = literals[place][value >> place & 1] & found
            place += 1
        self._masked[key] = found
        return found

    def equal(self, field: Field, value: int) -> Bdd:
        """All packets with this value in a field."""
        return self.masked(field, value, (1 << self.width(field)) - 1)

    def between(self, field: Field, first: int, last: int) -> Bdd:
        """All packets with ``first <= field <= last``."""
        if first == last:
            return self.equal(field, first)
        key = (field, first, last)
        found = self._between.get(key)
        if found is None:
            found = self._between[key] = self._at_least(field, first) & self._at_most(field, last)
        return found

    def _at_least(self, field: Field, first: int) -> Bdd:
        found = self.true
        for place, (_, one) in enumerate(self._literals[field]):
            found = one & found if first >> place & 1 else one | found
        return found

    def _at_most(self, field: Field, last: int) -> Bdd:
        found = self.true
        for place, (zero, _) in enumerate(self._literals[field]):
            found = zero | found if last >> place & 1 else zero & found
        return found

    def in_net(self, field: Field, net: Net) -> Bdd:
        """All packets whose address lies in a network; none for one of the other family."""
        if net.family is not self.family:
            return self.false
        return self.masked(field, net.address, net.mask)

    def interface(self, field: Field, names: Iterable[str]) -> Bdd:
        """All packets with one of these interfaces, given by their representatives."""
        places = {name: place for place, name in enumerate(self.interfaces.names)}
        return self.any_of(self.equal(field, places[name]) for name in names)

    def in_state(self, *states: ConnectionState) -> Bdd:
        """All packets of which conntrack says one of these states."""
        return self.any_of(self.equal(Field.STATE, STATES.index(state)) for state in states)

    @property
    def unmarked(self) -> Bdd:
        """All packets without a mark, as far as anybody asks for one of its bits."""
        return ~self.any_of(
            variable for name, variable in self.state_variables.items() if name.startswith("mark")
        )

    def flag(self, field: Field) -> Bdd:
        """The variable of a field of one bit."""
        return self._literals[field][0][1]

    def substitute(self, of: Bdd, replacements: Mapping[str, Bdd | bool]) -> Bdd:
        """The set with variables replaced by constants, then others all at once by sets."""
        if not replacements or of in (self.true, self.false):
            return of
        constants = {name: to for name, to in replacements.items() if isinstance(to, bool)}
        sets = {name: to for name, to in replacements.items() if not isinstance(to, bool)}
        replaced: Bdd = of
        if constants:
            replaced = self.manager.let(constants, replaced)
        if sets:
            replaced = self.manager.let(sets, replaced)
        return replaced

    def variable(self, name: str) -> Bdd:
        """The packets for which a variable is 1."""
        variable: Bdd = self.manager.var(name)
        return variable

    def constants(self, field: Field, value: int) -> dict[str, bool]:
        """A field's variables with the values that make it a number."""
        names = self.names_of(field)
        return {
            name: bool(value >> (len(names) - 1 - place) & 1) for place, name in enumerate(names)
        }

    def without(self, of: Bdd, names: Iterable[str]) -> Bdd:
        """The packets that are in the set for some value of these variables."""
        some: Bdd = self.manager.exist(list(names), of)
        return some

    def support(self, of: Bdd) -> frozenset[str]:
        """The names of the variables that matter to a set."""
        return frozenset(self.manager.support(of))

    def pick(self, of: Bdd) -> dict[str, bool] | None:
        """One member: the values of the variables that matter; None for the empty set."""
        found: dict[str, bool] | None = self.manager.pick(of)
        return found

    def lowest(self, of: Bdd) -> dict[str, bool]:
        """The member that has 0 wherever it can, the first variables first; what is not named is
        0. Raises ValueError for the empty set."""
        if of == self.false:
            raise ValueError("the empty set has no member")
        found: dict[str, bool] = {}
        here: Any = of
        while here != self.true:
            low, high = (~here.low, ~here.high) if here.negated else (here.low, here.high)
            found[here.var] = low == self.false
            here = high if low == self.false else low
        return found

    def exponent(self, of: Bdd) -> float:
        """How many packets are in a set, as a power of two (log2 of their number).

        A packet counts once, whatever mark it comes with and whatever an oracle says of it.
        """
        import math

        fields = {name for field in Field for name in self.names_of(field)}
        packets = self.without(of, self.support(of) - fields)
        count = self.manager.count(packets, len(fields))
        return math.log2(count) if count else -math.inf

    def no_interface(self, field: Field) -> Bdd:
        """All packets that have no interface there."""
        return self.interface(field, (NO_INTERFACE,))
