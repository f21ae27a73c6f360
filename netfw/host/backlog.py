"""Packets between two interfaces that the kernel has not come to yet, and those it gave up.

What is sent into a cable waits in a queue of the processor until the kernel has time for it, which
on a busy machine may be long after it was sent. The queue is short (net.core.netdev_max_backlog,
1,000 packets): what finds no room in it is dropped, and nobody is told.
Source: softnet_seq_show in net/core/net-procfs.c: column 2 counts what was dropped, column 12
(since Linux 5.10) is what is waiting. Both are of the whole machine.
"""

from __future__ import annotations

from pathlib import Path

_FILE = Path("/proc/net/softnet_stat")
_DROPPED, _WAITING = 1, 11


class Backlog:
    """The queues of all processors, from now on."""

    def __init__(self, path: Path = _FILE) -> None:
        self._path = path
        self._before = self._sum_of(_DROPPED)

    @property
    def waiting(self) -> int:
        """How many packets of this machine are waiting; 0 where the kernel does not tell."""
        return self._sum_of(_WAITING)

    @property
    def lost(self) -> str:
        """That packets were dropped, ours or others', and how many; empty where none were."""
        dropped = (self._sum_of(_DROPPED) - self._before) & 0xFFFFFFFF
        if not dropped:
            return ""
        return f"the kernel dropped {dropped} packets of this machine: its backlog was full"

    def _sum_of(self, column: int) -> int:
        lines = (line.split() for line in self._path.read_text(encoding="ascii").splitlines())
        return sum(int(words[column], 16) for words in lines if column < len(words))
