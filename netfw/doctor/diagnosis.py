"""All findings of a host, the worst first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.findings import FINDINGS
from netfw.doctor.host_state import HostState
from netfw.doctor.observed import NotRead


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found on a host, for which codes it was looked, and what could not be read."""

    host: str
    findings: tuple[Finding, ...]
    codes: tuple[str, ...]
    not_read: tuple[NotRead, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many findings are of that severity."""
        return sum(finding.severity is severity for finding in self.findings)

    def fails(self, least: Severity) -> bool:
        """Whether there is a finding that is at least so bad."""
        return any(
            finding.severity is Severity.ERROR or least is Severity.WARNING
            for finding in self.findings
        )


def diagnose(state: HostState, codes: Iterable[str] = ()) -> Diagnosis:
    """Look for all kinds of findings, or for those of some codes. Raises KeyError for a code that
    there is not."""
    wanted = tuple(codes) or tuple(FINDINGS)
    found = [finding for code in wanted for finding in FINDINGS[code].find(state)]
    found.sort(key=lambda finding: finding.severity is not Severity.ERROR)
    return Diagnosis(state.name, tuple(found), wanted, state.not_read)
