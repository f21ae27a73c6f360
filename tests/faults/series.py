"""Many faults, one after the other, each on a host that has come through the ones before."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from netfw.ir.names import Backend
from tests.faults.fault import Fault
from tests.faults.faulty_host import FaultyHost
from tests.faults.kills import kills
from tests.faults.prober import Prober
from tests.faults.trial import Outcome, try_fault

_AT_ONCE = 20
"""Faults that one host goes through: its history then holds fewer entries than are kept, so that
each change makes the same system calls."""


@contextlib.contextmanager
def probed_host(
    backend: Backend, *, on_small_disk: bool = False
) -> Iterator[tuple[FaultyHost, Prober]]:
    """A host with a prober at work."""
    with (
        tempfile.TemporaryDirectory(prefix="netfw-faults-", ignore_cleanup_errors=True) as folder,
        FaultyHost(backend, Path(folder)) as host,
    ):
        if on_small_disk:
            host.put_on_small_disk()
        with Prober(host.box, host.world) as prober:
            yield host, prober


def all_kills(backend: Backend) -> list[Fault]:
    """Each moment of death once, in turn on the way there and back."""
    with probed_host(backend) as (host, _):
        there, back = kills(host), kills(host)
    found = [(there, back)[number % 2][number] for number in range(min(len(there), len(back)))]
    return [*found, *max(there, back, key=len)[len(found) :]]


def try_faults(
    backend: Backend, faults: Iterable[Fault], tell: Callable[[Outcome], None]
) -> list[Outcome]:
    """Put them into changes of hosts, and tell of each."""
    outcomes: list[Outcome] = []
    for needs_disk in (False, True):
        left = [fault for fault in faults if fault.needs_disk is needs_disk]
        while left:
            with probed_host(backend, on_small_disk=needs_disk) as (host, prober):
                for _ in range(min(_AT_ONCE, len(left))):
                    outcomes.append(try_fault(host, prober, left.pop(0)))
                    tell(outcomes[-1])
                    if outcomes[-1].problems:
                        break  # the next ones get a host that is as it should be
    return outcomes
