"""Matches on what this host knows of a packet besides its headers: sockets, links, IPsec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from netfw.ir.form import (
    UINT8,
    UINT16,
    UINT32,
    Choice,
    Flag,
    HardwareAddress,
    Masked,
    Network,
    Number,
    Range,
    Span,
    Text,
)
from netfw.ir.mark import MaskedWord
from netfw.ir.names import MAX_INTERFACE_NAME, Family
from netfw.ir.net import Net
from netfw.ir.protocols import PROTOCOL_NAMES
from netfw.ir.spelling import Option, Spelled, SpelledMatch, Wanted

_ROOT = (("root", 0),)
"""The one user and group whose number is the same everywhere."""
_IPSEC_PROTOCOLS = ("esp", "ah", "ipcomp")


@dataclass(frozen=True, slots=True)
class MacMatch(SpelledMatch):
    """``-m mac``: the Ethernet source address, 48 bits."""

    MODULE: ClassVar = "mac"
    OPTIONS: ClassVar = (Option("--mac-source", "source", HardwareAddress(), negate="negate"),)
    source: int
    negate: bool = False


@dataclass(frozen=True, slots=True)
class PkttypeMatch(SpelledMatch):
    """``-m pkttype``: the link sent it to this host, to all, or to a group."""

    MODULE: ClassVar = "pkttype"
    OPTIONS: ClassVar = (
        Option(
            "--pkt-type",
            "kind",
            Choice(
                ("unicast", "broadcast", "multicast"),
                (("host", "unicast"), ("bcast", "broadcast"), ("mcast", "multicast")),
            ),
            negate="negate",
        ),
    )
    kind: str
    negate: bool = False


@dataclass(frozen=True, slots=True)
class OwnerMatch(SpelledMatch):
    """``-m owner``: who owns the socket that sent the packet: user and group numbers, 32 bits.

    ``supplementary``: any group of the process counts. A packet without a socket, such as a
    forwarded one, meets only negated conditions (owner_mt in net/netfilter/xt_owner.c).
    """

    MODULE: ClassVar = "owner"
    OPTIONS: ClassVar = (
        Option("--socket-exists", "exists", Flag(), wanted=True),
        Option("--uid-owner", "user", Span(UINT32 - 1, "-", names=_ROOT), wanted=True),
        Option("--gid-owner", "group", Span(UINT32 - 1, "-", names=_ROOT), wanted=True),
        Option("--suppl-groups", "supplementary", Flag()),
    )
    SOME_OF: ClassVar = ("exists", "user", "group")
    exists: Wanted[bool] | None = None
    user: Wanted[Range] | None = None
    group: Wanted[Range] | None = None
    supplementary: bool = False


@dataclass(frozen=True, slots=True)
class SocketMatch(SpelledMatch):
    """``-m socket``: there is a socket on this host that the packet would reach."""

    MODULE: ClassVar = "socket"
    OPTIONS: ClassVar = (
        Option("--transparent", "transparent", Flag()),
        Option("--nowildcard", "nowildcard", Flag()),
        Option("--restore-skmark", "restores_mark", Flag()),
    )
    transparent: bool = False
    nowildcard: bool = False
    restores_mark: bool = False


@dataclass(frozen=True, slots=True)
class CgroupMatch(SpelledMatch):
    """``-m cgroup``: the control group of the sending socket, by class (32 bits) or path."""

    MODULE: ClassVar = "cgroup"
    OPTIONS: ClassVar = (
        Option("--cgroup", "classid", Number(UINT32), negate="negate"),
        Option("--path", "path", Text(511, quoted=True), negate="negate"),
    )
    ONE_OF: ClassVar = (("classid", "path"),)
    classid: int | None = None
    path: str | None = None
    negate: bool = False


@dataclass(frozen=True, slots=True)
class CpuMatch(SpelledMatch):
    """``-m cpu``: the processor that handles the packet, 32 bits."""

    MODULE: ClassVar = "cpu"
    OPTIONS: ClassVar = (Option("--cpu", "cpu", Number(UINT32), negate="negate"),)
    cpu: int
    negate: bool = False


@dataclass(frozen=True, slots=True)
class RealmMatch(SpelledMatch):
    """``-m realm``: the routing realm of the packet's route, 32 bits."""

    MODULE: ClassVar = "realm"
    OPTIONS: ClassVar = (Option("--realm", "realm", Masked(), negate="negate"),)
    FAMILY: ClassVar = Family.IPV4
    realm: MaskedWord
    negate: bool = False


@dataclass(frozen=True, slots=True)
class RpfilterMatch(SpelledMatch):
    """``-m rpfilter``: the answer would leave by the interface that the packet came in by."""

    MODULE: ClassVar = "rpfilter"
    OPTIONS: ClassVar = (
        Option("--loose", "loose", Flag()),
        Option("--validmark", "uses_mark", Flag()),
        Option("--accept-local", "accepts_local", Flag()),
        Option("--invert", "negate", Flag()),
    )
    loose: bool = False
    uses_mark: bool = False
    accepts_local: bool = False
    negate: bool = False


