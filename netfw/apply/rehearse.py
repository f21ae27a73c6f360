"""A change tried in a twin of the host, on the real kernel, before the host itself is written.

The steps are taken there as they would be on the host, beside everything that others have. Then:
others' rules are as they were, the administrator's connection lives, assertions hold, and packets
go as the policy says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import unified_diff

from netfw.apply.rehearsal import Rehearsal, Topic
from netfw.apply.twin_probing import TwinProbing
from netfw.compiler.compiled import Compiled
from netfw.errors import HostError
from netfw.host.clock import read_clock
from netfw.host.live_namespace import LiveNamespace
from netfw.host.loader import take
from netfw.host.own_host import read_own
from netfw.host.twin import Twin
from netfw.host.twin_connection import TcpEnds, TwinConnection
from netfw.host.twin_others import read_others
from netfw.ir.names import Backend, Family
from netfw.plan.own import Own
from netfw.plan.plan import plan
from netfw.plan.step import Step, describe
from netfw.policy.model import Policy
from netfw.prove.diagrams import within_memory
from netfw.verify.result import Result

_LINES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Trial:
    """What is to be tried: what a host shall hold, and the policy that it comes from (None where
    an earlier state is brought back, or everything goes: no packet is judged by a policy then).

    ``recorded`` is what netfw has put on the host as far as it knows, ``before`` the values of
    sysctls before netfw wrote them, and ``connection`` that of whoever asks.
    """

    backend: Backend
    wanted: Own
    judged: tuple[Policy, Compiled] | None = None
    recorded: Own = field(default_factory=Own)
    before: Mapping[str, str] = field(default_factory=dict)
    connection: TcpEnds | None = None


def rehearse(trial: Trial, host: LiveNamespace) -> Rehearsal:
    """Try a change in a twin of a host. The host is only read.

    Raises HostError where it cannot be read, CapabilityError where no namespace can be made or a
    program is missing, and InconclusiveError where the proof that chooses packets takes too much
    memory.
    """
    subject = trial.judged[0].file if trial.judged is not None else "the change"
    rehearsal = Rehearsal(subject, trial.backend.value)
    settings = {*trial.wanted.settings, *trial.recorded.settings}
    with ExitStack() as stack:
        with _timed(rehearsal, "twin"):
            twin = stack.enter_context(Twin(host, settings))
        rehearsal.lacking = tuple(each.what for each in twin.lacking)
        connection = None
        if trial.connection is not None:
            connection = stack.enter_context(_Connection(twin, trial.connection))
            with _timed(rehearsal, "connection"):
                connection.open()
        clock = read_clock()
        with _timed(rehearsal, "packets"), within_memory():
            judged = [] if trial.judged is None else [trial.judged]
            probing = [
                TwinProbing(policy, compiled, twin, family, clock)
                for policy, compiled in judged
                for family in Family
            ]
        others = read_others(twin.view)
        with _timed(rehearsal, "change"):
            stands = _change(trial, twin, rehearsal)
        if not stands:
            return rehearsal
        _compare(others, read_others(twin.view), rehearsal)
        if connection is not None:
            with _timed(rehearsal, "connection"):
                connection.check(rehearsal)
        with _timed(rehearsal, "packets"):
            for each in probing:
                each.send()
        with _timed(rehearsal, "change"):
            is_gone = _take_away(trial, twin, others, rehearsal)
        with _timed(rehearsal, "packets"):
            for each in probing:
                if is_gone:
                    each.send_rivals()
                each.check(rehearsal)
    return rehearsal


def _change(trial: Trial, twin: Twin, rehearsal: Rehearsal) -> bool:
    """Take the steps; whether they stand."""
    wanted, backend, where = trial.wanted, trial.backend, twin.namespace
    recorded = Own(
        trial.recorded.tables,
        trial.recorded.sets,
        trial.recorded.routing,
        {**wanted.settings, **trial.recorded.settings},
    )
    now, _ = read_own(backend, where, recorded)
    steps = plan(now, wanted, trial.before).steps
    if not _take(steps, trial, twin, rehearsal, "step"):
        return False
    rehearsal.steps = len(steps)
    found, _ = read_own(backend, where, wanted)
    left = plan(found, wanted).changes
    if left:
        lines = [f"{'missing' if one.comes else 'too many'}: {one.text}" for one in left]
        reason = "; ".join(lines[:_LINES_SHOWN])
        rehearsal.add(Topic.CHANGE, "read back after all steps", Result.DIFFER, reason)
        return False
    what = f"{len(steps)} {'step' if len(steps) == 1 else 'steps'}, taken and read back"
    rehearsal.add(Topic.CHANGE, what, Result.AGREE)
    return True


def _take(
    steps: Sequence[Step], trial: Trial, twin: Twin, rehearsal: Rehearsal, what: str
) -> bool:
    """Take steps in the twin; whether all could be taken."""
    origins = None if trial.judged is None else trial.judged[1].source_map
    for number, step in enumerate(steps, start=1):
        try:
            take(step, trial.backend, twin.namespace, origins=origins)
        except HostError as error:
            said = "; ".join(f"{each.place}: {each.problem}" for each in error.faults)
            place = f"{what} {number} of {len(steps)}, {describe(step)}"
            rehearsal.add(Topic.CHANGE, place, Result.DIFFER, said)
            return False
    return True


def _take_away(
    trial: Trial, twin: Twin, others: Mapping[str, tuple[str, ...]], rehearsal: Rehearsal
) -> bool:
    """Take everything of ours away again, as a removal would; whether that is so then."""
    found, _ = read_own(trial.backend, twin.namespace, trial.wanted)
    steps = plan(found, Own(), trial.before).steps
    if not _take(steps, trial, twin, rehearsal, "taking it away again: step"):
        return False
    left = _unlike(others, read_others(twin.view))
    what = "taken away again, without a trace"
    reason = "; ".join(f"{name}: {said}" for name, said in left.items() if said)
    rehearsal.add(Topic.CHANGE, what, Result.DIFFER if reason else Result.AGREE, reason)
    return True


def _compare(
    before: Mapping[str, tuple[str, ...]],
    after: Mapping[str, tuple[str, ...]],
    rehearsal: Rehearsal,
) -> None:
    """Others' tables and sets are as they were, line by line."""
    for name, reason in _unlike(before, after).items():
        rehearsal.add(Topic.FOREIGN, name, Result.DIFFER if reason else Result.AGREE, reason)


