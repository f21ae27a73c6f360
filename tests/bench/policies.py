"""One policy of many rules, as each of the tools would have it written.

Every rule allows a source network, by IPv4 and by IPv6, to reach a port of a protocol. The same
size and shape give the same rules each time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network

FAMILIES: tuple[tuple[int, ...], ...] = ((4,), (4, 6))
"""What a policy is written for: IPv4 alone, or both."""
_LENGTHS = ((16, 32), (20, 48), (24, 56), (24, 64), (28, 64), (32, 128))
"""Prefix lengths as they go together, IPv4 and IPv6."""


class Shape(Enum):
    """How much the rules of a policy have in common."""

    DIFFERENT = "all different"
    """Every rule has a network and a port of its own, written out."""
    GROUPED = "200 networks, 70 services"
    """Rules are pairs of a named network and a named service; 2,000 networks where 200 do not
    make enough pairs."""


@dataclass(frozen=True, slots=True)
class Source:
    """A network: IPv4 and IPv6, both with their prefix lengths."""

    name: str
    v4: str
    v6: str

    def of(self, families: Sequence[int]) -> list[str]:
        """Its networks of these families (4, 6)."""
        return [self.v4 if family == 4 else self.v6 for family in families]


@dataclass(frozen=True, slots=True)
class Service:
    """A protocol (tcp or udp) with a port from 1 to 65535."""

    name: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class BenchRule:
    """Traffic that is allowed."""

    source: Source
    service: Service


def rules_of(size: int, shape: Shape) -> list[BenchRule]:
    """A number of rules, no two of them alike."""
    chance = random.Random(f"{size} {shape.name}")
    if shape is Shape.DIFFERENT:
        sources = _sources(size, chance)
        return [BenchRule(source, _service(n, chance)) for n, source in enumerate(sources)]
    sources = _sources(200 if size <= 10_000 else 2_000, chance)
    services = [_service(n, chance) for n in range(70)]
    pairs = chance.sample(range(len(sources) * len(services)), size)
    return [BenchRule(sources[pair // 70], services[pair % 70]) for pair in pairs]


def _sources(count: int, chance: random.Random) -> list[Source]:
    """Different networks in either family; one may lie in another."""
    taken: set[IPv4Network | IPv6Network] = set()
    made: list[Source] = []
    while len(made) < count:
        v4_length, v6_length = chance.choice(_LENGTHS)
        v4 = IPv4Network((chance.randrange(1 << 24, 127 << 24), v4_length), strict=False)
        v6 = IPv6Network((1 << 125 | chance.getrandbits(125), v6_length), strict=False)
        if v4 not in taken and v6 not in taken:
            taken |= {v4, v6}
            made.append(Source(f"net-{len(made)}", str(v4), str(v6)))
    return made


def _service(number: int, chance: random.Random) -> Service:
    return Service(f"service-{number}", chance.choice(("tcp", "udp")), 1 + number * 7 % 65_535)


def _used(rules: Sequence[BenchRule]) -> tuple[list[Source], list[Service]]:
    sources = {rule.source.name: rule.source for rule in rules}
    services = {rule.service.name: rule.service for rule in rules}
    return list(sources.values()), list(services.values())


def disjoint_rules(size: int) -> list[BenchRule]:
    """Up to 65,536 rules, tcp and udp in turn, of which no packet meets two."""
    blocks = random.Random(size).sample(range(1 << 16), size)
    return [
        BenchRule(
            Source(
                f"net-{n}", f"10.{block >> 8}.{block & 255}.0/24", f"2001:db8:0:{block:x}::/64"
            ),
            Service(f"service-{n}", ("tcp", "udp")[n % 2], 1 + n),
        )
        for n, block in enumerate(blocks)
    ]


def netfw_policy(
    rules: Sequence[BenchRule], shape: Shape, families: Sequence[int], chain: str = "INPUT"
) -> Iterator[str]:
    """Lines of netfw's policy: for what comes in by eth0, to this host or on to eth1."""
    yield "version: 1\n"
    yield "endpoints:\n  lan: {host: eth0}\n"
    if chain == "FORWARD":
        yield "  wan: {host: eth1}\n"
    if shape is Shape.GROUPED:
        sources, services = _used(rules)
        yield "nets:\n"
        for source in sources:
            yield f"  {source.name}: [{_quoted(source, families)}]\n"
        yield "services:\n"
        for service in services:
            yield f"  {service.name}: {service.protocol}/{service.port}\n"
    yield "policies:\n  - name: many\n"
    if chain == "FORWARD":
        yield "    from: lan\n    to: wan\n    forward:\n"
    else:
        yield "    at: lan\n    ingress:\n"
    for rule in rules:
        if shape is Shape.GROUPED:
            yield f"      - allow: {rule.service.name}\n        from: {rule.source.name}\n"
        else:
            yield f"      - allow: {rule.service.protocol}/{rule.service.port}\n"
            yield f"        from: [{_quoted(rule.source, families)}]\n"


