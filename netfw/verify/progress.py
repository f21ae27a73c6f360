"""Told how far a verification is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Whoever shows progress; calls come in this order for each run."""

    def started(self, label: str, total: int) -> None:
        """A run of so many packets begins."""

    def advanced(self, count: int) -> None:
        """So many more packets have been compared."""

    def finished(self) -> None:
        """The run is over, however it ended."""


class NoProgress:
    """Shows nothing."""

    def started(self, label: str, total: int) -> None:
        """Nothing."""

    def advanced(self, count: int) -> None:
        """Nothing."""

    def finished(self) -> None:
        """Nothing."""
