"""Named differences between kernels: what some of them say or do otherwise.

The order of tables and hooks has been the same on every kernel that was tried; these are
differences in what a kernel reports, or lacks. Each is met by reading what is meant, never by
comparing less.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KernelRefinement:
    """A named way in which kernels differ from each other.

    ``seen_on`` are the kernels that showed it, ``absent_on`` those that were asked and did not.
    ``source`` is where the kernel says so.
    """

    name: str
    reason: str
    source: str
    seen_on: str
    absent_on: str


NFT_RETURN_EVENTS = KernelRefinement(
    "nft-return-events",
    "the end of a chain and a rule that returns are reported as events of the kind return, where "
    "newer kernels report a rule: with the same handle, verdict and mark, and as often",
    "nft_do_chain in nf_tables_core.c: NFT_TRACETYPE_RETURN",
    seen_on="5.10, 6.1",
    absent_on="6.12 and newer",
)

DCCP_WITHOUT_PORTS = KernelRefinement(
    "dccp-without-ports",
    "a connection of DCCP has no ports: everything between two addresses is one connection, and "
    "nat is passed by its first packet alone",
    "the removal of nf_conntrack_proto_dccp.c",
    seen_on="6.18, 7.3",
    absent_on="5.10, 6.1, 6.12",
)

UDPLITE_LIKE_ANY_OTHER = KernelRefinement(
    "udplite-like-any-other",
    "connection tracking looks at no checksum of UDP-Lite that comes in: none is INVALID for it",
    "udplite_error in nf_conntrack_proto_udp.c, gone with UDP-Lite",
    seen_on="7.3",
    absent_on="5.10, 6.1, 6.18",
)

KERNEL_REFINEMENTS: tuple[KernelRefinement, ...] = (
    NFT_RETURN_EVENTS,
    DCCP_WITHOUT_PORTS,
    UDPLITE_LIKE_ANY_OTHER,
)
"""All of them."""
