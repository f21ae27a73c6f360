"""What the kernel has at each hook, by priority. The prediction runs on this table.

Source: enum nf_ip_hook_priorities in include/uapi/linux/netfilter_ipv4.h (IPv6 has the same
numbers in netfilter_ipv6.h); nf_nat_ipv4_ops in net/netfilter/nf_nat_proto.c for the two sides
of nat; ipv4_conntrack_ops in net/netfilter/nf_conntrack_proto.c for conntrack and confirm.
The order as documented, with its refinements, is in ``documented.py`` and does not use this.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from netfw.ir.names import BUILTIN_CHAINS, Hook, TableName


class KernelPoint(Enum):
    """What stands at a hook besides tables."""

    DEFRAG = "defrag"
    CONNTRACK = "conntrack"
    CONFIRM = "confirm"


class HookEntry(NamedTuple):
    """A table or a kernel function at a hook; lower priorities come first."""

    priority: int
    what: TableName | KernelPoint


_INT_MAX = 2**31 - 1
_PRIORITY = {
    KernelPoint.DEFRAG: -400,
    TableName.RAW: -300,
    KernelPoint.CONNTRACK: -200,
    TableName.MANGLE: -150,
    TableName.FILTER: 0,
    KernelPoint.CONFIRM: _INT_MAX,
}
_NAT_DST, _NAT_SRC = -100, 100
NAT_SIDE_IS_DESTINATION = {
    Hook.PREROUTING: True,
    Hook.OUTPUT: True,
    Hook.INPUT: False,
    Hook.POSTROUTING: False,
}
"""Which address nat may change at a hook (HOOK2MANIP in include/net/netfilter/nf_nat.h)."""
_POINTS = {
    Hook.PREROUTING: (KernelPoint.DEFRAG, KernelPoint.CONNTRACK),
    Hook.INPUT: (KernelPoint.CONFIRM,),
    Hook.FORWARD: (),
    Hook.OUTPUT: (KernelPoint.DEFRAG, KernelPoint.CONNTRACK),
    Hook.POSTROUTING: (KernelPoint.CONFIRM,),
}


SECURITY_PRIORITY = 50
"""NF_IP_PRI_SECURITY. iptables-nft registers its security chains elsewhere, at 150 (xtables_ipv4
in iptables/nft.c), which is behind nat INPUT."""


def hook_entries(hook: Hook, security_priority: int = SECURITY_PRIORITY) -> tuple[HookEntry, ...]:
    """Everything at a hook in the order in which a packet meets it."""
    entries = [HookEntry(_PRIORITY[point], point) for point in _POINTS[hook]]
    for table, hooks in BUILTIN_CHAINS.items():
        if hook not in hooks:
            continue
        if table is TableName.NAT:
            priority = _NAT_DST if NAT_SIDE_IS_DESTINATION[hook] else _NAT_SRC
        elif table is TableName.SECURITY:
            priority = security_priority
        else:
            priority = _PRIORITY[table]
        entries.append(HookEntry(priority, table))
    return tuple(sorted(entries, key=lambda entry: entry.priority))
