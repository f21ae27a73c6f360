"""Sets as the kernel gives them back, compared with what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netfw.ir.ipset import IpSet
from netfw.plan.set_text import member_of, shape_of


def unlike_sets(wanted: Iterable[IpSet], found: Mapping[str, IpSet]) -> list[str]:
    """What only one side has, a line for each; the order of members says nothing."""
    lines = []
    for ipset in wanted:
        other = found.get(ipset.name)
        if other is None:
            lines.append(f"-set {ipset.name}")
            continue
        if shape_of(ipset) != shape_of(other):
            lines.append(f"set {ipset.name}: {shape_of(other)} instead of {shape_of(ipset)}")
        ours, theirs = (set(map(member_of, each.members)) for each in (ipset, other))
        lines += [f"-{ipset.name} {member}" for member in sorted(ours - theirs)]
        lines += [f"+{ipset.name} {member}" for member in sorted(theirs - ours)]
    return lines
