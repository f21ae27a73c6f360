"""The stage for real: the layout as namespaces, cables and sockets."""

from __future__ import annotations

from contextlib import ExitStack

from netfw.host.inject import FarEnd, LocalSender
from netfw.host.local_receiver import LocalReceiver
from netfw.host.namespace import Namespace
from netfw.host.network import Network, keep_connections
from netfw.host.packets import PacketBuilder
from netfw.host.routing import load_routing
from netfw.host.sighting import Sighting, sightings_of
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.protocols import ICMP, ICMPV6
from netfw.render.routing import render_routing
from netfw.traverse.host_facts import LAST_TABLE
from netfw.traverse.packet import PORT_PROTOCOLS
from netfw.verify.layout import PREFIX_LENGTH, Layout
from netfw.verify.probe import Probe
from netfw.verify.sample import OTHER_PROTOCOLS

_SYSCTLS = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv6.conf.all.accept_ra": 0,
    "net.ipv6.conf.default.accept_ra": 0,
    "net.ipv6.conf.default.dad_transmits": 0,
    "net.ipv6.conf.default.router_solicitations": 0,
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv4.conf.all.accept_local": 0,
    "net.ipv4.conf.all.src_valid_mark": 0,
    "net.ipv4.conf.all.send_redirects": 0,
    "net.ipv4.conf.default.send_redirects": 0,
}
_FAR_SYSCTLS = {"net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1}
_BEHIND_MAIN = 32767
"""The preference right behind the rule for the main table."""
_FAR_INTERFACE = "far"
_LONGEST_RUN = 24 * 60 * 60
"""Seconds. Left alone, a UDP connection is forgotten after 30, and its answer begins another."""


class Stage:
    """A firewall namespace with a far end behind each interface; a context manager.

    When it is left, or when this process ends, nothing remains of it.
    """

    def __init__(self, layout: Layout, family: Family) -> None:
        self._stack = ExitStack()
        self._family = family
        self._builder = PacketBuilder()
        self._far_ends: dict[str, FarEnd] = {}
        self._senders: dict[tuple[int, int], LocalSender] = {}
        try:
            self._set_up(layout)
        except BaseException:
            self._stack.close()
            raise

    def _set_up(self, layout: Layout) -> None:
        enter = self._stack.enter_context
        self.firewall = enter(Namespace("firewall"))
        network = enter(Network(self.firewall))
        for name, value in _SYSCTLS.items():
            network.set_sysctl(name, value)
        network.bring_up("lo")
        for link in layout.links:
            far = enter(Namespace(link.interface))
            with Network(far) as far_network:
                for name, value in _FAR_SYSCTLS.items():
                    far_network.set_sysctl(name, value)
                network.add_cable(
                    link.interface, link.near_mac, far_network, _FAR_INTERFACE, link.far_mac
                )
                far_network.bring_up(_FAR_INTERFACE)
                network.bring_up(link.interface)
                far_network.wait_until_up(_FAR_INTERFACE)
            network.wait_until_up(link.interface)
            for family in Family:
                network.add_address(
                    link.interface, family, link.near(family), PREFIX_LENGTH[family]
                )
                network.add_neighbour(link.interface, family, link.far(family), link.far_mac)
            end = FarEnd(far, _FAR_INTERFACE, link.far_mac, link.near_mac)
            self._stack.callback(end.close)
            self._far_ends[link.interface] = end
        for (family, address), link in layout.own.items():
            network.add_address(link.interface, family, address, family.bits)
        for (family, address), link in layout.gateways.items():
            network.add_neighbour(link.interface, family, address, link.far_mac)
            network.add_route(Net(family, address, (1 << family.bits) - 1), link.interface)
        for family, routing in layout.routing.items():
            # the text that a user loads
            load_routing(self.firewall, family, render_routing(routing, family))
        if layout.is_steered:
            # IPv4 has this rule by itself (fib4_rules_init), IPv6 has not
            rule = f"rule add preference {_BEHIND_MAIN} lookup {LAST_TABLE}\n"
            load_routing(self.firewall, Family.IPV6, rule)
        for link in layout.direct:
            for family, address in layout.behind:
                network.add_neighbour(link.interface, family, address, link.far_mac)
        for route in layout.routes():
            assert route.next_hop is not None
            network.add_route(route.destination, route.interface, route.next_hop, route.table)
        self._sender_of(0, 0)
        icmp = ICMP if self._family is Family.IPV4 else ICMPV6
        protocols = {*PORT_PROTOCOLS, icmp, *OTHER_PROTOCOLS[self._family]}
        self._receiver = LocalReceiver(self.firewall, self._family, protocols)
        self._stack.callback(self._receiver.close)

    def keep_connections(self) -> None:
        """Make connections outlive the run, however long it takes; call it when the rules are
        loaded, which may have loaded connection tracking."""
        keep_connections(self.firewall, _LONGEST_RUN)

    def build(self, probe: Probe) -> bytes:
        """The probe's packet as bytes."""
        return self._builder.build(probe.packet, probe.number)

    def send(self, probe: Probe, data: bytes) -> None:
        """Send a probe from where it comes from; raises OSError."""
        packet = probe.packet
        if packet.in_interface:
            hardware = packet.hardware if packet.hardware != -1 else None
            self._far_ends[packet.in_interface].send(packet.family, data, hardware)
        else:
            sender = self._sender_of(packet.user or 0, packet.group or 0)
            sender.send(data, packet.destination, packet.mark)

    def _sender_of(self, user: int, group: int) -> LocalSender:
        """The socket of a user and group."""
        found = self._senders.get((user, group))
        if found is None:
            found = LocalSender(self.firewall, self._family, owner=(user, group))
            self._senders[user, group] = found
            self._stack.callback(found.close)
        return found

    @property
    def lost(self) -> int:
        """How many packets arrived somewhere and were not seen, because a buffer was full."""
        return self._receiver.lost + sum(end.lost for end in self._far_ends.values())

    def sightings(self) -> dict[int, Sighting]:
        """The probes that have been seen since the last call, by number."""
        frames = (
            (interface, family, data)
            for interface, end in self._far_ends.items()
            for family, data in end.arrived()
        )
        return sightings_of(frames, self._receiver.arrived(), self._family)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
