"""A host's interfaces, made again as cables of the same names that lead nowhere else.

What comes in by a cable's far end comes in by the interface, as rules and routing see it. Nobody
is asked for hardware addresses there (IFF_NOARP): what is sent always leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netfw.errors import HostError
from netfw.host.namespace import Namespace
from netfw.host.route_socket import open_route_socket
from netfw.host.uncopied import Uncopied
from netfw.traverse.host_facts import LOOPBACK

if TYPE_CHECKING:
    from pyroute2 import IPRoute

_IFF_UP = 0x1
_ETHERNET, _LOOPBACK_TYPE, _PPP = 1, 772, 512
"""ARPHRD_* in linux/if_arp.h."""
_TUNNELS = frozenset(
    {
        "amt",
        "bareudp",
        "erspan",
        "geneve",
        "gre",
        "gretap",
        "gtp",
        "ip6erspan",
        "ip6gre",
        "ip6gretap",
        "ip6tnl",
        "ipip",
        "ovpn",
        "sit",
        "tun",
        "vti",
        "vti6",
        "vxlan",
        "wireguard",
        "xfrm",
    }
)
"""Kinds of links whose packets leave once more, wrapped in others that this host sends."""
_HAVE_PORTS = frozenset({"bridge", "bond", "team", "vrf", "ovs-system"})
_FILTERS = frozenset({"clsact", "ingress"})
"""Queueing disciplines that exist for their filters alone."""
_XDP_ATTACHED = "IFLA_XDP_ATTACHED"
_MAX_MTU = 65535
"""Of a veth (ETH_MAX_MTU)."""


@dataclass(frozen=True, slots=True)
class HostLink:
    """An interface of a host. ``mac`` is empty where it has no hardware address of Ethernet's
    kind, ``kind`` for hardware and the loopback. ``master`` is the link whose port it is."""

    index: int
    name: str
    mac: str
    mtu: int
    group: int
    is_up: bool
    has_carrier: bool
    kind: str
    is_ethernet: bool
    master: str
    master_kind: str

    @property
    def is_loopback(self) -> bool:
        """Whether it is the loopback interface, which every namespace has."""
        return self.name == LOOPBACK

    def uncopied(self) -> Iterator[Uncopied]:
        """What a cable in its place lacks."""
        if self.master:
            kind = self.master_kind or "link"
            yield Uncopied(f"{self.name}, a port of {kind} {self.master}", self.name)
        if self.kind == "vrf":
            yield Uncopied(f"VRF {self.name}", self.name)
        is_plain = self.is_ethernet or self.kind == "ppp" or self.is_loopback
        if self.kind in _TUNNELS or not is_plain:
            what = f"tunnel {self.name} ({self.kind or 'of an unknown kind'})"
            yield Uncopied(f"{what}: the packets that carry its own", self.name)


def read_links(source: Namespace) -> tuple[list[HostLink], list[Uncopied]]:
    """All interfaces, by number, and what sees their packets before any rule does.

    Raises HostError.
    """
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        return source.call(_read)
    except (NetlinkError, OSError) as error:
        raise HostError.at(source.name, f"its interfaces cannot be read: {error}") from None


def _read() -> tuple[list[HostLink], list[Uncopied]]:
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        messages = sorted(netlink.get_links(), key=lambda one: int(one["index"]))
        kinds = {int(one["index"]): _kind_of(one) for one in messages}
        names = {int(one["index"]): str(one.get_attr("IFLA_IFNAME")) for one in messages}
        links = [_link_of(one, kinds, names) for one in messages]
        seen_before = list(_programs(netlink, messages, names))
    return links, seen_before


def _kind_of(message: Any) -> str:  # noqa: ANN401 - pyroute2 has no types
    details = message.get_attr("IFLA_LINKINFO")
    return "" if details is None else str(details.get_attr("IFLA_INFO_KIND") or "")


def _link_of(message: Any, kinds: Mapping[int, str], names: Mapping[int, str]) -> HostLink:  # noqa: ANN401
    index, master = int(message["index"]), int(message.get_attr("IFLA_MASTER") or 0)
    is_ethernet = int(message["ifi_type"]) == _ETHERNET
    kind = kinds[index] or ("ppp" if int(message["ifi_type"]) == _PPP else "")
    return HostLink(
        index,
        names[index],
        str(message.get_attr("IFLA_ADDRESS") or "") if is_ethernet else "",
        int(message.get_attr("IFLA_MTU") or 0),
        int(message.get_attr("IFLA_GROUP") or 0),
        bool(message["flags"] & _IFF_UP),
        message.get_attr("IFLA_CARRIER") != 0,
        kind,
        is_ethernet,
        names.get(master, f"number {master}") if master else "",
        kinds.get(master, ""),
    )


def _programs(
    netlink: IPRoute, messages: list[Any], names: Mapping[int, str]
) -> Iterator[Uncopied]:
    for message in messages:
        program = message.get_attr("IFLA_XDP")
        if program is not None and program.get_attr(_XDP_ATTACHED):
            name = names[int(message["index"])]
            yield Uncopied(f"the XDP program of {name}", name)
    for discipline in netlink.get_qdiscs():
        kind, name = discipline.get_attr("TCA_KIND"), names.get(int(discipline["index"]), "")
        if kind in _FILTERS and name:
            yield Uncopied(f"what tc does at {name} (qdisc {kind})", name)


@dataclass(frozen=True, slots=True)
class Cable:
    """An interface of the twin and the far end of its cable, with the hardware address that both
    have. Frames to that address are taken in at either end."""

    interface: str
    index: int
    far_interface: str
    mac: str


def make_links(
    links: list[HostLink], target: Namespace, outside: Namespace
) -> tuple[dict[str, Cable], list[Uncopied]]:
    """Make a cable from the target to the outside for each interface; all are still down."""
    cables: dict[str, Cable] = {}
    lacking: list[Uncopied] = []
    with open_route_socket(target) as near:
        # fallback devices of tunnels (tunl0, sit0) are in every namespace by themselves
        there = {str(one.get_attr("IFLA_IFNAME")) for one in near.get_links()}
        for link in links:
            lacking += link.uncopied()
            if link.name in there:
                continue
            far_name = f"far{link.index}"
            mac = link.mac or f"02:00:00:{link.index >> 16 & 255:02x}" + "".join(
                f":{link.index >> shift & 255:02x}" for shift in (8, 0)
            )
            problem = _make(near, link, mac, outside, far_name)
            if problem:
                lacking.append(Uncopied(f"{link.name}: {problem}", link.name))
                continue
            index = int(near.link_lookup(ifname=link.name)[0])
            cables[link.name] = Cable(link.name, index, far_name, mac)
    return cables, lacking


def _make(near: IPRoute, link: HostLink, mac: str, outside: Namespace, far_name: str) -> str:
    """Make a cable; what the kernel says where it cannot."""
    from pyroute2.netlink.exceptions import NetlinkError

    mtu = min(link.mtu, _MAX_MTU)
    try:
        near.link(
            "add",
            ifname=link.name,
            kind="veth",
            address=mac,
            mtu=mtu,
            peer={
                "ifname": far_name,
                "address": mac,
                "mtu": mtu,
                "net_ns_fd": outside.descriptor,
            },
        )
        if link.group:
            near.link("set", ifname=link.name, group=link.group)
    except NetlinkError as error:
        return str(error.args[-1])
    return "" if mtu == link.mtu else f"its MTU {link.mtu}"


def bring_up(
    links: list[HostLink], cables: Mapping[str, Cable], target: Namespace, outside: Namespace
) -> None:
    """Set up those interfaces that are up on the host; where that has no carrier, the far end
    stays down. Raises HostError."""
    from pyroute2.netlink.exceptions import NetlinkError

    with open_route_socket(target) as near, open_route_socket(outside) as far:
        for link in links:
            cable = cables.get(link.name)
            if not link.is_up or (cable is None and not link.is_loopback):
                continue
            try:
                if cable is None:
                    near.link("set", ifname=link.name, state="up")
                    continue
                near.link("set", index=cable.index, state="up", noarp=True)
                if link.has_carrier:
                    far.link("set", ifname=cable.far_interface, state="up", noarp=True)
            except NetlinkError as error:
                place = f"{target.name}: interface {link.name}"
                raise HostError.at(place, str(error.args[-1])) from None