@dataclass(frozen=True, slots=True)
class DevgroupMatch(SpelledMatch):
    """``-m devgroup``: the group of the interface, 32 bits under a mask."""

    MODULE: ClassVar = "devgroup"
    OPTIONS: ClassVar = (
        Option("--src-group", "source", Masked(), wanted=True),
        Option("--dst-group", "destination", Masked(), wanted=True),
    )
    SOME_OF: ClassVar = ("source", "destination")
    source: Wanted[MaskedWord] | None = None
    destination: Wanted[MaskedWord] | None = None


@dataclass(frozen=True, slots=True)
class PhysdevMatch(SpelledMatch):
    """``-m physdev``: the ports of a bridge that the packet comes in by and leaves by."""

    MODULE: ClassVar = "physdev"
    OPTIONS: ClassVar = (
        Option("--physdev-is-in", "is_in", Flag(), wanted=True),
        Option("--physdev-in", "in_name", Text(MAX_INTERFACE_NAME, bare=True), wanted=True),
        Option("--physdev-is-out", "is_out", Flag(), wanted=True),
        Option("--physdev-out", "out_name", Text(MAX_INTERFACE_NAME, bare=True), wanted=True),
        Option("--physdev-is-bridged", "is_bridged", Flag(), wanted=True),
    )
    SOME_OF: ClassVar = ("is_in", "in_name", "is_out", "out_name", "is_bridged")
    is_in: Wanted[bool] | None = None
    in_name: Wanted[str] | None = None
    is_out: Wanted[bool] | None = None
    out_name: Wanted[str] | None = None
    is_bridged: Wanted[bool] | None = None


@dataclass(frozen=True, slots=True)
class PolicyElement(Spelled):
    """One transformation that IPsec did or will do: identifiers of 32 bits, and the tunnel."""

    MODULE: ClassVar = "policy"
    OPTIONS: ClassVar = (
        Option("--reqid", "request", Number(UINT32), wanted=True),
        Option("--spi", "spi", Number(UINT32, digits=1), wanted=True),
        Option("--proto", "protocol", Choice(_IPSEC_PROTOCOLS), wanted=True),
        Option("--mode", "mode", Choice(("tunnel", "transport")), wanted=True),
        Option("--tunnel-dst", "tunnel_destination", Network(bare=True), wanted=True),
        Option("--tunnel-src", "tunnel_source", Network(bare=True), wanted=True),
    )
    request: Wanted[int] | None = None
    spi: Wanted[int] | None = None
    protocol: Wanted[str] | None = None
    mode: Wanted[str] | None = None
    tunnel_destination: Wanted[Net] | None = None
    tunnel_source: Wanted[Net] | None = None


@dataclass(frozen=True, slots=True)
class PolicyMatch(SpelledMatch):
    """``-m policy``: whether IPsec has dealt (dir in) or will deal (dir out) with the packet.

    ``strict``: all elements, in this order; else any one meets the only element given.
    """

    MODULE: ClassVar = "policy"
    OPTIONS: ClassVar = (
        Option("--dir", "direction", Choice(("in", "out"))),
        Option("--pol", "policy", Choice(("none", "ipsec"))),
        Option("--strict", "strict", Flag()),
    )
    MAX_ELEMENTS: ClassVar = 4
    """XT_POLICY_MAX_ELEM, linux/netfilter/xt_policy.h."""
    direction: str
    policy: str
    strict: bool = False
    elements: tuple[PolicyElement, ...] = ()


@dataclass(frozen=True, slots=True)
class IpvsMatch(SpelledMatch):
    """``-m ipvs``: the packet's connection is one that IPVS balances, and which."""

    MODULE: ClassVar = "ipvs"
    OPTIONS: ClassVar = (
        Option("--ipvs", "is_ipvs", Flag(), wanted=True),
        Option(
            "--vproto",
            "protocol",
            Number(UINT8, names=PROTOCOL_NAMES),
            wanted=True,
        ),
        Option("--vaddr", "address", Network(bare=True, keeps_host=True), wanted=True),
        Option("--vport", "port", Number(UINT16), wanted=True),
        Option("--vdir", "direction", Choice(("ORIGINAL", "REPLY"))),
        Option("--vmethod", "method", Choice(("GATE", "IPIP", "MASQ")), wanted=True),
        Option("--vportctl", "control_port", Number(UINT16), wanted=True),
    )
    SOME_OF: ClassVar = (
        "is_ipvs",
        "protocol",
        "address",
        "port",
        "direction",
        "method",
        "control_port",
    )
    is_ipvs: Wanted[bool] | None = None
    protocol: Wanted[int] | None = None
    address: Wanted[Net] | None = None
    port: Wanted[int] | None = None
    direction: str | None = None
    method: Wanted[str] | None = None
    control_port: Wanted[int] | None = None
