"""Random sets of every kind that the rules of a case may name, as Hypothesis strategies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hypothesis import strategies as st

from netfw.ir.ipset import (
    IpSet,
    Part,
    PartKind,
    SetInterface,
    SetMember,
    SetName,
    SetPort,
)
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6, SCTP, TCP, UDP
from netfw.render.ipset import render_member
from tests.fuzz.world import BEHIND, FAR, INTERFACES, NEAR, NOWHERE, PORTS

_KINDS = {
    "ip": "hash:ip",
    "ip-masked": "hash:ip",
    "net": "hash:net",
    "other-net": "hash:net",
    "ip-port": "hash:ip,port",
    "net-port": "hash:net,port",
    "ip-port-ip": "hash:ip,port,ip",
    "ip-port-net": "hash:ip,port,net",
    "net-iface": "hash:net,iface",
    "port": "bitmap:port",
    "range": "bitmap:ip",
    "list": "list:set",
}
"""By name: all kinds but those with Ethernet addresses, which no rule of a case can know, and
those that few kernels have (two nets, marks)."""
_LIST = "list"
_PREFIXES = {
    Family.IPV4: (1, 8, 16, 20, 24, 28, 31, 32),
    Family.IPV6: (1, 8, 32, 48, 64, 96, 127, 128),
}
_ECHO = {Family.IPV4: (ICMP, 8 << 8), Family.IPV6: (ICMPV6, 128 << 8)}
_MOST_MEMBERS = 5


def empty_sets(family: Family) -> dict[str, IpSet]:
    """The sets of a family by name, without members; the list comes last."""
    found = {}
    for name, kind in _KINDS.items():
        if kind == "bitmap:ip" and family is Family.IPV6:
            continue
        found[name] = _empty(name, kind, family)
    return found


def _empty(name: str, kind: str, family: Family) -> IpSet:
    inet = ("family", "inet" if family is Family.IPV4 else "inet6")
    if kind == "bitmap:port":
        return IpSet(name, kind, None, (("range", "50-9000"),), span=(50, 9000))
    if kind == "bitmap:ip":
        # 203.0.113.0 to 203.0.113.31, two addresses for each member
        first = 0xCB007100
        options = (("range", "203.0.113.0-203.0.113.31"), ("netmask", "31"))
        return IpSet(name, kind, family, options, mask=0xFFFFFFFE, span=(first, first + 31))
    if kind == "list:set":
        return IpSet(name, kind)
    if name == "ip-masked":
        length = family.bits - 8
        full = (1 << family.bits) - 1
        options = (inet, ("netmask", str(length)))
        return IpSet(name, kind, family, options, mask=full ^ (full >> length))
    return IpSet(name, kind, family, (inet,))


@st.composite
def sets_named(draw: st.DrawFn, names: Iterable[str], family: Family) -> tuple[IpSet, ...]:
    """All sets of a family, with members in those that are named, also by the list."""
    empty = empty_sets(family)
    wanted = set(names)
    listed: tuple[SetMember, ...] = ()
    if _LIST in wanted:
        others = [name for name in empty if name != _LIST]
        chosen = draw(st.lists(st.sampled_from(others), max_size=3, unique=True))
        listed = tuple(SetMember((SetName(name),)) for name in chosen)
        wanted |= set(chosen)
    found = []
    for name, ipset in empty.items():
        members = listed if name == _LIST else ()
        if name in wanted - {_LIST}:
            drawn = draw(st.lists(_members(ipset, family), min_size=1, max_size=_MOST_MEMBERS))
            members = tuple({_identity(member): member for member in drawn}.values())
        found.append(replace(ipset, members=members))
    return tuple(found)


@st.composite
def _members(draw: st.DrawFn, ipset: IpSet, family: Family) -> SetMember:
    parts = tuple(draw(_part(kind, ipset, family)) for kind in ipset.parts)
    nomatch = ipset.has_exceptions and draw(st.sampled_from([False, False, True]))
    return SetMember(parts, nomatch)


def _identity(member: SetMember) -> tuple[object, ...]:
    """What no other member of the set has: to the kernel ``eth0`` and ``eth`` with wildcard are
    one interface where their net is the same (hash_netiface4_data_equal)."""
    last = member.parts[-1]
    if isinstance(last, SetInterface):
        return (*member.parts[:-1], last.name[:3])
    return member.parts


def _part(kind: PartKind, ipset: IpSet, family: Family) -> st.SearchStrategy[Part]:
    full = (1 << family.bits) - 1
    if kind is PartKind.IP:
        mask = full if ipset.mask is None else ipset.mask
        pool = [address & mask for address in _addresses(family)]
        if ipset.span is not None:
            low, high = ipset.span
            pool = [address for address in pool if low <= address <= high]
        return st.sampled_from([Net(family, address, full) for address in pool])
    if kind is PartKind.NET:
        return st.builds(
            lambda address, length: Net(
                family, address & (full ^ (full >> length)), full ^ (full >> length)
            ),
            st.sampled_from(_addresses(family)),
            st.sampled_from(_PREFIXES[family]),
        )
    if kind is PartKind.PORT:
        if ipset.span is not None:
            ports = [port for port in PORTS if ipset.span[0] <= port <= ipset.span[1]]
            return st.builds(SetPort, st.none(), st.sampled_from(ports))
        return st.one_of(
            st.builds(SetPort, st.sampled_from([TCP, UDP, SCTP]), st.sampled_from(PORTS)),
            st.just(SetPort(*_ECHO[family])),
        )
    return st.builds(SetInterface, st.sampled_from((*INTERFACES, "lo"))) | st.just(
        SetInterface("eth", wildcard=True)
    )


def _addresses(family: Family) -> list[int]:
    return [*NEAR[family], *FAR[family], *BEHIND[family], NOWHERE[family]]


def sides_of(name: str, family: Family) -> st.SearchStrategy[tuple[str, ...]]:
    """What ``--match-set`` says of each part: seldom of too few or of one too many."""
    parts = len(empty_sets(family)[name].parts)
    lengths = st.sampled_from([parts] * 8 + [parts + 1, max(parts - 1, 1)])
    return lengths.flatmap(lambda length: st.tuples(*[st.sampled_from(["src", "dst"])] * length))


def refill_text(sets: Iterable[IpSet]) -> str:
    """What empties sets and fills them again, as input for ``ipset restore``."""
    # a set in a list can be emptied, and one that is filled later can be added to it
    found = [f"flush {ipset.name}" for ipset in sets]
    found += [
        f"add {ipset.name} {render_member(member)}" for ipset in sets for member in ipset.members
    ]
    return "".join(f"{line}\n" for line in found)
