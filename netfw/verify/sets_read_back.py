"""Sets as the kernel gives them back, compared with what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netfw.ir.ipset import IpSet, SetMember
from netfw.render.ipset import render_member

_KEPT = ("family", "maxelem", "counters", "comment")
"""Options that the kernel keeps as they are: hashsize grows, and initval is its own choice."""
_COUNTED = frozenset({"packets", "bytes"})


def unlike_sets(wanted: Iterable[IpSet], found: Mapping[str, IpSet]) -> list[str]:
    """What only one side has, a line for each; the order of members says nothing."""
    lines = []
    for ipset in wanted:
        other = found.get(ipset.name)
        if other is None:
            lines.append(f"-set {ipset.name}")
            continue
        if _shape(ipset) != _shape(other):
            lines.append(f"set {ipset.name}: {_shape(other)} instead of {_shape(ipset)}")
        ours, theirs = (set(map(_member, each.members)) for each in (ipset, other))
        lines += [f"-{ipset.name} {member}" for member in sorted(ours - theirs)]
        lines += [f"+{ipset.name} {member}" for member in sorted(theirs - ours)]
    return lines


def _shape(ipset: IpSet) -> str:
    options = dict(ipset.options)
    words = [f"{name} {options[name]}".rstrip() for name in _KEPT if name in options]
    return " ".join((ipset.kind, *words))


def _member(member: SetMember) -> str:
    """A member without its counters, and protocols as netfw spells them."""
    words = iter(member.extensions)
    kept = [
        f"{word} {value}" for word, value in zip(words, words, strict=True) if word not in _COUNTED
    ]
    plain = SetMember(member.parts, member.nomatch)
    return " ".join((render_member(plain), *kept))
