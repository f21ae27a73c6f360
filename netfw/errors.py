"""Errors, sorted by who must act, and the exit codes they lead to. Imports nothing of netfw."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """What a netfw process tells its caller; documented in ``netfw/docs/design.md``."""

    OK = 0
    """All is well, or there was nothing to do."""
    DIFFERENCES = 1
    """There are differences, findings or mismatches."""
    USAGE = 2
    """The command line cannot be understood."""
    POLICY = 3
    """The policy is at fault; its author must act."""
    HOST = 4
    """This host lacks something, or the outcome is inconclusive."""
    ROLLED_BACK = 5
    """A change was undone."""
    BUG = 70
    """netfw itself is at fault."""


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a file; line and column count from 1, and 0 means the whole file (or line)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        text = self.file
        if self.line:
            text += f":{self.line}"
            if self.column:
                text += f":{self.column}"
        return text

    def seen_from(self, other: Where) -> str:
        """The place in a message about another one: ``line 3`` in the same file."""
        return f"line {self.line}" if self.line and self.file == other.file else str(self)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: printed as ``place: problem`` and, below it, ``hint: …``."""

    place: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.problem}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class NetfwError(Exception):
    """Any refusal of netfw: one or more faults, and the exit code for the process."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, *faults: Fault) -> None:
        if not faults:
            raise ValueError("an error needs at least one fault")
        super().__init__("\n".join(map(str, faults)))
        self.faults: tuple[Fault, ...] = faults

    @classmethod
    def at(cls, place: Where | str, problem: str, hint: str = "") -> Self:
        """Make an error with a single fault."""
        return cls(Fault(str(place), problem, hint))

    @classmethod
    def of(cls, faults: Iterable[Fault]) -> Self:
        """Make an error of faults that were collected on the way."""
        return cls(*faults)


class UsageError(NetfwError):
    """The command line is at fault."""

    exit_code = ExitCode.USAGE


class PolicyError(NetfwError):
    """The policy is at fault; its author must act."""

    exit_code = ExitCode.POLICY


class FactError(NetfwError):
    """This host, or a file from a host, says something that netfw does not understand."""

    exit_code = ExitCode.HOST


class HostError(NetfwError):
    """Something on this host failed."""

    exit_code = ExitCode.HOST


class CapabilityError(HostError):
    """The kernel, a program or a permission is missing; the fault names it."""


class ConflictError(HostError):
    """Somebody else holds what netfw needs."""


class InconclusiveError(HostError):
    """The evidence does not suffice to say yes or no."""


class NetfwBug(NetfwError):
    """netfw contradicts itself; please report it."""

    exit_code = ExitCode.BUG
