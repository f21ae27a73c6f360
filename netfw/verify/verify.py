"""The verb: every backend and family, with a policy or for the documented order alone."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath

from netfw import __version__
from netfw.compiler.pipeline import compile_policy
from netfw.errors import CapabilityError
from netfw.host.capability import probe_backend
from netfw.host.clock import read_clock
from netfw.host.iptables import version
from netfw.ir.names import Backend, Family, TableName
from netfw.ir.ruleset import Ruleset
from netfw.policy.model import Policy
from netfw.verify.order_probes import order_layout, order_probes, order_ruleset
from netfw.verify.policy_probes import policy_layout, policy_probes
from netfw.verify.probe_writer import ProbeWriter
from netfw.verify.progress import NoProgress, Progress
from netfw.verify.proof_probes import ProofProbes
from netfw.verify.result import RulePlace, Run, Verification
from netfw.verify.session import Task, run_task


def verify(
    policy: Policy | None = None,
    *,
    backends: Sequence[Backend] = tuple(Backend),
    families: Sequence[Family] = tuple(Family),
    progress: Progress | None = None,
) -> Verification:
    """Show on this kernel that packets go as documented and as predicted.

    With a policy: its compiled rules, with probes for each rule, judged by the policy's own
    meaning too. Without: the documented order alone, in all scenarios, conntrack on and off.
    Whatever this machine cannot do is named in the result, which is then inconclusive.
    """
    subject = PurePath(policy.file).name if policy else "the documented order"
    found = Verification(subject, _host(backends))
    of_policy = None if policy is None else _PolicyTasks(policy)
    for backend in backends:
        for family in families:
            capability = probe_backend(backend, family)
            if not capability.can_trace:
                missing = capability.problem or capability.trace_problem
                found.runs.append(Run(subject, backend.value, family, missing=missing))
                continue
            lacking = frozenset(capability.missing_tables)
            tasks: Iterable[Task] = order_tasks(backend, family, lacking)
            if of_policy is not None:
                tasks = (of_policy.task(backend, family, lacking),)
            for task in tasks:
                found.runs.append(run_task(task, progress or NoProgress()))
    return found


def _lacking_notes(lacking: frozenset[TableName]) -> list[str]:
    return [f"this kernel has no table {table}" for table in TableName if table in lacking]


def order_tasks(
    backend: Backend, family: Family, lacking: frozenset[TableName] = frozenset()
) -> Iterator[Task]:
    """The documented order with connection tracking on, and with it off."""
    for conntrack in (True, False):
        layout = order_layout()
        ruleset = order_ruleset(family, conntrack=conntrack)
        tables = tuple(table for table in ruleset.tables if table.name not in lacking)
        yield Task(
            f"documented order, conntrack {'on' if conntrack else 'off'}",
            backend,
            family,
            Ruleset(family, tables),
            layout,
            order_probes(family, layout, conntrack=conntrack),
            notes=_lacking_notes(lacking),
            lacking=lacking,
        )


def policy_task(
    policy: Policy,
    backend: Backend,
    family: Family,
    lacking: frozenset[TableName] = frozenset(),
) -> Task:
    """A policy's compiled rules and the probes that the policy asks for."""
    return _PolicyTasks(policy).task(backend, family, lacking)


class _PolicyTasks:
    """A policy compiled once, with its probes written once for each family."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._clock = read_clock()
        self._compiled = compile_policy(policy)
        self._writers: dict[Family, ProbeWriter] = {}
        self._reachable: dict[Family, frozenset[RulePlace]] = {}

    def task(self, backend: Backend, family: Family, lacking: frozenset[TableName]) -> Task:
        writer = self._writers.get(family)
        if writer is None:
            layout = policy_layout(self._policy)
            writer = self._writers[family] = policy_probes(
                self._policy, family, layout, self._clock
            )
            proof = ProofProbes(writer, self._compiled.rulesets[family])
            proof.write()
            self._reachable[family] = frozenset(
                (place.table.value, place.chain, place.number) for place in proof.reachable
            )
        return Task(
            PurePath(self._policy.file).name,
            backend,
            family,
            self._compiled.rulesets[family],
            writer.layout,
            writer.probes,
            self._compiled.field,
            [*writer.left_out, *_lacking_notes(lacking)],
            lacking=lacking,
            reachable=self._reachable[family],
            clock=self._clock,
        )


def _host(backends: Sequence[Backend]) -> dict[str, str]:
    facts = {"netfw": __version__, "kernel": platform.release()}
    for backend in backends:
        try:
            facts[f"iptables ({backend})"] = version(backend).split()[1]
        except CapabilityError:
            facts[f"iptables ({backend})"] = "not installed"
    return facts
