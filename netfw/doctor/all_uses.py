"""Everything on a host that reads or writes marks, of whatever system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from netfw.doctor.iptables_uses import iptables_uses
from netfw.doctor.nft_uses import nft_uses
from netfw.doctor.other_uses import other_uses

if TYPE_CHECKING:
    from netfw.doctor.host_state import HostState
    from netfw.doctor.mark_use import MarkUse


def all_uses(state: HostState) -> Iterator[MarkUse]:
    """Rules of both kinds first, then what is no rule."""
    for held in state.rules:
        yield from iptables_uses(held, state.sets, state.queues)
    yield from nft_uses(state.tables)
    yield from other_uses(state)
