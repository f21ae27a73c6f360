"""What doctor and the ledger cost on a large host: many rules, sockets and connections."""

from __future__ import annotations

import argparse
import resource
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack

from rich.table import Table

from netfw.errors import ExitCode, NetfwError
from netfw.host.iptables import restore
from netfw.host.namespace import Namespace
from netfw.host.netlink import attribute, open_netfilter, request
from netfw.host.run import run
from netfw.ir.names import Backend, Family
from tests.bench.child import unwind_when_ended
from tests.bench.printed import console
from tests.bench.spent import best_of

RULES, SOCKETS, CONNECTIONS = 10_000, 1_000, 100_000
ROUNDS = 3
_SO_MARK = 36
_NEW = 1 << 8
"""NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_NEW in linux/netfilter/nfnetlink_conntrack.h."""
_CREATE = 0x400
_NESTED = 0x8000
_CONFIRMED = 0x8
_AT_ONCE = 60_000
_DNS, _HIGH = 53, 40_000


def doctor_table(rules: int, sockets: int, connections: int, rounds: int) -> Table:
    """A row for each backend and verb: seconds of the clock and of CPU, peak memory."""
    table = Table(
        title=f"{rules:,} rules, {sockets:,} sockets, {connections:,} connections, "
        f"best of {rounds} rounds"
    )
    table.add_column("backend")
    table.add_column("verb")
    for name in ("wall s", "CPU s", "MiB"):
        table.add_column(name, justify="right", no_wrap=True)
    for backend in Backend:
        with ExitStack() as stack:
            box = stack.enter_context(Namespace("doctor"))
            try:
                _fill(box, backend, rules, connections)
                for one in _open_sockets(box, sockets):
                    stack.enter_context(one)
            except NetfwError as error:
                table.add_row(str(backend), error.faults[0].problem)
                continue
            for verb in ("doctor", "marks"):
                spent = best_of(rounds, [sys.executable, "-m", "netfw", verb, "--netns", box.path])
                if spent.code not in (ExitCode.OK, ExitCode.DIFFERENCES):
                    table.add_row(str(backend), f"{verb}: exit status {spent.code}")
                    continue
                figures = (f"{spent.wall:.2f}", f"{spent.cpu:.2f}", str(spent.peak))
                table.add_row(str(backend), verb, *figures)
    return table


def _fill(box: Namespace, backend: Backend, rules: int, connections: int) -> None:
    """A fifth of the rules sets marks, after having asked for them; the others accept ports."""
    run(["ip", "link", "set", "lo", "up"], namespace=box)
    marking = rules // 5
    lines = ["*mangle", ":PREROUTING ACCEPT [0:0]"]
    lines += [
        f"-A PREROUTING -s {_net(number)} -m mark --mark 0x0/0xff "
        f"-j MARK --set-xmark {number % 250 + 1:#x}/0xff"
        for number in range(marking)
    ]
    lines += ["COMMIT", "*filter", ":INPUT ACCEPT [0:0]"]
    lines += [
        f"-A INPUT -s {_net(number)} -p tcp -m tcp --dport {1024 + number % 60_000} "
        f'-m comment --comment "rule {number}" -j ACCEPT'
        for number in range(rules - marking)
    ]
    restore(box, backend, Family.IPV4, "\n".join([*lines, "COMMIT", ""]))
    with open_netfilter(box) as link:
        for datagram in _connections(connections):
            link.send(datagram)


def _net(number: int) -> str:
    return f"10.{number >> 8 & 255}.{number & 255}.0/24"


def _connections(count: int) -> Iterator[bytes]:
    """Messages that make connections of UDP, of five marks, many in a datagram."""
    datagram = b""
    for number in range(count):
        client = (0x0A000000 + number).to_bytes(4, "big")
        server = (0x0B000000).to_bytes(4, "big")
        attributes = (
            attribute(1 | _NESTED, _ends(client, server, _HIGH, _DNS))
            + attribute(2 | _NESTED, _ends(server, client, _DNS, _HIGH))
            + attribute(3, struct.pack(">I", _CONFIRMED))
            + attribute(7, struct.pack(">I", 600))
            + attribute(8, struct.pack(">I", number % 5))
        )
        datagram += request(_NEW, _CREATE, int(socket.AF_INET), 0, attributes)
        if len(datagram) > _AT_ONCE:
            yield datagram
            datagram = b""
    if datagram:
        yield datagram


def _ends(source: bytes, destination: bytes, source_port: int, destination_port: int) -> bytes:
    """A CTA_TUPLE of UDP."""
    ports = attribute(2, struct.pack(">H", source_port)) + attribute(
        3, struct.pack(">H", destination_port)
    )
    addresses = attribute(1, source) + attribute(2, destination)
    return attribute(1 | _NESTED, addresses) + attribute(
        2 | _NESTED, attribute(1, bytes([socket.IPPROTO_UDP])) + ports
    )


def _open_sockets(box: Namespace, count: int) -> list[socket.socket]:
    """Sockets of UDP, most of them with a mark."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def make() -> list[socket.socket]:
        found = []
        for number in range(count):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.setsockopt(socket.SOL_SOCKET, _SO_MARK, number % 7)
            made.bind(("127.0.0.1", 0))
            found.append(made)
        return found

    return box.call(make)


def main() -> None:
    """Print the table."""
    unwind_when_ended()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.doctor", description=__doc__)
    parser.add_argument("--rules", type=int, default=RULES)
    parser.add_argument("--sockets", type=int, default=SOCKETS)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    out = console()
    try:
        out.print(
            doctor_table(
                arguments.rules, arguments.sockets, arguments.connections, arguments.rounds
            )
        )
    except NetfwError as error:
        out.print(f"doctor: {error.faults[0]}")


if __name__ == "__main__":
    main()
