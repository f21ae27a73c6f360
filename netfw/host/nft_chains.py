"""The chains of a table of nf_tables by name, where iptables cannot show the table."""

from __future__ import annotations

from netfw.host.namespace import Namespace
from netfw.host.netlink import DUMP, attributes_of, dump, open_netfilter, request
from netfw.ir.names import Family, TableName

_MESSAGE_GET_CHAIN = 10 << 8 | 4
_CHAIN_TABLE, _CHAIN_NAME = 1, 3
_FAMILIES = {Family.IPV4: 2, Family.IPV6: 10}


def chains_of(namespace: Namespace | None, family: Family, table: TableName) -> list[str]:
    """All chains of a table, in the order in which they were made.

    Source: linux/netfilter/nf_tables.h (NFT_MSG_GETCHAIN). Raises OSError where the kernel has no
    nf_tables.
    """
    with open_netfilter(namespace) as link:
        message = request(_MESSAGE_GET_CHAIN, DUMP, _FAMILIES[family], 0, b"")
        found = [attributes_of(body) for body in dump(link, message, "list of nft chains")]
    return [
        _text(chain[_CHAIN_NAME]) for chain in found if _text(chain[_CHAIN_TABLE]) == table.value
    ]


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
