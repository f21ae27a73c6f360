"""A router between two far ends, made by netfw.host alone: what the kernel tests share."""

from __future__ import annotations

from contextlib import ExitStack

from netfw.host.inject import FarEnd
from netfw.host.namespace import Namespace
from netfw.host.network import Network
from netfw.ir.names import BUILTIN_CHAINS, Family
from netfw.ir.net import parse_address
from netfw.ir.protocols import UDP
from netfw.traverse.packet import Packet

LEFT_HOST = {Family.IPV4: parse_address("10.1.0.2")[1], Family.IPV6: parse_address("fd01::2")[1]}
LEFT_OWN = {Family.IPV4: parse_address("10.1.0.1")[1], Family.IPV6: parse_address("fd01::1")[1]}
RIGHT_HOST = {Family.IPV4: parse_address("10.2.0.2")[1], Family.IPV6: parse_address("fd02::2")[1]}
RIGHT_OWN = {Family.IPV4: parse_address("10.2.0.1")[1], Family.IPV6: parse_address("fd02::1")[1]}
_PREFIX_LENGTH = {Family.IPV4: 24, Family.IPV6: 64}
_SYSCTLS = {
    "net.ipv4.ip_forward": 1,
    "net.ipv6.conf.all.forwarding": 1,
    "net.ipv6.conf.default.dad_transmits": 0,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
}


class Router:
    """Namespace ``box`` with interfaces ``left`` and ``right``; a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.box = self._stack.enter_context(Namespace("box"))
        network = self._stack.enter_context(Network(self.box))
        for name, value in _SYSCTLS.items():
            network.set_sysctl(name, value)
        network.bring_up("lo")
        self.left = self._cable(network, "left", 1, LEFT_OWN, LEFT_HOST)
        self.right = self._cable(network, "right", 2, RIGHT_OWN, RIGHT_HOST)
        self.index = {name: network.index(name) for name in ("left", "right")}

    def _cable(
        self,
        network: Network,
        interface: str,
        number: int,
        own: dict[Family, int],
        host: dict[Family, int],
    ) -> FarEnd:
        near_mac, far_mac = f"02:00:00:00:00:0{number}", f"02:00:00:00:01:0{number}"
        far = self._stack.enter_context(Namespace(interface))
        with Network(far) as far_network:
            for scope in ("all", "default"):
                far_network.set_sysctl(f"net.ipv6.conf.{scope}.disable_ipv6", 1)
            network.add_cable(interface, near_mac, far_network, "far", far_mac)
            far_network.bring_up("far")
        network.bring_up(interface)
        for family in Family:
            network.add_address(interface, family, own[family], _PREFIX_LENGTH[family])
            network.add_neighbour(interface, family, host[family], far_mac)
        end = FarEnd(far, "far", far_mac, near_mac)
        self._stack.callback(end.close)
        return end

    def __enter__(self) -> Router:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def forwarded(family: Family, port: int = 53, protocol: int = UDP, tcp_flags: int = 0) -> Packet:
    """A packet from the host on the left to the host on the right."""
    return Packet(
        family,
        LEFT_HOST[family],
        RIGHT_HOST[family],
        protocol,
        40000,
        port,
        tcp_flags=tcp_flags,
        in_interface="left",
    )


def all_tables(**rules: str) -> str:
    """Restore text with every table and built-in chain; ``rules`` by table, in lines."""
    lines = []
    for table, chains in BUILTIN_CHAINS.items():
        lines.append(f"*{table}")
        lines += [f":{chain} ACCEPT [0:0]" for chain in chains]
        lines += rules.get(table.value, "").strip().splitlines()
        lines.append("COMMIT")
    return "\n".join([*lines, ""])
