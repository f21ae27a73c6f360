"""What is meant to become of a host, with all that is known before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netfw.apply.clear_away import tables_before
from netfw.apply.recorded import recorded_in, settings_before
from netfw.compiler.source_map import SourceMap
from netfw.errors import HostError
from netfw.host.base_chains import Place, base_chains
from netfw.host.own_host import read_own
from netfw.host.saved import Saved
from netfw.host.variant import Elsewhere, Variant, host_variant, read_elsewhere
from netfw.plan.entry import Entry
from netfw.plan.foreign import Foreign
from netfw.plan.own import Own
from netfw.plan.plan import Plan, plan, sets_asked
from netfw.plan.refusal import refusals


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants a host to hold.

    ``policy`` is the name of its file, empty for a removal; ``policy_hash`` the SHA-256 of its
    texts. ``why`` is theirs.
    """

    own: Own
    policy: str = ""
    policy_hash: str = ""
    origins: SourceMap = field(default_factory=SourceMap)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Intention:
    """The way from what a host holds now to what is wished.

    ``before`` are the values of sysctls before netfw first wrote them, ``tables_before`` the
    tables before it wrote in them, and ``held`` those in which it may have written. ``elsewhere``
    is what the backend holds that the host does not use.
    """

    wish: Wish
    variant: Variant
    now: Own
    foreign: Foreign
    elsewhere: Elsewhere
    before: Mapping[str, str]
    plan: Plan
    tables_before: Mapping[Place, tuple[str, ...]] = field(default_factory=dict)
    held: frozenset[Place] = frozenset()

    @property
    def is_done(self) -> bool:
        """Whether the host holds it already."""
        return not self.plan.steps and self.elsewhere.own.is_empty


class Glance:
    """A look at this host that has begun, for ``intend`` to end: until then there is time for
    other work. Raises as ``host_variant``."""

    def __init__(self) -> None:
        self.variant = host_variant()
        self.saved = Saved(self.variant.backend)


def intend(wish: Wish, history: Iterable[Entry] = (), glance: Glance | None = None) -> Intention:
    """Look at this host. ``history`` are the entries that may have left something on it, the
    oldest first. Raises as ``read_own``."""
    entries = list(history)
    looked = glance or Glance()
    variant = looked.variant
    before = settings_before(entries)
    recorded = recorded_in(entries)
    asked = Own(settings={**recorded.settings, **wish.own.settings})
    now, foreign = read_own(
        variant.backend,
        # of sets those that are wished: most of their members are there already
        recorded=Own(recorded.tables, wish.own.sets, recorded.routing, asked.settings),
        saved=looked.saved,
    )
    for name in wish.own.settings:
        if name in now.settings:
            before.setdefault(name, now.settings[name])
    elsewhere = read_elsewhere(variant)
    found = plan(now, wish.own, before, kept=sets_asked(elsewhere.own))
    return Intention(
        wish,
        variant,
        now,
        foreign,
        elsewhere,
        before,
        found,
        tables_before(base_chains(), now, entries),
        frozenset((*now.tables, *recorded.tables)),
    )


def refuse_if_others_need_it(intention: Intention) -> None:
    """Raise HostError with a fault for everything of others that the plan would break."""
    faults = [*refusals(intention.now, intention.wish.own, intention.foreign, intention.plan)]
    if faults:
        raise HostError.of(faults)
