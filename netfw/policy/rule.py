"""One rule of a policy: what it does with which packets.

``PolicyRule.conditions(family)`` says which packets a rule is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.ir.names import Family
from netfw.ir.origin import Origin
from netfw.policy.conditions import Conditions
from netfw.policy.criteria import Criteria
from netfw.policy.passage import Passage
from netfw.policy.reject_kind import RejectKind

PREFIX_END = ": "
"""What stands between the prefix of a log line and the kernel's words."""


class Action(Enum):
    """What a rule does with the packets that it is about. All but LOG and COUNT decide."""

    ALLOW = "allow"
    DENY = "deny"
    REJECT = "reject"
    LOG = "log"
    COUNT = "count"
    """Nothing: the kernel counts the packets, and the next rule is asked."""
    PASS = "pass"
    """On to the next tier."""

    # every rule is looked up by its action, and the hash of Enum is one of its name
    __hash__ = object.__hash__

    @property
    def decides(self) -> bool:
        """Whether no later rule of the stage is asked."""
        return self not in (Action.LOG, Action.COUNT)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How a log rule writes: a prefix, and how many packets at most.

    ``group`` is the netlink group (0 to 65535) that gets a copy of the packet, whose reader writes
    it; None: the kernel writes a line itself. ``rate`` packets (1 or more) per ``unit`` (sec, min,
    hour or day); None means all of them.
    """

    prefix: str
    rate: int | None
    unit: str = "min"
    group: int | None = None

    @property
    def meaning(self) -> list[object]:
        """All of it as plain data."""
        group: list[object] = [] if self.group is None else [self.group]
        return [self.prefix, self.rate, self.unit, *group]


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of an ``ingress``, ``egress`` or ``forward`` list.

    ``criteria`` say which packets it is about. ``reject_kind`` is how a rejected packet is
    answered, None for a reset where it is TCP, and otherwise for an unreachable port.
    ``origin.identity`` is the stable name that the compiled rules carry in their comments.
    """

    action: Action
    criteria: Criteria
    origin: Origin
    log: LogSettings | None = None
    reject_kind: RejectKind | None = None

    @property
    def identity(self) -> str:
        """``policy/name`` or ``policy/action-hash``; unique in the file."""
        return self.origin.identity

    @property
    def is_absent(self) -> bool:
        """Whether it asks for endpoints that are not there, and so for no packet."""
        return any(
            isinstance(extra, Passage) and extra.is_absent for extra in self.criteria.extras
        )

    def conditions(self, family: Family) -> Conditions | None:
        """What the rule asks of packets of a family, or None if it is not about that family."""
        return self.criteria.of_family(family)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families whose packets this rule can be about; never empty in a valid policy."""
        return self.criteria.families
