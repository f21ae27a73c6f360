"""The kernel's counters of packets that it gave up outside of any chain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netfw.host.live_namespace import LiveNamespace

MARTIANS = "martian source"
REASONS = {
    "TcpExt.IPReversePathFilter": "rp_filter refused the way back to the source",
    "Ip.InAddrErrors": "the destination is none of this host's and forwarding is off, "
    "or an address is invalid",
    "Ip.InHdrErrors": "the header is wrong, or the TTL ran out",
    "Ip.OutNoRoutes": "no route out",
    "IpExt.InNoRoutes": "no route",
    "Ip.FragFails": "too large for the next link, and not to be divided",
    "Ip.InDiscards": "no room, or refused without a reason",
    "Ip.OutDiscards": "no room, or refused without a reason",
    "IpExt.InTruncatedPkts": "the packet is shorter than it says",
    "Ip6.InHdrErrors": "the header is wrong, or the hop limit ran out",
    "Ip6.InNoRoutes": "no route",
    "Ip6.InAddrErrors": "the destination is none of this host's and forwarding is off, "
    "or an address is invalid",
    "Ip6.OutNoRoutes": "no route out",
    "Ip6.InTooBigErrors": "too large for the next link",
    "Ip6.InDiscards": "no room, or refused without a reason",
    "Ip6.OutDiscards": "no room, or refused without a reason",
    "Tcp.InErrs": "a TCP header that is wrong",
    "Udp.NoPorts": "nobody listens at the port",
    "Udp.InErrors": "the receiver refused it",
    MARTIANS: "the source cannot be here (this machine's counter, of all namespaces)",
}
"""What a counter that went up says, by the name that ``nstat`` gives it (with a dot)."""


def read_counters(namespace: LiveNamespace) -> dict[str, int]:
    """The counters now; those that this kernel lacks are left out."""
    return namespace.call(_read)


def went_up(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """By how much counters went up, in the order of ``REASONS``."""
    return {
        name: after[name] - before.get(name, 0)
        for name in REASONS
        if after.get(name, 0) > before.get(name, 0)
    }


def _read() -> dict[str, int]:
    found: dict[str, int] = {}
    net = Path("/proc/thread-self/net")
    for name in ("snmp", "netstat"):
        lines = _lines(net / name)
        for heads, values in zip(lines[::2], lines[1::2], strict=False):
            group = heads[0].rstrip(":")
            for head, value in zip(heads[1:], values[1:], strict=False):
                found[f"{group}.{head}"] = int(value)
    for line in _lines(net / "snmp6"):
        if len(line) == 2 and line[0].startswith("Ip6"):
            found[f"Ip6.{line[0][3:]}"] = int(line[1])
    cache = _lines(net / "stat" / "rt_cache")
    if len(cache) > 1 and "in_martian_src" in cache[0]:
        column = cache[0].index("in_martian_src")
        found[MARTIANS] = sum(int(line[column], 16) for line in cache[1:])
    return {name: value for name, value in found.items() if name in REASONS}


def _lines(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except OSError:
        return []