def _unlike(
    before: Mapping[str, tuple[str, ...]], after: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    """What has changed, by what it belongs to; empty where nothing has."""
    found = {}
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name, ()), after.get(name, ())
        changed = [
            line
            for line in unified_diff(old, new, lineterm="", n=0)
            if not line.startswith(("---", "+++", "@@"))
        ]
        found[name] = "; ".join(changed[:_LINES_SHOWN])
    return found


class _Connection:
    """The connection of whoever asks for the change, from before it to behind it."""

    def __init__(self, twin: Twin, ends: TcpEnds) -> None:
        self._twin, self._ends = twin, ends
        self._through = TwinConnection(twin, ends)
        self._problem = ""
        self._problem_of_new = ""

    def __enter__(self) -> _Connection:
        self._through.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._through.__exit__()

    def open(self) -> None:
        """Open it, and try another one, as the host is now."""
        self._problem = self._through.open()
        self._problem_of_new = self._problem or self._through.begin_another()

    def check(self, rehearsal: Rehearsal) -> None:
        """Whether it lives, and whether another can be opened."""
        doubts = self._twin.doubts(self._ends.family, self._through.interface)
        for what, before, ask in (
            (f"the connection {self._ends}", self._problem, self._through.ask),
            (
                f"a new connection from {self._ends.client} to port {self._ends.server_port}",
                self._problem_of_new,
                self._through.begin_another,
            ),
        ):
            if doubts:
                reason = f"the twin lacks {'; '.join(doubts)}"
                rehearsal.add(Topic.CONNECTION, what, Result.INCONCLUSIVE, reason)
            elif before:
                reason = f"it cannot be opened before the change either: {before}"
                rehearsal.add(Topic.CONNECTION, what, Result.INCONCLUSIVE, reason)
            else:
                problem = ask()
                result = Result.DIFFER if problem else Result.AGREE
                rehearsal.add(Topic.CONNECTION, what, result, problem)


@contextmanager
def _timed(rehearsal: Rehearsal, part: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        spent = time.perf_counter() - began
        rehearsal.seconds[part] = rehearsal.seconds.get(part, 0.0) + spent
