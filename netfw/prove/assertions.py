"""Assertions of a policy: whether they hold, for every packet that they describe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netfw.ir.match import ConnectionState
from netfw.ir.names import Family
from netfw.policy.assertion import Addresses, Assertion
from netfw.policy.endpoint import Direction
from netfw.policy.model import Policy
from netfw.prove.diagrams import within_memory
from netfw.prove.interfaces import Interfaces, patterns_of_policy
from netfw.prove.meaning import Meaning
from netfw.prove.packet_of import Example, example_of
from netfw.prove.path import PathKind, possible
from netfw.prove.policy_sets import PolicySets
from netfw.prove.space import Bdd, Field, Space
from netfw.prove.steer_sets import bits_of_policy


@dataclass(frozen=True, slots=True)
class Broken:
    """An assertion that does not hold, and a packet that shows it.

    ``found`` is what the policy says of the packet: allowed, denied or not covered.
    """

    assertion: Assertion
    family: Family
    kind: PathKind
    found: str
    example: Example
    exponent: float
    """How many such packets there are, as a power of two."""


def paths_of(assertion: Assertion) -> tuple[PathKind, ...]:
    """The paths of the packets that an assertion describes."""
    if assertion.to_host:
        return (PathKind.IN,)
    if assertion.from_host:
        return (PathKind.OUT,)
    found = [PathKind.FORWARD]
    if not assertion.outputs:
        found.append(PathKind.IN)
    if not assertion.inputs:
        found.append(PathKind.OUT)
    return tuple(found)


def described(sets: PolicySets, assertion: Assertion, kind: PathKind) -> Bdd:
    """The packets that an assertion describes on a path, as they arrive.

    What is allowed must be allowed to begin; what is denied must be denied in every state in which
    a packet belongs to nothing. What the defaults let through to and from this host (neighbour
    discovery, DHCP, path MTU) is not meant; failsafes are.
    """
    space = sets.space
    if kind not in paths_of(assertion) or space.family not in assertion.families:
        return space.false
    states = [ConnectionState.NEW]
    if not assertion.is_allowed:
        states += [ConnectionState.INVALID, ConnectionState.UNTRACKED]
    found = space.in_state(*states) & _on_path(space, kind) & possible(space)
    found &= ~space.flag(Field.FRAGMENT)
    if assertion.inputs:
        found &= sets.conditions.at_any(Field.IN_INTERFACE, assertion.inputs)
    if assertion.outputs:
        found &= sets.conditions.at_any(Field.OUT_INTERFACE, assertion.outputs)
    found &= space.any_of(sets.conditions.of_kind(traffic) for traffic in assertion.traffic)
    for side, addresses in (
        (Field.SOURCE, assertion.sources),
        (Field.DESTINATION, assertion.destinations),
    ):
        found &= _at_addresses(space, side, addresses.of_family(space.family))
    if kind is not PathKind.FORWARD:
        direction = Direction.INGRESS if kind is PathKind.IN else Direction.EGRESS
        found &= ~space.any_of(
            sets.conditions.of_conditions(grant.conditions(space.family))
            for grant in sets.policy.default_grants(direction)
        )
    return found


def _at_addresses(space: Space, side: Field, addresses: Addresses | None) -> Bdd:
    if addresses is None:
        return space.false
    if not addresses.nets:
        return space.true
    inside = space.any_of(space.in_net(side, net) for net in addresses.nets)
    return ~inside if addresses.negate else inside


def _on_path(space: Space, kind: PathKind) -> Bdd:
    comes_in = ~space.no_interface(Field.IN_INTERFACE)
    goes_out = ~space.no_interface(Field.OUT_INTERFACE)
    return {
        PathKind.IN: comes_in & ~goes_out,
        PathKind.OUT: ~comes_in & goes_out,
        PathKind.FORWARD: comes_in & goes_out,
    }[kind]


@within_memory()
def broken_assertions(policy: Policy) -> list[Broken]:
    """The assertions that do not hold by the policy's own meaning, in the order of the file."""
    if not policy.assertions:
        return []
    found: list[Broken] = []
    for family in Family:
        interfaces = Interfaces(patterns_of_policy(policy))
        space = Space(family, interfaces, *bits_of_policy(policy))
        sets = PolicySets(space, policy)
        for kind in PathKind:
            found += broken_on(sets, policy.assertions, kind, sets.meaning(kind))
    return sorted(found, key=lambda broken: policy.assertions.index(broken.assertion))


def broken_on(
    sets: PolicySets, assertions: Iterable[Assertion], kind: PathKind, meaning: Meaning
) -> list[Broken]:
    """The assertions that do not hold on a path, against what is done there."""
    space = sets.space
    denied = space.any_of([meaning.denied, *meaning.rejected.values()])
    found = []
    for assertion in assertions:
        those = described(sets, assertion, kind)
        wanted = meaning.allowed if assertion.is_allowed else denied
        wrong = those & ~wanted
        example = example_of(space, wrong)
        if example is None:
            continue
        outcome = "not covered: it is left to other rules of this host"
        if wrong & meaning.allowed != space.false:
            outcome, example = "allowed", example_of(space, wrong & meaning.allowed)
        elif wrong & denied != space.false:
            outcome, example = "denied", example_of(space, wrong & denied)
        assert example is not None
        found.append(
            Broken(assertion, space.family, kind, outcome, example, space.exponent(wrong))
        )
    return found
