"""Checks that rules ask only for what is known where they judge."""

from __future__ import annotations

from collections.abc import Iterable

from netfw.ir.match import Way
from netfw.policy.connection_count import ConnectionCount
from netfw.policy.connection_states import ConnectionStates
from netfw.policy.criterion import Criterion
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.faults import Faults
from netfw.policy.foreign_mark import ForeignMark
from netfw.policy.hardware_sources import HardwareSources
from netfw.policy.model import Policy
from netfw.policy.owner import Owner
from netfw.policy.packet_rate import PacketRate
from netfw.policy.passage import Passage
from netfw.policy.rule import PolicyRule
from netfw.policy.tier import Acts


def check_criteria(policy: Policy, faults: Faults) -> None:
    """Note every criterion of a rule that cannot be known where the rule stands."""
    for entry in policy.endpoint_policies:
        for direction in (Direction.INGRESS, Direction.EGRESS):
            for rule in entry.rules(direction):
                _check(rule, direction, entry.at, entry.acts, policy.owned_bits, faults)
    for forward in policy.forward_policies:
        for rule in forward.rules:
            _check(rule, Direction.FORWARD, (), Acts.NORMAL, policy.owned_bits, faults)
    for steered in policy.steering.entries:
        for extra in steered.criteria.extras:
            problem = _of_steering(extra, from_host=steered.from_host) or _of_mark(
                extra, policy.owned_bits
            )
            if problem is not None:
                what, hint = problem
                faults.add(steered.origin.where, f"'{extra.KEY}' {what}", hint)


def _of_steering(extra: Criterion, *, from_host: bool) -> tuple[str, str] | None:
    """What is wrong with a criterion of an entry of ``steer``, and a hint."""
    match extra:
        case HardwareSources() if from_host:
            return (
                "with 'from: host': what this host sends came in no frame",
                "'mac' goes with what comes in",
            )
        case Owner() if not from_host:
            return (
                "for packets that this host does not send: nobody here owns them",
                "add 'from: host'",
            )
        case _:
            return None


def _check(
    rule: PolicyRule,
    direction: Direction,
    at: Iterable[Endpoint],
    acts: Acts,
    owned: int,
    faults: Faults,
) -> None:
    for extra in rule.criteria.extras:
        problem = (
            _of_direction(extra, direction, tuple(at))
            or _of_early(extra, direction, acts)
            or _of_mark(extra, owned)
        )
        if problem is not None:
            what, hint = problem
            faults.add(rule.origin.where, f"'{extra.KEY}' {what}", hint)


def _of_direction(
    extra: Criterion, direction: Direction, at: tuple[Endpoint, ...]
) -> tuple[str, str] | None:
    """What is wrong with a criterion in a list of rules, and a hint."""
    host = next((endpoint for endpoint in at if endpoint.is_host), None)
    workload = next((endpoint for endpoint in at if not endpoint.is_host), None)
    leaves = direction is Direction.EGRESS and host is not None
    match extra:
        case HardwareSources() if leaves:
            return (
                "in egress: what this host sends came in no frame",
                "'mac' goes with ingress, forward, and the egress of workloads",
            )
        case Owner() if direction is not Direction.EGRESS or workload is not None:
            return (
                "for packets that this host does not send: nobody here owns them",
                "'user' and 'group' go with the egress of host endpoints",
            )
        case Passage(way=Way.IN) if leaves:
            return (
                "in the egress of a host endpoint: what this host sends comes in nowhere",
                "leave it out",
            )
        case Passage(way=Way.OUT) if direction is Direction.INGRESS and host is not None:
            return (
                "in the ingress of a host endpoint: what this host takes leaves nowhere",
                "leave it out",
            )
        case _:
            return None


def _of_early(extra: Criterion, direction: Direction, acts: Acts) -> tuple[str, str] | None:
    if not acts.is_early:
        return None
    if acts is Acts.UNTRACKED and isinstance(extra, ConnectionStates):
        return (
            "in a policy that acts untracked: it judges before connections are known",
            "leave it out, or use 'acts: normal'",
        )
    if acts is Acts.UNTRACKED and isinstance(extra, ConnectionCount):
        return (
            "in a policy that acts untracked: it judges before connections are known",
            "ask for a 'rate', or use 'acts: pre-dnat'",
        )
    if acts is Acts.UNTRACKED and isinstance(extra, PacketRate) and direction is Direction.EGRESS:
        return (
            "in the egress of a policy that acts untracked: it would count answers",
            "limit what comes in",
        )
    return None


def _of_mark(extra: Criterion, owned: int) -> tuple[str, str] | None:
    if not isinstance(extra, ForeignMark) or not extra.mark.mask & owned:
        return None
    return (
        f"{extra.mark} asks for bits of netfw's own field {owned:#x}",
        "ask for bits that others set, or move the field with 'marks'",
    )
