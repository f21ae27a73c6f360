"""Taking one step of a plan on a host, or all of them in a namespace that is thrown away."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import assert_never

from netfw.compiler.source_map import SourceMap
from netfw.errors import CapabilityError, ConflictError, HostError, NetfwBug
from netfw.host.ipsets import load_sets
from netfw.host.iptables import WAIT, restore
from netfw.host.namespace import Namespace
from netfw.host.own_host import read_own
from netfw.host.refused import RefusedError
from netfw.host.routing import load_routing
from netfw.host.sysctl import write_setting
from netfw.ir.names import Backend, Family
from netfw.plan.change import identity_of
from netfw.plan.own import Own
from netfw.plan.plan import plan
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
        raise _conflict(error, step) or _placed(error, step, origins) from None


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


def try_out(own: Own, backend: Backend, origins: SourceMap | None = None) -> Own:
    """Load all sets and tables into a scratch namespace, and say how this host prints them.

    Routing and sysctls, which need the host's interfaces, are left out. Raises as ``take``: the
    rule that is at fault is named also where only the kernel refuses it. Raises NetfwBug where
    what is read back is not what was loaded.
    """
    wanted = Own(own.tables, own.sets)
    with Namespace("try-out") as scratch:
        steps = plan(Own(), wanted).steps
        tables = [step for step in steps if isinstance(step, LoadTable)]
        how = (backend, scratch, origins)
        for step in steps:
            if not isinstance(step, LoadTable):
                take(step, backend, scratch, origins=origins)
        # nobody's packets are here: the families need not wait for each other
        with ThreadPoolExecutor(thread_name_prefix="netfw-try-out") as pool:
            loads = [
                pool.submit(_try_tables, [one for one in tables if one.family is family], *how)
                for family in Family
            ]
        for load in loads:
            load.result()
        found, _ = read_own(backend, scratch, wanted)
    unlike = plan(found, wanted)
    if unlike.steps:
        lines = [f"{'+' if one.comes else '-'}{one.place}: {one.text}" for one in unlike.changes]
        raise NetfwBug.at(
            describe(unlike.steps[0]),
            f"{backend} gives back other rules than were loaded: {'; '.join(lines[:4])}",
        )
    return found


def _try_tables(
    steps: Sequence[LoadTable], backend: Backend, scratch: Namespace, origins: SourceMap | None
) -> None:
    for step in steps:
        try:
            take(step, backend, scratch, origins=origins)
        except RefusedError as error:
            if error.line:
                raise
            line = _refused_rule(step, backend, scratch)
            raise _placed(_with_line(error, line), step, origins) from None


def _refused_rule(step: LoadTable, backend: Backend, scratch: Namespace) -> str:
    """The first rule that the kernel refuses, where it refused the table as a whole; empty where
    it is none of them."""
    lines = step.text.splitlines()
    rules = [line for line in lines if line.startswith("-")]
    head = [line for line in lines if line.startswith(("*", ":"))]

    def is_taken(count: int) -> bool:
        text = "".join(f"{line}\n" for line in (*head, *rules[:count], "COMMIT"))
        try:
            restore(scratch, backend, step.family, text)
        except RefusedError:
            return False
        return True

    good, bad = 0, len(rules)
    if not is_taken(good) or is_taken(bad):
        return ""
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if is_taken(middle) else (good, middle)
    return rules[bad - 1]


def _with_line(error: RefusedError, line: str) -> RefusedError:
    fault = error.faults[0]
    problem = f"{fault.problem}; {line}" if line else fault.problem
    return RefusedError.of_line(fault.place, problem, line, fault.hint)


def _placed(error: RefusedError, step: Step, origins: SourceMap | None) -> RefusedError:
    """The same error at the place in the policy that the refused line comes from."""
    fault = error.faults[0]
    origin = origins.find(identity_of(error.line)) if origins is not None else None
    if origin is None:
        return RefusedError.of_line(describe(step), fault.problem, error.line, fault.hint)
    problem = f"rule '{origin.identity}' is refused ({describe(step)}): {fault.problem}"
    return RefusedError.of_line(str(origin.where), problem, error.line, fault.hint)
