"""netfilter's own names: families, tables, hooks, and the limits that the kernel sets on names."""

from __future__ import annotations

from enum import Enum

OWN_CHAIN_PREFIX = "NETFW-"
"""How chains of ours are recognised on a host."""
OWN_COMMENT_PREFIX = "netfw:"
"""How rules of ours are recognised on a host."""
MAX_CHAIN_NAME = 28
"""Longest chain name in bytes (XT_EXTENSION_MAXNAMELEN - 1, linux/netfilter/x_tables.h)."""
MAX_INTERFACE_NAME = 15
"""Longest interface name in bytes (IFNAMSIZ - 1, linux/if.h)."""
MAX_COMMENT = 255
"""Longest rule comment in bytes (XT_MAX_COMMENT_LEN - 1, linux/netfilter/xt_comment.h)."""
MAX_LOG_PREFIX = 29
"""Longest LOG prefix in bytes (linux/netfilter/xt_LOG.h: char prefix[30])."""
MAX_NFLOG_PREFIX = 63
"""Longest NFLOG prefix in bytes (linux/netfilter/xt_NFLOG.h: char prefix[64])."""
MAX_SET_NAME = 31
"""Longest ipset name in bytes (IPSET_MAXNAMELEN - 1, linux/netfilter/ipset/ip_set.h)."""


class Family(Enum):
    """An IP family, by its version number."""

    IPV4 = 4
    IPV6 = 6

    # every network hashes its family, and the hash of Enum is one of its name
    __hash__ = object.__hash__

    def __init__(self, version: int) -> None:
        # no property: it is asked for with every address
        self.bits = 32 if version == 4 else 128
        """The length of an address in bits: 32 or 128."""

    def __str__(self) -> str:
        return f"IPv{self.value}"


class Backend(Enum):
    """Which of the kernel's two implementations of iptables holds the rules."""

    NFT = "nft"
    """nf_tables, behind ``iptables-nft``."""
    LEGACY = "legacy"
    """x_tables, behind ``iptables-legacy``."""

    def __str__(self) -> str:
        return self.value


class TableName(Enum):
    """The five tables of iptables. Their order is not here but in ``traverse/``."""

    RAW = "raw"
    MANGLE = "mangle"
    NAT = "nat"
    FILTER = "filter"
    SECURITY = "security"

    def __str__(self) -> str:
        return self.value


class Hook(Enum):
    """The five hooks of the IP layer; each is also the name of a table's built-in chain."""

    PREROUTING = "PREROUTING"
    INPUT = "INPUT"
    FORWARD = "FORWARD"
    OUTPUT = "OUTPUT"
    POSTROUTING = "POSTROUTING"

    def __str__(self) -> str:
        return self.value


BUILTIN_CHAINS: dict[TableName, tuple[Hook, ...]] = {
    TableName.RAW: (Hook.PREROUTING, Hook.OUTPUT),
    TableName.MANGLE: tuple(Hook),
    TableName.NAT: (Hook.PREROUTING, Hook.INPUT, Hook.OUTPUT, Hook.POSTROUTING),
    TableName.FILTER: (Hook.INPUT, Hook.FORWARD, Hook.OUTPUT),
    TableName.SECURITY: (Hook.INPUT, Hook.FORWARD, Hook.OUTPUT),
}
"""Which built-in chains a table has, as iptables-save lists them
(valid_hooks in net/ipv4/netfilter/iptable_*.c; how packets pass them is in ``traverse/``)."""


class ChainPolicy(Enum):
    """The verdict of a built-in chain when no rule decides."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"

    def __str__(self) -> str:
        return self.value
