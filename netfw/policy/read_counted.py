"""Reads the criteria ``rate`` and ``connections``."""

from __future__ import annotations

from netfw.ir.form import UINT32
from netfw.policy.connection_count import ConnectionCount
from netfw.policy.counted_per import WHOLE, CountedPer, Lengths
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import (
    Fields,
    parse_decimal,
    read_fields,
    read_number,
    read_word,
    read_words,
)
from netfw.policy.names import Names
from netfw.policy.negation import read_negation
from netfw.policy.packet_rate import LONGEST_WAIT, UNITS, PacketRate
from netfw.policy.read_log import parse_rate
from netfw.policy.source import Mapping, Node, Scalar

_DEFAULT_BURST = 5
ENDS = ("source", "destination")
_PER_HINT = "write source, destination, everything, or a network: source-net/24, source-net/24/64"


def read_rate(node: Node, names: Names, faults: Faults) -> PacketRate | None:
    """``10/second`` or ``{most, burst, per}``, or ``{not: …}``; None where it is at fault."""
    inner, negate = read_negation(node, "rate", faults)
    if inner is None:
        return None
    before = len(faults)
    burst, per, most = _DEFAULT_BURST, CountedPer(), inner
    if isinstance(inner, Mapping):
        fields = read_fields(inner, ("most", "burst", "per"), "'rate'", faults)
        found = None if fields is None else fields.require("most", "write {most: 10/second}")
        if fields is None or found is None:
            return None
        most, per = found, _read_per(fields, faults)
        if (number := fields.find("burst")) is not None:
            burst = read_number(number, "'burst'", 1, 10_000, faults) or burst
    word = read_word(most, "'most'", faults)
    if word is None:
        return None
    try:
        amount, unit = parse_rate(word.text)
    except ValueError as error:
        faults.add(word.where, str(error), "write it like 10/second or 5/minute")
        return None
    if amount is None:
        faults.add(word.where, "'rate' cannot be unlimited", "leave it out")
    elif burst * UNITS[unit] > LONGEST_WAIT * amount:
        faults.add(
            word.where,
            f"a burst of {burst} at {word.text} takes longer than a day to come back",
            "give a smaller 'burst', or a higher rate: the kernel cannot count that far",
        )
    if amount is None or len(faults) > before:
        return None
    return PacketRate(amount, unit, burst, per, negate)


def read_connections(node: Node, names: Names, faults: Faults) -> ConnectionCount | None:
    """``10`` or ``{most, per, prefix}``, or ``{not: …}``; None where it is at fault."""
    inner, negate = read_negation(node, "connections", faults)
    if inner is None:
        return None
    before = len(faults)
    most_node, end, lengths = inner, "source", WHOLE
    if isinstance(inner, Mapping):
        fields = read_fields(inner, ("most", "per", "prefix"), "'connections'", faults)
        found = None if fields is None else fields.require("most", "write {most: 10}")
        if fields is None or found is None:
            return None
        most_node = found
        per_node, prefix_node = fields.find("per"), fields.find("prefix")
        word = None if per_node is None else read_word(per_node, "'per'", faults)
        if word is not None:
            end = word.text
            if end not in ENDS:
                faults.add(word.where, f"'per' cannot be '{end}'", "it is source or destination")
        word = None if prefix_node is None else read_word(prefix_node, "'prefix'", faults)
        if word is not None:
            lengths = _parse_lengths(word, word.text, faults)
    most = read_number(most_node, "'connections'", 1, UINT32, faults)
    if most is None or len(faults) > before:
        return None
    per = CountedPer(lengths) if end == "source" else CountedPer(None, lengths)
    return ConnectionCount(most, per, negate)


def _read_per(fields: Fields, faults: Faults) -> CountedPer:
    node = fields.find("per")
    ends: dict[str, Lengths] = {}
    for word in () if node is None else read_words(node, "'per'", faults):
        kind, slash, rest = word.text.partition("/")
        end = kind.removesuffix("-net") if slash else kind
        if word.text == "everything":
            if len(read_words(node, "'per'", faults) if node else ()) > 1:
                faults.add(word.where, "'per' is everything and more", "write one of them")
        elif end not in ENDS or (slash and not kind.endswith("-net")):
            hint = did_you_mean(word.text, (*ENDS, "everything"), _PER_HINT)
            faults.add(word.where, f"'per' cannot be '{word.text}'", hint)
        elif end in ends:
            faults.add(word.where, f"'per' names the {end} twice", "write one of them")
        else:
            ends[end] = _parse_lengths(word, rest, faults) if slash else WHOLE
    return CountedPer(ends.get("source"), ends.get("destination"))


def _parse_lengths(word: Scalar, text: str, faults: Faults) -> Lengths:
    """``24/64``: 24 bits of an IPv4 address, 64 of an IPv6 one; ``24`` for both."""
    v4_text, slash, v6_text = text.partition("/")
    v4 = parse_decimal(v4_text)
    v6 = parse_decimal(v6_text) if slash else v4
    if v4 is None or v6 is None or not 0 < v4 <= WHOLE[0] or not 0 < v6 <= WHOLE[1]:
        faults.add(
            word.where,
            f"'{word.text}' has no prefix length for both families",
            "write one for IPv4 (1 to 32) and one for IPv6 (1 to 128), such as 24/64",
        )
        return WHOLE
    if not slash and v4 != WHOLE[0]:
        faults.add(
            word.where,
            f"'{word.text}' would be {v4} bits of IPv6 addresses too, which is a whole provider",
            f"say it for both families, such as {v4}/64",
        )
    return v4, WHOLE[1] if not slash else v6
