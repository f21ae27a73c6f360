"""A host that is changed, with a tester in front of it and a machine behind it, who can talk."""

from __future__ import annotations

from pathlib import Path

from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.names import Backend, Family
from tests.kernel.changed_host import ChangedHost

TESTER = {Family.IPV4: "192.0.2.1", Family.IPV6: "2001:db8::1"}
"""In front of ``eth0``."""
HOST = {Family.IPV4: "192.0.2.10", Family.IPV6: "2001:db8::10"}
INSIDE = {Family.IPV4: "10.0.0.2", Family.IPV6: "fd00::2"}
"""Behind ``eth1``."""
_SYSCTLS = {
    "net/ipv4/ip_forward": 1,
    "net/ipv6/conf/all/forwarding": 1,
    # less than the time after which a flow of new connections comes to the same port again
    "net/netfilter/nf_conntrack_udp_timeout": 20,
}


class TrafficHost(ChangedHost):
    """A host that forwards between the namespaces ``tester`` and ``inside``."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        super().__init__(backend, folder)
        self.tester = self._far
        self.inside = Namespace("inside")
        for name, value in _SYSCTLS.items():
            self.write(name, value)
        self._in(self.tester, f"link set eth1 netns {self.inside.path}")
        for box, link, near, far in (
            (self.tester, "eth0", HOST, TESTER),
            (self.inside, "eth1", {Family.IPV4: "10.0.0.1", Family.IPV6: "fd00::1"}, INSIDE),
        ):
            self._in(box, f"address add {far[Family.IPV4]}/24 dev {link}")
            self._in(box, f"address add {far[Family.IPV6]}/64 dev {link} nodad")
            self._in(box, f"link set {link} up")
            self._in(box, f"route add default via {near[Family.IPV4]}")
            self._in(box, f"-6 route add default via {near[Family.IPV6]} dev {link}")
            self._know(box, link, near)

    def _know(self, box: Namespace, link: str, near: dict[Family, str]) -> None:
        """Both ends of a cable know each other: a policy may say nothing of who asks for whom."""
        far = TESTER if link == "eth0" else INSIDE
        number = link[-1]
        for family in Family:
            words = f"nud permanent dev {link}"
            self._in(box, f"neigh replace {near[family]} lladdr 02:00:00:00:0{number}:01 {words}")
            self.ip(f"neigh replace {far[family]} lladdr 02:00:00:00:0{number}:02 {words}")

    @staticmethod
    def _in(box: Namespace, line: str) -> None:
        run(["ip", *line.split()], namespace=box)

    def __exit__(self, *error: object) -> None:
        self.inside.close()
        super().__exit__(*error)
