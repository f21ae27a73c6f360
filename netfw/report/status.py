"""How a host is, in lines and as plain data."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.plan.condition import Condition
from netfw.plan.count import Count
from netfw.policy.names import is_of_policy
from netfw.report.change import drift_data, drift_text
from netfw.report.glyphs import Glyphs

_MOST = 40
"""Lines of drift that are printed; the rest is counted."""


def status_lines(found: Condition, glyphs: Glyphs) -> Iterator[str]:
    """What is applied, what is under way, what was changed by hand, what was counted."""
    entry = found.entry
    if entry is None:
        yield f"{glyphs.good} nothing is applied to this host ({found.backend})"
    else:
        what = f"{entry.policy} ({entry.policy_hash[:12]})" if entry.policy else "nothing"
        why = f": {entry.why}" if entry.why else ""
        since = f"since {entry.time}, by {entry.who.user}"
        yield f"change {entry.number}: {what}, {found.backend}, {since}{why}"
    if found.unfinished:
        yield f"{glyphs.bad} {found.unfinished}"
    if found.undone:
        yield f"  {found.undone}"
    if found.elsewhere:
        yield f"{glyphs.bad} rules of netfw are in the backend that this host does not use"
        yield "  hint: 'netfw apply --repair' takes them away"
    if found.mixed:
        yield "  others use both backends: packets go through the rules of either"
    for line in found.late:
        yield f"  rules of others come first: {line}"
    for change in found.drift[:_MOST]:
        yield f"{glyphs.bad} {drift_text(change)}"
    if len(found.drift) > _MOST:
        yield f"  … and {len(found.drift) - _MOST} more"
    if found.drift:
        yield "  hint: 'netfw apply --repair' brings back what was applied"
    elif entry is not None:
        yield f"{glyphs.good} the host holds what was applied"
    for name, count in _by_rule(found).items():
        if is_of_policy(name):
            yield f"  {count.packets:>12} packets {count.octets:>15} bytes  {name}"


def status_data(found: Condition) -> dict[str, object]:
    """The same as plain data."""
    entry = found.entry
    return {
        "schema": 1,
        "well": found.is_well,
        "backend": found.backend.value,
        "change": None
        if entry is None
        else {
            "number": entry.number,
            "time": entry.time,
            "user": entry.who.user,
            "policy": entry.policy or None,
            "policy_hash": entry.policy_hash or None,
            "why": entry.why,
        },
        "unfinished": found.unfinished or None,
        "undone": found.undone or None,
        "elsewhere": found.elsewhere,
        "mixed": found.mixed,
        "late": list(found.late),
        "drift": [drift_data(change) for change in found.drift],
        "counters": {
            name: {"packets": count.packets, "bytes": count.octets}
            for name, count in _by_rule(found).items()
        },
    }


def _by_rule(found: Condition) -> dict[str, Count]:
    """Counts of both families, all tables and all sets together, by rule of the policy."""
    counts: dict[str, Count] = {}
    for counted in (*found.counts.rules.values(), *found.counts.members.values()):
        for name, count in counted.items():
            counts[name] = counts.get(name, Count()) + count
    return dict(sorted(counts.items()))
