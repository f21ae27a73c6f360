"""Rules and sets tried out in namespaces that are thrown away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from netfw.compiler.source_map import SourceMap
from netfw.errors import NetfwBug
from netfw.host.iptables import restore
from netfw.host.loader import placed, take
from netfw.host.namespace import Namespace
from netfw.host.own_host import read_own
from netfw.host.refused import RefusedError
from netfw.host.saved import Saved
from netfw.ir.names import Backend, Family
from netfw.plan.own import Own
from netfw.plan.plan import plan
from netfw.plan.step import LoadTable, Step, describe


def try_out(own: Own, backend: Backend, origins: SourceMap | None = None) -> Own:
    """Load all sets and tables into namespaces, and say how this host prints them.

    Routing and sysctls, which need the host's interfaces, are left out. Raises as ``take``: the
    rule that is at fault is named also where only the kernel refuses it. Raises NetfwBug where
    what is read back is not what was loaded.
    """
    # nobody's packets are here: the families need not wait for each other, and have a namespace
    # each, since in one they would (for the commit of nf_tables, and for the xtables lock)
    with ThreadPoolExecutor(thread_name_prefix="netfw-try-out") as pool:
        trials = [
            pool.submit(_Trial(own.of_family(family), family, backend, origins).run)
            for family in Family
        ]
    found = [trial.result() for trial in trials]
    return Own(
        {place: table for each in found for place, table in each.tables.items()},
        {name: ipset for each in found for name, ipset in each.sets.items()},
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    """Of one family."""

    own: Own
    family: Family
    backend: Backend
    origins: SourceMap | None

    def run(self) -> Own:
        """What a namespace holds of it, once it is loaded."""
        steps = plan(Own(), self.own).steps
        if not steps:
            return Own()
        with Namespace("try-out") as scratch:
            for step in steps:
                self._take(step, scratch)
            saved = Saved(self.backend, scratch, families=(self.family,))
            found, _ = read_own(self.backend, scratch, self.own, saved)
        unlike = plan(found, self.own)
        if unlike.steps:
            lines = [
                f"{'+' if one.comes else '-'}{one.place}: {one.text}" for one in unlike.changes
            ]
            raise NetfwBug.at(
                describe(unlike.steps[0]),
                f"{self.backend} gives back other rules than were loaded: {'; '.join(lines[:4])}",
            )
        return found

    def _take(self, step: Step, scratch: Namespace) -> None:
        try:
            take(step, self.backend, scratch, origins=self.origins)
        except RefusedError as error:
            if error.line or not isinstance(step, LoadTable):
                raise
            line = _refused_rule(step, self.backend, scratch)
            raise placed(_with_line(error, line), step, self.origins) from None


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
