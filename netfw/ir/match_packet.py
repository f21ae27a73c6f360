"""Matches on a packet's mark, on sets and kinds of addresses; comments."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.ir.mark import MaskedWord


@dataclass(frozen=True, slots=True)
class MarkMatch:
    """``-m mark --mark``: the packet's mark."""

    mark: MaskedWord
    negate: bool = False


@dataclass(frozen=True, slots=True)
class SetMatch:
    """``-m set --match-set NAME src,dst``; ``options`` are further words, verbatim."""

    name: str
    directions: tuple[str, ...]
    negate: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddrtypeMatch:
    """``-m addrtype``: kinds of addresses such as LOCAL, BROADCAST, MULTICAST, UNICAST.

    ``limit_interface`` is ``in``, ``out`` or None.
    """

    source: frozenset[str] = frozenset()
    destination: frozenset[str] = frozenset()
    source_negate: bool = False
    destination_negate: bool = False
    limit_interface: str | None = None


@dataclass(frozen=True, slots=True)
class CommentMatch:
    """``-m comment``: always true; up to 255 bytes."""

    text: str
