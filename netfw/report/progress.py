"""How far a verification is, on standard error."""

from __future__ import annotations

from typing import TextIO


class LineProgress:
    """Progress of runs: a counting line on a terminal, nothing elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shows = stream.isatty()
        self._label, self._total, self._done = "", 0, 0

    def started(self, label: str, total: int) -> None:
        """A run begins."""
        self._label, self._total, self._done = label, total, 0
        self._draw()

    def advanced(self, count: int) -> None:
        """So many more packets are compared."""
        self._done += count
        self._draw()

    def finished(self) -> None:
        """The run is over: its line goes away, the report will name it."""
        if self._shows:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw(self) -> None:
        if self._shows:
            self._stream.write(f"\r\x1b[K{self._label}: {self._done} of {self._total} packets")
            self._stream.flush()
