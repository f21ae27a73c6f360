"""Reads where a translation leads: addresses, ranges of them, and ports."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.match import PortRange
from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.policy.faults import Faults
from netfw.policy.fields import read_word, read_words
from netfw.policy.new_end import Given, Ports
from netfw.policy.service_literal import LiteralFault, parse_ports
from netfw.policy.source import Node, Scalar
from netfw.policy.traffic import TRANSLATED_PROTOCOLS, Traffic


@dataclass(frozen=True, slots=True)
class Target:
    """A place to go as it is written: addresses of one family, and ports."""

    family: Family
    first: int
    last: int
    ports: PortRange | None
    word: Scalar

    @property
    def meaning(self) -> list[int]:
        """All of it as plain data."""
        span = [self.first] if self.first == self.last else [self.first, self.last]
        ports = [self.ports.first, self.ports.last] if self.ports else [0, 0]
        return [self.family.value, *span, *ports]


def read_targets(node: Node, faults: Faults, *, with_ports: bool) -> tuple[Target, ...]:
    """One target, or a list with one for each family; faults are noted and left out."""
    found: dict[Family, Target] = {}
    for word in read_words(node, "'to'", faults):
        target = _parse_target(word, faults, with_ports=with_ports)
        if target is None:
            continue
        before = found.get(target.family)
        if before is not None:
            faults.add(
                word.where,
                f"'to' has two places of {target.family}: '{before.word.text}' and '{word.text}'",
                "the kernel shares connections out over addresses that follow each other: write "
                "a range, such as 10.0.0.5-10.0.0.8, or an entry for each",
            )
            continue
        found[target.family] = target
    return tuple(found[family] for family in Family if family in found)


def _parse_target(word: Scalar, faults: Faults, *, with_ports: bool) -> Target | None:
    """``10.0.0.5``, ``10.0.0.5-10.0.0.8:443``, ``2001:db8::5``, ``[2001:db8::5]:443``."""
    text = word.text
    ports_text = ""
    if text.startswith("["):
        span, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in span or (rest and not rest.startswith(":")):
            # brackets are for IPv6, and nothing but a port follows them
            span = text
        ports_text = rest[1:]
        has_ports = bool(rest)
    elif "." in text:
        span, colon, ports_text = text.partition(":")
        has_ports = bool(colon)
    else:
        span, has_ports = text, False
    try:
        if "%" in span:
            raise ValueError(f"'{text}' names an interface")
        first_text, dash, last_text = span.partition("-")
        family, first = parse_address(first_text)
        other, last = parse_address(last_text) if dash else (family, first)
        if has_ports and not with_ports:
            faults.add(word.where, f"'{text}' has a port", "say the ports under 'to-ports'")
            return None
        ports = parse_ports(ports_text, text) if has_ports else None
    except LiteralFault as error:
        faults.add(word.where, str(error), error.hint)
        return None
    except ValueError:
        example = "10.0.0.5:443 or [2001:db8::5]:443" if with_ports else "10.0.0.5 or 2001:db8::5"
        what = ", with or without port" if with_ports else ""
        faults.add(word.where, f"'{text}' is not an address{what}", f"write it like {example}")
        return None
    if other is not family:
        faults.add(word.where, f"'{text}' goes from {family} to {other}")
        return None
    if first > last:
        faults.add(
            word.where, f"'{text}': the range is upside down", f"write {last_text}-{first_text}"
        )
        return None
    return Target(family, first, last, ports, word)


def given_by(
    target: Target, traffic: tuple[Traffic, ...], faults: Faults, *, is_lasting: bool
) -> Given:
    """Where a port forward leads, with ports that fit its services; faults are noted."""
    ports = _ports_of(traffic, target, faults)
    return Given(target.first, target.last, ports, is_lasting=is_lasting)


def _ports_of(traffic: tuple[Traffic, ...], to: Target, faults: Faults) -> Ports | None:
    """A translation must be one to one: ports stay, one becomes another, or a range moves."""
    text = to.word.text
    spans = {kind.ports for kind in traffic}
    ranges = [kind.ports for kind in traffic if kind.ports and kind.ports.first < kind.ports.last]
    if to.ports is None:
        if ranges:
            span = f"{ranges[0].first}-{ranges[0].last}"
            faults.add(
                to.word.where,
                f"'{text}' has no port, but the service is the range {span}",
                f"say that the ports stay as they are: '{_with_ports(text, span)}'",
            )
        return None
    if any(kind.protocol not in TRANSLATED_PROTOCOLS for kind in traffic):
        faults.add(
            to.word.where, f"'{text}' has a port, but the service is more than tcp, udp and sctp"
        )
    elif to.ports.first < to.ports.last:
        return _moved(spans, to, faults)
    elif len(spans) > 1 or ranges or None in spans:
        faults.add(
            to.word.where,
            f"'{text}' would put several ports of the service onto one",
            "write one dnat for each port, or leave the port out and they stay as they are",
        )
    return Ports(to.ports)


def _moved(spans: set[PortRange | None], to: Target, faults: Faults) -> Ports | None:
    """A range onto itself, or onto another one of the same length."""
    assert to.ports is not None
    if spans == {to.ports}:
        return Ports(to.ports)
    (span,) = spans if len(spans) == 1 else (None,)
    if span is not None and span.last - span.first == to.ports.last - to.ports.first:
        return Ports(to.ports, span.first)
    faults.add(
        to.word.where,
        f"'{to.word.text}' has a range of ports that is not as long as the service's",
        "a range can stay as it is, or move as a whole to one of the same length",
    )
    return None


def read_ports(node: Node, what: str, faults: Faults) -> PortRange | None:
    """A port or a range of ports."""
    word = read_word(node, f"'{what}'", faults)
    if word is None:
        return None
    try:
        return parse_ports(word.text, word.text)
    except LiteralFault as error:
        faults.add(word.where, str(error), error.hint)
        return None


def _with_ports(target: str, ports: str) -> str:
    """A target with ports, IPv6 addresses in brackets."""
    if ":" in target and not target.startswith("["):
        target = f"[{target}]"
    return f"{target}:{ports}"
