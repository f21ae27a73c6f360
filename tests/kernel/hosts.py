"""Namespaces that stand for hosts: interfaces, routing, and rules of everybody but netfw."""

from __future__ import annotations

from collections.abc import Iterable

from netfw.host.iptables import restore
from netfw.host.live_namespace import LiveNamespace
from netfw.host.namespace import Namespace
from netfw.host.network import Network
from netfw.host.run import run
from netfw.ir.names import Backend, Family

DOCKER = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-1 -j RETURN
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-ISOLATION-STAGE-2 -j RETURN
-A DOCKER-USER -j RETURN
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""
"""What Docker loads for a container whose port 80 is published as 8080."""


class Host:
    """A host with ``eth0`` to the world and ``eth1`` to a private network; a context manager."""

    def __init__(self) -> None:
        self.box = Namespace("host")
        self._far = Namespace("world")
        with Network(self.box) as network, Network(self._far) as far:
            for name in ("eth0", "eth1"):
                number = int(name[-1])
                macs = (f"02:00:00:00:0{number}:01", f"02:00:00:00:0{number}:02")
                network.add_cable(name, macs[0], far, name, macs[1])
                far.bring_up(name)
        self.ip("link set lo up")
        for name in ("default", "eth0", "eth1"):
            self.write(f"net/ipv6/conf/{name}/addr_gen_mode", 1)
        for name in ("eth0", "eth1"):
            self.write(f"net/ipv6/conf/{name}/accept_dad", 0)
            self.ip(f"link set {name} up")
        self.ip(
            "address add 192.0.2.10/24 dev eth0",
            "address add 2001:db8::10/64 dev eth0 nodad",
            "address add 10.0.0.1/24 dev eth1",
            "address add fd00::1/64 dev eth1 nodad",
            "route add default via 192.0.2.1",
            "-6 route add default via 2001:db8::1 dev eth0",
        )
        self.live = LiveNamespace(self.box.path)

    def ip(self, *lines: str) -> None:
        """Run ``ip`` with each line; raises HostError."""
        for line in lines:
            run(["ip", *line.split()], namespace=self.box)

    def sh(self, script: str) -> str:
        """What a script prints here; raises HostError."""
        return run(["sh", "-e", "-c", script], namespace=self.box).stdout

    def write(self, name: str, value: int) -> None:
        """Write a sysctl, a path below /proc/sys."""
        with Network(self.box) as network:
            network.set_sysctl(name, value)

    def load(self, backend: Backend, text: str, families: Iterable[Family] = Family) -> None:
        """Load rules."""
        for family in families:
            restore(self.box, backend, family, text, keep=True)

    def add_docker(self, backend: Backend) -> None:
        """A bridge with a container behind it, and Docker's rules."""
        self.write("net/ipv4/ip_forward", 1)
        self.ip(
            "link add docker0 type bridge",
            "address add 172.17.0.1/16 dev docker0",
            "link add veth1 type veth peer name inside1 netns " + self._far.path,
            "link set veth1 master docker0",
            "link set veth1 up",
            "link set docker0 up",
        )
        run(["ip", "link", "set", "inside1", "up"], namespace=self._far)
        restore(self.box, backend, Family.IPV4, DOCKER)

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self.live.close()
        self.box.close()
        self._far.close()
