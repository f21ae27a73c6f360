"""The sysctls that a policy needs and a host has to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netfw.ir.routing import Setting


def settings_of(
    settings: Iterable[Setting], now: Mapping[str, str], written: Iterable[str] = ()
) -> dict[str, str]:
    """Values by name, for ``Own.settings``.

    ``now`` are the values that the host has; what it does not have (there is no such interface)
    is left out, and so is what is right already, unless it is right because netfw wrote it:
    ``written`` are the names of those.
    """
    ours = frozenset(written)
    found = {}
    for setting in settings:
        value = now.get(setting.name)
        if value is None:
            continue
        is_right = value in map(str, setting.values)
        if not is_right:
            found[setting.name] = str(setting.values[0])
        elif setting.name in ours:
            found[setting.name] = value
    return found
