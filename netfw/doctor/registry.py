"""Known software that uses marks: who may own a bit that is found on a host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

from netfw.ir.mark import MAX_MARK, check_word


class Style(Enum):
    """How a program uses the word."""

    BITS = "bits"
    """Bits that mean something each by itself."""
    FIELD = "field"
    """Several bits that are read together, through a mask."""
    RANGE = "range"
    """Numbers one behind the other, written and compared without a mask."""
    WHOLE = "whole"
    """One number, written and compared without a mask."""
    USER = "user"
    """The administrator chooses."""
    NONE = "none"
    """No mark at all."""


class MarkKind(Enum):
    """Where a mark is kept."""

    PACKET = "packet"
    SOCKET = "socket"
    """SO_MARK or a device's fwmark; the packets of the socket begin with it."""
    CONNECTION = "connection"
    XFRM = "xfrm"


@dataclass(frozen=True, slots=True)
class KnownMark:
    """A value that a program uses. ``mask`` holds the bits it calls its own."""

    value: int
    mask: int
    kind: MarkKind
    meaning: str

    @property
    def may_set(self) -> int:
        """The bits that are set on a packet that carries it; of a pool, any of its bits."""
        return self.value & self.mask


@dataclass(frozen=True, slots=True)
class Software:
    """A program or product. ``releases`` says which ones, where the layout has changed."""

    key: str
    name: str
    style: Style
    values: tuple[KnownMark, ...]
    releases: str = ""
    set_in: str = ""
    used_for: str = ""
    configurable: str = ""
    note: str = ""
    verified: str = ""
    sources: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name, with the releases that are meant."""
        return f"{self.name}, {self.releases}" if self.releases else self.name

    def may_set(self, kinds: frozenset[MarkKind]) -> int:
        """The bits that it can set on marks of these kinds."""
        bits = 0
        for one in self.values:
            if one.kind in kinds:
                bits |= one.may_set
        return bits


ON_PACKETS = frozenset({MarkKind.PACKET, MarkKind.SOCKET})
"""What a packet can carry: a socket's mark is its packets'."""


@cache
def load_registry() -> tuple[Software, ...]:
    """All known software, in the order of the file."""
    import yaml

    text = (files("netfw.doctor") / "registry.yaml").read_text(encoding="utf-8")
    return tuple(_software(entry) for entry in yaml.load(text, _loader())["software"])


def owners_of(value: int, mask: int, kind: MarkKind = MarkKind.PACKET) -> tuple[Software, ...]:
    """Who may have made a mark with this value under this mask; the likeliest come first.

    The likeliest are those that know this very value and mask, then those of the same value, then
    those in whose field it lies. Nobody owns a mark of 0: it is what every packet begins with.
    """
    kinds = ON_PACKETS if kind in ON_PACKETS else frozenset({kind})
    ranked = []
    for order, software in enumerate(load_registry()):
        ranks = [
            rank
            for known in software.values
            if known.kind in kinds and (rank := _rank(software, known, value, mask)) is not None
        ]
        if ranks:
            ranked.append((min(ranks), order, software))
    return tuple(software for _, _, software in sorted(ranked, key=lambda one: one[:2]))


def touching(bits: int, kind: MarkKind = MarkKind.PACKET) -> tuple[Software, ...]:
    """Who can set one of these bits."""
    kinds = ON_PACKETS if kind in ON_PACKETS else frozenset({kind})
    return tuple(one for one in load_registry() if one.may_set(kinds) & bits)


def _rank(software: Software, known: KnownMark, value: int, mask: int) -> int | None:
    if not value & mask:
        return None
    if (known.value, known.mask) == (value, mask):
        return 0
    if known.value & known.mask == value & mask and known.mask & mask == mask:
        return 1
    has_field = software.style in (Style.BITS, Style.FIELD) and known.mask != MAX_MARK
    if has_field and value & mask & ~known.mask == 0:
        return 2 if mask & ~known.mask == 0 else 3
    return None


def _software(entry: Mapping[str, Any]) -> Software:
    return Software(
        key=entry["id"],
        name=entry["name"],
        style=Style(entry["style"]),
        values=tuple(
            KnownMark(
                check_word(one["value"]),
                check_word(one.get("mask", MAX_MARK)),
                MarkKind(one["kind"]),
                one["meaning"],
            )
            for one in entry.get("values", ())
        ),
        releases=entry.get("releases", ""),
        set_in=entry.get("set_in", ""),
        used_for=entry.get("used_for", ""),
        configurable=entry.get("configurable", ""),
        note=entry.get("note", ""),
        verified=entry["verified"],
        sources=tuple(entry["sources"]),
    )


def _loader() -> Any:  # noqa: ANN401 - which of the two PyYAML has is known at run time
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_CHAINS = (
    ("KUBE-NWPLCY", "kube-router"),
    ("KUBE-POD-FW", "kube-router"),
    ("KUBE-ROUTER", "kube-router"),
    ("KUBE-", "kube-proxy"),
    ("CILIUM_", "cilium"),
    ("OLD_CILIUM_", "cilium"),
    ("cali-", "calico"),
    ("WEAVE", "weave"),
    ("DOCKER", "docker"),
    ("CNI-", "cni"),
    ("NETAVARK", "netavark"),
    ("ts-", "tailscale"),
    ("NETBIRD-", "netbird"),
    ("nordvpn", "nordvpn"),
    ("AWS-", "aws"),
    ("ANTREA-", "antrea"),
    ("ISTIO_", "istio"),
    ("APPMESH_", "app mesh"),
    ("SM-GN-", "submariner"),
    ("AZURE-NPM", "azure"),
    ("mwan3_", "mwan3"),
    ("pbr_", "pbr"),
    ("FW_", "firewalla"),
    ("ufw", "ufw"),
    ("LIBVIRT_", "libvirt"),
    ("NETFW-", "netfw"),
    ("netfw", "netfw"),
)
"""What the names of chains begin with, by the word for the program; the longer ones first."""
_TABLES = ("wg-quick", "mullvad", "netbird", "sing-box", "calico", "tailscale", "aws-cni")
"""Native tables whose names say whose they are, or begin so."""


def software_of_chain(chain: str, table: str = "") -> str:
    """A word for the program that a chain belongs to; empty where the name does not tell."""
    name = table.rpartition(" ")[2] if " " in table else ""
    for word in _TABLES:
        if name.startswith(word):
            return word
    return next((word for prefix, word in _CHAINS if chain.startswith(prefix)), "")
