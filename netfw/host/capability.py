"""What this machine's kernel and programs can do, found out by trying."""

from __future__ import annotations

from dataclasses import dataclass

from netfw.errors import CapabilityError, HostError
from netfw.host.iptables import restore, version
from netfw.host.namespace import Namespace
from netfw.host.trace import TraceReader
from netfw.ir.names import Backend, Family, TableName


@dataclass(frozen=True, slots=True)
class Capability:
    """What a backend can do for a family; an empty text means that nothing is in the way.

    ``version`` is what the program says of itself, ``problem`` why no rule can be loaded,
    ``missing_tables`` what the kernel lacks, and ``trace_problem`` why packets cannot be traced.
    """

    backend: Backend
    family: Family
    version: str = ""
    problem: str = ""
    missing_tables: tuple[TableName, ...] = ()
    trace_problem: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether rules can be loaded."""
        return not self.problem

    @property
    def can_trace(self) -> bool:
        """Whether rules can be loaded and packets traced."""
        return not self.problem and not self.trace_problem


def probe_backend(backend: Backend, family: Family) -> Capability:
    """Load every table, a TRACE rule and a trace reader in a namespace of our own.

    The machine's own rules are not looked at. Raises CapabilityError only where no namespace can
    be made.
    """
    with Namespace("probe") as namespace:
        try:
            found = version(backend)
        except HostError as error:
            return Capability(backend, family, problem=_first(error))
        missing = {}
        for table in TableName:
            try:
                restore(namespace, backend, family, f"*{table}\nCOMMIT\n")
            except HostError as error:
                missing[table] = _first(error)
        tables = tuple(missing)
        if len(missing) == len(TableName):
            return Capability(backend, family, found, missing[TableName.FILTER], tables)
        trace_problem = ""
        try:
            restore(namespace, backend, family, "*raw\n-A PREROUTING -j TRACE\nCOMMIT\n")
            TraceReader.open(namespace, backend, 0).close()
        except CapabilityError as error:
            trace_problem = _first(error)
        except HostError as error:
            trace_problem = f"no TRACE rule can be loaded ({_first(error)})"
        return Capability(backend, family, found, "", tables, trace_problem)


def _first(error: HostError) -> str:
    fault = error.faults[0]
    return f"{fault.place}: {fault.problem}"
