"""The sysctls that say which way packets go, from a host to its twin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from netfw.host.namespace import Namespace
from netfw.host.uncopied import Uncopied
from netfw.ir.names import Family

_ROOT = Path("/proc/sys")
_OF_INTERFACES = {
    "ipv4": (
        "forwarding",
        "accept_local",
        "accept_source_route",
        "disable_policy",
        "ignore_routes_with_linkdown",
        "route_localnet",
        "rp_filter",
        "src_valid_mark",
    ),
    "ipv6": (
        "forwarding",
        "force_forwarding",
        "accept_source_route",
        "disable_ipv6",
        "disable_policy",
        "ignore_routes_with_linkdown",
    ),
}
"""``forwarding`` comes first: to change it sets others back (ip-sysctl.rst)."""
_OF_ALL = (
    "net/ipv4/fib_multipath_hash_policy",
    "net/ipv4/fwmark_reflect",
    "net/ipv4/icmp_echo_ignore_all",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/ip_nonlocal_bind",
    "net/ipv4/ip_unprivileged_port_start",
    "net/ipv4/raw_l3mdev_accept",
    "net/ipv4/tcp_fwmark_accept",
    "net/ipv4/tcp_l3mdev_accept",
    "net/ipv4/udp_l3mdev_accept",
    "net/ipv6/bindv6only",
    "net/ipv6/fib_multipath_hash_policy",
    "net/ipv6/fwmark_reflect",
    "net/ipv6/icmp/echo_ignore_all",
    "net/ipv6/ip_nonlocal_bind",
    "net/netfilter/nf_conntrack_acct",
    "net/netfilter/nf_conntrack_checksum",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "net/netfilter/nf_conntrack_tcp_ignore_invalid_rst",
    "net/netfilter/nf_conntrack_tcp_loose",
)
_OF_ONE = re.compile(r"net/ipv([46])/conf/([^/]+)/")


def copy_settings(
    source: Namespace, target: Namespace, interfaces: Iterable[str], further: Iterable[str] = ()
) -> list[Uncopied]:
    """Write what the source has into the target; what this kernel lacks is left out.

    ``further`` are paths below /proc/sys that are copied too. Interfaces must be there and down.
    """
    scopes = ("all", "default", *interfaces)
    names = [
        f"net/{family}/conf/{scope}/{name}"
        for family, those in _OF_INTERFACES.items()
        for name in those
        for scope in scopes
    ]
    names += [*_OF_ALL, *(name for name in further if name not in _OF_ALL)]
    wanted = source.call(lambda: read_settings(names))
    found = write_settings(target, wanted)
    return [_uncopied(name, value) for name, value in wanted.items() if found.get(name) != value]


def keep_quiet(target: Namespace, interfaces: Iterable[str]) -> None:
    """Let interfaces make no IPv6 address of their own and ask for none."""
    names = {
        f"net/ipv6/conf/{scope}/{name}": value
        for scope in ("default", *interfaces)
        for name, value in (("addr_gen_mode", "1"), ("accept_ra", "0"), ("dad_transmits", "0"))
    }
    write_settings(target, names)


def read_settings(names: Iterable[str]) -> dict[str, str]:
    """The sysctls of the namespace where we are, by path below /proc/sys, spaces made plain."""
    found = {}
    for name in names:
        try:
            found[name] = " ".join((_ROOT / name).read_text(encoding="ascii").split())
        except OSError:
            continue
    return found


def write_settings(target: Namespace, wanted: Mapping[str, str]) -> dict[str, str]:
    """Write sysctls; what they are when all are written, for one may set others back."""
    return target.call(lambda: _write(wanted))


def _write(wanted: Mapping[str, str]) -> dict[str, str]:
    for name, value in wanted.items():
        try:
            (_ROOT / name).write_text(f"{value}\n", encoding="ascii")
        except OSError:
            continue
    return read_settings(wanted)


def _uncopied(name: str, value: str) -> Uncopied:
    what = f"sysctl {name} = {value}"
    found = _OF_ONE.match(name)
    if found is None:
        return Uncopied(what)
    scope = "" if found[2] in ("all", "default") else found[2]
    return Uncopied(what, scope, Family(int(found[1])))
