"""Which tables of nf_tables hold sets, which iptables has no words for.

``iptables-nft-save`` 1.8.9 leaves a set out of the rule that looks it up and says nothing:
``ip saddr { 192.0.2.1, 192.0.2.9 } drop`` is shown as ``-A INPUT -j DROP``. iptables itself makes
no sets in nf_tables.
"""

from __future__ import annotations

from netfw.host.namespace import Namespace
from netfw.host.netlink import DUMP, attributes_of, dump, open_netfilter, request
from netfw.ir.names import Family

_MESSAGE_GET_SET = 10 << 8 | 10
_SET_TABLE = 1
_FAMILIES = {Family.IPV4: 2, Family.IPV6: 10}


def tables_with_sets(namespace: Namespace | None, family: Family) -> set[str]:
    """The names of a family's tables that hold sets, anonymous ones included.

    Source: linux/netfilter/nf_tables.h (NFT_MSG_GETSET). Raises OSError where the kernel has no
    nf_tables.
    """
    with open_netfilter(namespace) as link:
        message = request(_MESSAGE_GET_SET, DUMP, _FAMILIES[family], 0, b"")
        bodies = dump(link, message, "list of nft sets")
    return {attributes_of(body)[_SET_TABLE].rstrip(b"\0").decode() for body in bodies}