def _quoted(source: Source, families: Sequence[int]) -> str:
    return ", ".join(f'"{net}"' if ":" in net else net for net in source.of(families))


def ferm_policy(
    rules: Sequence[BenchRule],
    shape: Shape,
    families: Sequence[int],
    *,
    apart: bool = False,
    chain: str = "INPUT",
) -> Iterator[str]:
    """Lines of ferm's: for both families with ``@ipfilter``, or a block for each of them."""
    if shape is Shape.GROUPED:
        sources, services = _used(rules)
        for source in sources:
            for family in families:
                yield f"@def ${_identifier(source.name)}_{family} = {source.of([family])[0]};\n"
        for service in services:
            yield f"@def ${_identifier(service.name)} = {service.port};\n"
    for block in [(family,) for family in families] if apart else [tuple(families)]:
        domains = " ".join("ip" if family == 4 else "ip6" for family in block)
        yield f"domain ({domains}) table filter chain {chain} {{\n    policy DROP;\n"
        yield "    mod conntrack ctstate (RELATED ESTABLISHED) ACCEPT;\n"
        for rule in rules:
            port, nets = str(rule.service.port), rule.source.of(block)
            if shape is Shape.GROUPED:
                port = f"${_identifier(rule.service.name)}"
                nets = [f"${_identifier(rule.source.name)}_{family}" for family in block]
            source = f"@ipfilter(({' '.join(nets)}))" if len(nets) > 1 else nets[0]
            yield f"    saddr {source} proto {rule.service.protocol} dport {port} ACCEPT;\n"
        yield "}\n"


def _identifier(name: str) -> str:
    return name.replace("-", "_")


def aerleon_networks(rules: Sequence[BenchRule]) -> Iterator[str]:
    """Lines of Aerleon's file of networks, which knows no network without a name."""
    for source in _used(rules)[0]:
        yield f"{source.name.upper()} = {source.v4}\n    {source.v6}\n"


def aerleon_services(rules: Sequence[BenchRule]) -> Iterator[str]:
    """Lines of Aerleon's file of services."""
    for service in _used(rules)[1]:
        yield f"{service.name.upper()} = {service.port}/{service.protocol}\n"


def aerleon_policy(rules: Sequence[BenchRule], family: int, chain: str) -> Iterator[str]:
    """Lines of Aerleon's policy for one family, in its own format; its files cannot be mixed."""
    yield f"header {{\n  target:: speedway {chain} DROP {_AERLEON_FAMILIES[family]}\n}}\n"
    yield "term established {\n  option:: established\n  action:: accept\n}\n"
    for number, rule in enumerate(rules):
        yield f"term rule-{number} {{\n"
        yield f"  source-address:: {rule.source.name.upper()}\n"
        yield f"  protocol:: {rule.service.protocol}\n"
        yield f"  destination-port:: {rule.service.name.upper()}\n"
        yield "  action:: accept\n}\n"


def aerleon_yaml_definitions(rules: Sequence[BenchRule]) -> Iterator[str]:
    """Lines of both of Aerleon's files of definitions in one, as YAML."""
    sources, services = _used(rules)
    yield "networks:\n"
    for source in sources:
        yield f"  {source.name.upper()}:\n    values:\n"
        yield f'      - address: {source.v4}\n      - address: "{source.v6}"\n'
    yield "services:\n"
    for service in services:
        yield f"  {service.name.upper()}:\n"
        yield f"    - protocol: {service.protocol}\n      port: {service.port}\n"


def aerleon_yaml_policy(rules: Sequence[BenchRule], family: int, chain: str) -> Iterator[str]:
    """Lines of Aerleon's policy for one family, as YAML."""
    yield "filters:\n  - header:\n      targets:\n"
    yield f"        speedway: {chain} DROP {_AERLEON_FAMILIES[family]}\n    terms:\n"
    yield "      - name: established\n        option: established\n        action: accept\n"
    for number, rule in enumerate(rules):
        yield f"      - name: rule-{number}\n"
        yield f"        source-address: {rule.source.name.upper()}\n"
        yield f"        protocol: {rule.service.protocol}\n"
        yield f"        destination-port: {rule.service.name.upper()}\n"
        yield "        action: accept\n"


_AERLEON_FAMILIES = {4: "inet", 6: "inet6"}
