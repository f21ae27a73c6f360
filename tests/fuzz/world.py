"""Where random packets go: interfaces, addresses, ports and routes, few enough to be met often."""

from __future__ import annotations

from netfw.ir.mark import MaskedWord
from netfw.ir.names import Family
from netfw.ir.net import Net, parse_address
from netfw.traverse.host_facts import Route
from netfw.verify.layout import Layout

INTERFACES = ("eth0", "eth1", "eth2")
PORTS = (53, 80, 8080, 40000, 40001)
ECHO_REQUEST = {Family.IPV4: 8, Family.IPV6: 128}
ECHO_REPLY = {Family.IPV4: 0, Family.IPV6: 129}
UNREACHABLE = {Family.IPV4: (3, 1), Family.IPV6: (1, 3)}
LOOPBACK_ADDRESS = {Family.IPV4: 0x7F000001, Family.IPV6: 1}
_BEHIND = {
    Family.IPV4: ("203.0.113.10", "203.0.113.20", "203.0.113.30"),
    Family.IPV6: ("2001:db8::10", "2001:db8::20", "2001:db8::30"),
}
_OWN = {Family.IPV4: "203.0.113.1", Family.IPV6: "2001:db8::1"}
_NOWHERE = {Family.IPV4: "192.0.2.99", Family.IPV6: "2001:db8:99::1"}


def layout() -> Layout:
    """The stage of every case: three links, an address behind each, an address more of its own."""
    made = Layout.of_interfaces(INTERFACES)
    for family in Family:
        for link, text in zip(made.links, _BEHIND[family], strict=True):
            made.place(family, parse_address(text)[1], link)
        made.adopt(family, parse_address(_OWN[family])[1], made.links[0])
    return made


_LAYOUT = layout()
FAR = {f: tuple(link.far(f) for link in _LAYOUT.links) for f in Family}
BEHIND = {f: tuple(parse_address(text)[1] for text in _BEHIND[f]) for f in Family}
NEAR = {f: (*(link.near(f) for link in _LAYOUT.links), parse_address(_OWN[f])[1]) for f in Family}
NOWHERE = {f: parse_address(_NOWHERE[f])[1] for f in Family}


TABLE_OF_MARK = ((MaskedWord(0x1, 0x1), 101), (MaskedWord(0x20000, 0xF0000), 102))
"""Routing by mark: the tables into which marked packets look first."""


def mark_routes(family: Family) -> tuple[Route, ...]:
    """What those tables hold."""
    everything, links = Net.everything(family), _LAYOUT.links
    full = (1 << family.bits) - 1
    return (
        Route(everything, links[1].interface, links[1].far(family), table=101),
        Route(Net(family, BEHIND[family][0], full), "eth2", links[2].far(family), table=102),
        Route(Net(family, FAR[family][1], full), "eth0", links[0].far(family), table=102),
    )


TO_MANY = {
    Family.IPV4: (0xFFFFFFFF, FAR[Family.IPV4][1] | 0xFF, parse_address("224.0.0.99")[1]),
    Family.IPV6: (parse_address("ff02::99")[1],),
}
"""Broadcast and multicast."""
