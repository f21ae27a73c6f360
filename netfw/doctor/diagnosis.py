"""All findings of a host, the worst first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netfw.doctor.finding import Finding, Severity
from netfw.doctor.findings import FINDINGS
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Word
from netfw.doctor.observed import NotRead


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found on a host, for which codes it was looked, what could not be read, and in
    words what was not compared with each other."""

    host: str
    findings: tuple[Finding, ...]
    codes: tuple[str, ...]
    not_read: tuple[NotRead, ...] = ()
    not_compared: tuple[str, ...] = ()

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
    return Diagnosis(state.name, tuple(found), wanted, state.not_read, tuple(_left_out(state)))


def _left_out(state: HostState) -> Iterator[str]:
    """What stood for what: a fault that only one of many alike rules has may be missed."""
    for word in Word:
        for does, all_of, kinds in (
            ("write", state.writers(word), state.kinds_of_writers(word)),
            ("ask for", state.readers(word), state.kinds_of_readers(word)),
        ):
            left = len(all_of) - len(kinds)
            if left:
                yield (
                    f"{left:,} of {len(all_of):,} rules that {does} the {word}: they differ from "
                    "one that was in addresses, ports or the like alone"
                )
