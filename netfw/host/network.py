"""Links, addresses, routes and sysctls inside namespaces of ours, with pyroute2."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netfw.errors import CapabilityError, HostError
from netfw.host.namespace import Namespace
from netfw.host.route_socket import open_route_socket
from netfw.host.wait import wait_until
from netfw.ir.names import Family
from netfw.ir.net import Net, format_address
from netfw.ir.routing import MAIN_TABLE

if TYPE_CHECKING:
    from types import TracebackType

_IFA_F_NODAD = 0x02
_NUD_PERMANENT = 0x80
_ADDRESS_GENERATION_OFF = 1
_SCOPE_LINK = 253
"""RT_SCOPE_LINK: who is reached so can be the next hop of others."""
_AF = {Family.IPV4: 2, Family.IPV6: 10}
_PATIENCE = 30
"""Seconds; on a machine with time for it, it takes some milliseconds."""


class Network:
    """The network of one namespace; a context manager that closes its netlink socket.

    Hardly anything here speaks by itself: no IPv6 autoconfiguration, no duplicate address
    detection, neighbours are static. Only reports of IPv6 multicast groups (MLD) cannot be
    switched off.
    """

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self._ip: Any = open_route_socket(namespace)
        self._indexes: dict[str, int] = {}

    def __enter__(self) -> Network:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ip.close()

    def index(self, interface: str) -> int:
        """The interface's number in this namespace; raises HostError."""
        found = self._indexes.get(interface)
        if found is None:
            indexes = self._ip.link_lookup(ifname=interface)
            if not indexes:
                raise HostError.at(interface, f"{self.namespace.name} has no such interface")
            found = self._indexes[interface] = int(indexes[0])
        return found

    def add_cable(
        self, interface: str, mac: str, far: Network, far_interface: str, far_mac: str
    ) -> None:
        """A veth pair from here to another namespace; both ends are still down."""
        with self._doing(f"cable from {interface}"):
            self._ip.link(
                "add",
                ifname=interface,
                kind="veth",
                address=mac,
                peer={
                    "ifname": far_interface,
                    "address": far_mac,
                    "net_ns_fd": far.namespace.descriptor,
                },
            )

    def bring_up(self, interface: str) -> None:
        """Set an interface up, without a link-local address of its own making."""
        index = self.index(interface)
        if interface != "lo":
            path = f"net/ipv6/conf/{interface}/addr_gen_mode"
            self.set_sysctl(path, _ADDRESS_GENERATION_OFF)
        with self._doing(f"interface {interface}"):
            self._ip.link("set", index=index, state="up")

    def wait_until_up(self, interface: str) -> None:
        """Wait until an interface sends: the kernel switches that on some time after it is set up
        and its cable is plugged in (linkwatch_do_dev in net/core/link_watch.c), and before drops
        what is sent. Raises HostError where that takes too long."""
        index = self.index(interface)

        def is_up() -> bool:
            (link,) = self._ip.get_links(index)
            return bool(link.get_attr("IFLA_OPERSTATE") == "UP")

        if not wait_until(is_up, _PATIENCE):
            raise HostError.at(interface, f"it is still not up after {_PATIENCE} seconds")

    def add_address(
        self, interface: str, family: Family, address: int, prefix_length: int
    ) -> None:
        """Give an interface an address, usable at once."""
        flags = {"flags": _IFA_F_NODAD} if family is Family.IPV6 else {}
        text = format_address(family, address)
        with self._doing(f"address {text}/{prefix_length} of {interface}"):
            self._ip.addr(
                "add",
                index=self.index(interface),
                address=text,
                prefixlen=prefix_length,
                family=_AF[family],
                **flags,
            )

    def add_route(
        self,
        destination: Net,
        interface: str,
        next_hop: int | None = None,
        table: int = MAIN_TABLE,
    ) -> None:
        """Route a network over a neighbour on an interface, or straight out of it."""
        family = destination.family
        hop: dict[str, object] = {"scope": _SCOPE_LINK}
        if next_hop is not None:
            hop = {"gateway": format_address(family, next_hop)}
        with self._doing(f"route to {destination} by {interface}"):
            self._ip.route(
                "add",
                dst=str(destination),
                family=_AF[family],
                oif=self.index(interface),
                table=table,
                **hop,
            )

    def add_neighbour(self, interface: str, family: Family, address: int, mac: str) -> None:
        """A permanent neighbour, so that nobody has to ask for it."""
        text = format_address(family, address)
        with self._doing(f"neighbour {text} of {interface}"):
            self._ip.neigh(
                "add",
                dst=text,
                lladdr=mac,
                ifindex=self.index(interface),
                state=_NUD_PERMANENT,
                family=_AF[family],
            )

    def set_sysctl(self, name: str, value: int) -> None:
        """Write a sysctl of this namespace: ``net.ipv4.ip_forward``, or with slashes throughout,
        where an interface's name has a dot.

        A sysctl that this kernel lacks is left alone: it has no effect to be switched off.
        """
        path = Path("/proc/sys") / (name if "/" in name else name.replace(".", "/"))

        def write() -> None:
            if path.exists():
                path.write_text(f"{value}\n", encoding="ascii")

        self.namespace.call(write)

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        """Turn the kernel's refusal into an error of ours."""
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            yield
        except NetlinkError as error:
            place = f"{self.namespace.name}: {what}"
            if error.code == errno.EOPNOTSUPP:
                raise CapabilityError.at(
                    place, "this kernel cannot do that", "load the kernel's module veth"
                ) from None
            raise HostError.at(place, str(error.args[-1])) from None


def keep_connections(namespace: Namespace, seconds: int) -> None:
    """Let connection tracking forget nothing for so long, where it is loaded by now."""

    def write() -> None:
        for path in Path("/proc/sys/net/netfilter").glob("nf_conntrack_*timeout*"):
            path.write_text(f"{seconds}\n", encoding="ascii")

    namespace.call(write)
