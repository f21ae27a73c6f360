"""netfw's table of nf_tables for a trace: it marks packets for the kernel's trace, no other way.

It holds chains at all hooks: those before raw choose packets and set the trace bit; those behind
everything accept, so that each packet shows that it got there. Nobody else's tables are written.
Nothing of a trace must outlive it for long: the rule that chooses asks a set whose members time
out, so that a table which was left behind (kill -9) follows nothing any more; and the table's
comment says what is to be put back, which the next run does.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netfw.errors import ConflictError, HostError
from netfw.host.clock import since_boot
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.names import Family
from netfw.ir.protocols import ICMP, ICMPV6
from netfw.traverse.packet_filter import PacketFilter, Ports

TABLE = "netfw_trace"
CHOOSE, ARRIVES, LEAVES = "choose", "arrives", "leaves"
ROUTED, DELIVERED, FORWARDED = "before_routing", "delivered", "forwarded"
OUT, SENT = "behind_output", "sent"
_FIRST = -399
"""Behind the defragmentation of connection tracking (-400), before raw (-300)."""
_EARLIEST, _LAST = -2147483647, 2147483646
_TRIES = 3
_GRACE = 5
"""Seconds by which a table may outlive its trace before the next run takes it away."""
_COMMENT = re.compile(r'comment "netfw trace ([^"]*)"')
_HANDLE = re.compile(rf"table inet {TABLE} {{ # handle (\d+)")


@dataclass(frozen=True, slots=True)
class Leftover:
    """What a table says of its trace: whose it is, until when, and what is to be put back.

    ``until`` is in seconds since the machine started. ``loggers`` are the packet loggers of both
    families before the trace; None where they were not changed.
    """

    handle: int
    process: int
    started: int
    until: int
    loggers: tuple[str, str] | None

    @property
    def is_over(self) -> bool:
        """Whether its process has ended, or its time is over."""
        if since_boot() > self.until + _GRACE:
            return True
        return started_at(self.process) not in (self.started, -1)


def started_at(process: int) -> int:
    """When a process started, in ticks since boot; 0 where there is none, -1 where nobody may
    know."""
    try:
        text = Path("/proc", str(process), "stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return 0
    except OSError:
        return -1
    return int(text.rpartition(")")[2].split()[19])


def find_leftover(namespace: Namespace | None) -> Leftover | None:
    """The table of a trace that runs or ran here; None where there is none.

    Raises HostError for a table of this name that no trace made.
    """
    done = run(["nft", "-a", "list", "table", "inet", TABLE], namespace=namespace, check=False)
    if done.status != 0:
        if "No such file" in done.stderr or "does not exist" in done.stderr:
            return None
        raise HostError.at("nft", done.stderr.strip() or f"exit status {done.status}")
    comment, handle = _COMMENT.search(done.stdout), _HANDLE.search(done.stdout)
    words = dict(word.partition("=")[::2] for word in comment[1].split()) if comment else {}
    try:
        before = words.get("loggers")
        loggers = None
        if before:
            first, _, second = before.partition(",")
            loggers = (first, second)
        number = int(handle[1] if handle else words["handle"])
        pid, start, until = (int(words[name]) for name in ("pid", "start", "until"))
        return Leftover(number, pid, start, until, loggers)
    except (KeyError, ValueError):
        raise HostError.at(
            f"table inet {TABLE}",
            "it has the name of netfw's own, and is of somebody else",
            f"look at it with 'nft list table inet {TABLE}'; nothing was changed",
        ) from None


def remove_table(namespace: Namespace | None, handle: int) -> None:
    """Take a table away, if it is still that one; raises HostError where it stays."""
    argv = ["nft", "delete", "table", "inet", "handle", str(handle)]
    for _ in range(_TRIES):
        run(argv, namespace=namespace, check=False)
        # Ctrl-C reaches nft too, so that it may have done nothing
        left = find_leftover(namespace)
        if left is None or left.handle != handle:
            return
    raise HostError.at(
        f"table inet {TABLE}", "it cannot be taken away", f"nft delete table inet {TABLE}"
    )


def load_table(
    namespace: Namespace | None,
    wanted: PacketFilter,
    *,
    rate: int,
    seconds: float,
    loggers: tuple[str, str] | None,
) -> int:
    """Load the table; its handle. ``rate`` in packets a second (0: no limit), ``seconds`` until
    it follows nothing any more.

    Raises ConflictError where another trace was quicker.
    """
    words = {
        "pid": os.getpid(),
        "start": started_at(os.getpid()),
        "until": int(since_boot() + seconds) + 1,
    }
    said = " ".join(f"{name}={value}" for name, value in words.items())
    if loggers is not None:
        said += f" loggers={','.join(loggers)}"
    text = "\n".join(table_lines(wanted, said, rate=rate, seconds=seconds)) + "\n"
    done = run(["nft", "-f", "-"], stdin=text, namespace=namespace, check=False)
    if done.status != 0:
        if "File exists" in done.stderr:
            raise ConflictError.at(
                "netfw trace", "another trace has just begun here", "wait for its end"
            )
        left = find_leftover(namespace)
        if left is not None and left.process == os.getpid():
            remove_table(namespace, left.handle)
        lines = done.stderr.strip().splitlines()
        first = lines[0] if lines else f"exit status {done.status}"
        raise HostError.at("nft -f", first, "is this nftables 1.0 or newer?")
    found = find_leftover(namespace)
    if found is None:
        raise HostError.at(f"table inet {TABLE}", "it is gone as soon as it was made")
    return found.handle


def table_lines(wanted: PacketFilter, comment: str, *, rate: int, seconds: float) -> Iterator[str]:
    """The table as nft takes it."""
    limit = f"limit rate {rate}/second burst {max(rate, 1)} packets " if rate else ""
    timeout = f"timeout {int(seconds) + 1}s"
    yield f'create table inet {TABLE} {{ comment "netfw trace {comment}"; }}'
    yield f"table inet {TABLE} {{"
    members = f"ipv4 {timeout}, ipv6 {timeout}"
    yield f"set live {{ type nf_proto; flags timeout; elements = {{ {members} }}; }}"
    yield "counter matched { }"
    yield "counter followed { }"
    yield f"chain {CHOOSE} {{"
    chosen = f"meta nfproto @live counter name matched {limit}counter name followed"
    yield f"{chosen} meta nftrace set 1 accept"
    yield "}"
    yield from _chain(ARRIVES, "prerouting", _FIRST, _choosing(wanted, ARRIVES))
    yield from _chain(LEAVES, "output", _FIRST, _choosing(wanted, LEAVES))
    for name, hook, priority in (
        (ROUTED, "prerouting", _LAST),
        (DELIVERED, "input", _LAST),
        (FORWARDED, "forward", _EARLIEST),
        (OUT, "output", _LAST),
        (SENT, "postrouting", _LAST),
    ):
        yield from _chain(name, hook, priority, ["accept"])
    yield "}"


def _chain(name: str, hook: str, priority: int, rules: list[str]) -> Iterator[str]:
    yield f"chain {name} {{ type filter hook {hook} priority {priority}; policy accept;"
    yield from rules
    yield "}"


def _choosing(wanted: PacketFilter, chain: str) -> list[str]:
    """The rules that choose packets, one for each family where that makes a difference."""
    if chain == LEAVES and wanted.came_by:
        return []
    if chain == ARRIVES and wanted.leaves_by and not wanted.came_by:
        return []
    common = []
    if chain == ARRIVES and wanted.came_by:
        common.append(f'iifname "{wanted.came_by}"')
    if wanted.mark is not None:
        mark = wanted.mark
        common.append(f"meta mark & {mark.mask:#x} == {mark.value:#x}")
    rules = []
    for family in wanted.families:
        words = [f"meta nfproto ipv{family.value}", *common, *_of_family(wanted, family)]
        rules.append(" ".join([*words, "goto", CHOOSE]))
    return rules


def _of_family(wanted: PacketFilter, family: Family) -> list[str]:
    """The parts of a filter that the family's headers answer."""
    other = ICMPV6 if family is Family.IPV4 else ICMP
    protocols = sorted(wanted.protocols - {other})
    words = []
    name = "ip" if family is Family.IPV4 else "ip6"
    if protocols:
        listed = ", ".join(map(str, protocols))
        words.append(
            f"meta l4proto {{ {listed} }}" if len(protocols) > 1 else f"meta l4proto {listed}"
        )
    for word, net in (("saddr", wanted.source), ("daddr", wanted.destination)):
        if net is not None:
            words.append(f"{name} {word} {net}")
    for word, ports in (("sport", wanted.source_ports), ("dport", wanted.destination_ports)):
        if ports is not None:
            words.append(f"th {word} {_ports(ports)}")
    if wanted.flags is not None:
        words.append(f"tcp flags & 0x3f == {wanted.flags:#x}")
    if wanted.icmp is not None:
        of = "icmp" if family is Family.IPV4 else "icmpv6"
        kind, code = wanted.icmp
        words.append(f"{of} type {kind}")
        if code is not None:
            words.append(f"{of} code {code}")
    if wanted.ttl is not None:
        words.append(f"ip ttl {wanted.ttl}" if name == "ip" else f"ip6 hoplimit {wanted.ttl}")
    return words


def _ports(ports: Ports) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"


def read_counts(namespace: Namespace | None) -> tuple[int, int]:
    """How many packets the filter meant, and how many of them were followed."""
    argv = ["nft", "-j", "list", "counters", "table", "inet", TABLE]
    done = run(argv, namespace=namespace, check=False)
    if done.status != 0:
        return 0, 0
    counts = {
        entry["counter"]["name"]: int(entry["counter"]["packets"])
        for entry in json.loads(done.stdout)["nftables"]
        if "counter" in entry
    }
    return counts.get("matched", 0), counts.get("followed", 0)
