"""A real TCP connection through a twin, by the interface that leads to the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netfw.host.iptables import restore
from netfw.host.twin import Twin
from netfw.host.twin_connection import TwinConnection, parse_ssh_connection
from netfw.ir.names import Backend, Family
from tests.kernel.hosts import Host

pytestmark = pytest.mark.kernel

FROM_AFAR = {
    Family.IPV4: "198.51.100.7 51000 192.0.2.10 22",
    Family.IPV6: "2001:db8:99::7 51000 2001:db8::10 22",
}
each = pytest.mark.parametrize("family", Family, ids=str)


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as made:
        yield made


def opened(twin: Twin, text: str) -> TwinConnection:
    ends = parse_ssh_connection(text)
    assert ends is not None
    return TwinConnection(twin, ends)


@each
def test_a_connection_is_opened_by_the_interface_that_leads_to_the_client(
    host: Host, family: Family
):
    with Twin(host.live) as twin, opened(twin, FROM_AFAR[family]) as connection:
        assert connection.open() == ""
        assert connection.interface == "eth0"
        assert connection.ask() == ""
        assert connection.begin_another() == ""


@pytest.mark.parametrize(
    ("line", "interface"),
    [
        ("10.0.0.5 40000 10.0.0.1 22", "eth1"),
        ("10.0.0.5 40000 192.0.2.10 22", "eth1"),
        ("192.0.2.10 40000 192.0.2.10 22", "lo"),
        ("::1 40000 ::1 22", "lo"),
        ("::ffff:10.0.0.5 40000 ::ffff:10.0.0.1 22", "eth1"),
    ],
)
def test_wherever_the_client_is(host: Host, line: str, interface: str):
    with Twin(host.live) as twin, opened(twin, line) as connection:
        assert connection.open() == ""
        assert connection.interface == interface
        assert connection.ask() == ""


def test_a_client_on_the_same_link_with_an_address_of_the_link(host: Host):
    host.ip("address add fe80::1/64 dev eth1 nodad")
    line = "fe80::5%eth1 40000 fe80::1%eth1 22"
    with Twin(host.live) as twin, opened(twin, line) as connection:
        assert connection.open() == ""
        assert connection.ask() == ""
        assert connection.begin_another() == ""


@each
def test_rules_that_cut_it_are_noticed(host: Host, family: Family):
    with Twin(host.live) as twin, opened(twin, FROM_AFAR[family]) as connection:
        assert connection.open() == ""
        rules = "*filter\n-A INPUT -p tcp -m tcp --dport 22 --syn -j REJECT\nCOMMIT\n"
        restore(twin.namespace, Backend.NFT, family, rules)
        assert connection.ask() == ""
        assert connection.begin_another() == "connection refused"
        rules = "*filter\n-A INPUT -p tcp -m tcp --dport 22 -j DROP\nCOMMIT\n"
        restore(twin.namespace, Backend.NFT, family, rules)
        assert connection.ask() == "what the client sends does not arrive"
        rules = "*filter\n-A OUTPUT -p tcp -m tcp --sport 22 -j DROP\nCOMMIT\n"
        restore(twin.namespace, Backend.NFT, family, rules)
        assert connection.begin_another() == "nobody answers"


def test_what_is_no_connection_to_this_host_is_not_opened(host: Host):
    with Twin(host.live) as twin:
        with opened(twin, "198.51.100.7 51000 203.0.113.5 22") as connection:
            assert "203.0.113.5 is no address of this host" in connection.open()
        host.ip("route del default")
    with Twin(host.live) as twin, opened(twin, FROM_AFAR[Family.IPV4]) as connection:
        assert connection.open() == "this host has no route to 198.51.100.7"


@pytest.mark.parametrize("text", ["", "a b", "1.2.3.4 x 1.2.3.4 22", "1.2.3.4 5 ::1 22"])
def test_what_is_no_ssh_connection(text: str):
    assert parse_ssh_connection(text) is None
