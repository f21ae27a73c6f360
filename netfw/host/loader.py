"""Taking one step of a plan on a host, or in a namespace."""

from __future__ import annotations

from typing import assert_never

from netfw.compiler.source_map import SourceMap
from netfw.errors import CapabilityError, ConflictError, HostError
from netfw.host.ipsets import load_sets
from netfw.host.iptables import WAIT, restore
from netfw.host.namespace import Namespace
from netfw.host.refused import RefusedError
from netfw.host.routing import load_routing
from netfw.host.sysctl import write_setting
from netfw.ir.names import Backend
from netfw.plan.change import identity_of
from netfw.plan.step import LoadRouting, LoadSets, LoadTable, Step, WriteSetting, describe


def take(
    step: Step,
    backend: Backend,
    namespace: Namespace | None = None,
    *,
    origins: SourceMap | None = None,
    wait: int = WAIT,
) -> None:
    """Take a step on this host, or in a namespace.

    A table changes whole or not at all; of sets and routing the lines before the one that is
    refused stay: look at what the host holds before you go on. ``origins`` leads from a refused
    rule to its place in the policy, ``wait`` is how many seconds somebody else may keep the
    xtables lock (1 or more).

    Raises RefusedError with what the kernel or a program said, and with the rule and its place,
    ConflictError where somebody else holds what is needed or has changed it in the meantime,
    CapabilityError where the host lacks something.
    """
    try:
        match step:
            case LoadSets():
                load_sets(namespace, step.text)
            case LoadTable():
                restore(namespace, backend, step.family, step.text, keep=True, wait=wait)
            case LoadRouting():
                load_routing(namespace, step.family, step.text)
            case WriteSetting():
                write_setting(step.name, step.value, namespace)
            case _:
                assert_never(step)
    except RefusedError as error:
        raise _conflict(error, step) or placed(error, step, origins) from None


def _conflict(error: RefusedError, step: Step) -> HostError | None:
    """Where a step was refused for what others did, or for who asks; None for other reasons."""
    place = describe(step)
    if "Operation not permitted" in str(error):
        return CapabilityError.at(place, "it may not be changed", "run as root")
    if not isinstance(step, LoadTable):
        return None
    command, _, rest = error.line.partition(" ")
    if command == "-X":
        return ConflictError.at(
            place,
            f"chain {rest} cannot be removed: a rule that is not netfw's leads to it",
            f"iptables-save and ip6tables-save show it: look for {rest}",
        )
    if command == "-D":
        return ConflictError.at(
            place,
            f"a rule is gone that was there a moment ago: {rest}",
            "somebody changes the rules at the same time: try again",
        )
    return None


def placed(error: RefusedError, step: Step, origins: SourceMap | None) -> RefusedError:
    """The same error at the place in the policy that the refused line comes from."""
    fault = error.faults[0]
    origin = origins.find(identity_of(error.line)) if origins is not None else None
    if origin is None:
        return RefusedError.of_line(describe(step), fault.problem, error.line, fault.hint)
    problem = f"rule '{origin.identity}' is refused ({describe(step)}): {fault.problem}"
    return RefusedError.of_line(str(origin.where), problem, error.line, fault.hint)
