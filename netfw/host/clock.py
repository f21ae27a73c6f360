"""The clock of this host, and the time zone that its kernel was told."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

from netfw.ir.clock import Clock


class _Zone(ctypes.Structure):
    """struct timezone, sys/time.h."""

    _fields_ = (("minutes_west", ctypes.c_int), ("dst_kind", ctypes.c_int))


def read_clock() -> Clock:
    """The time now; the zone is not known where the C library does not ask the kernel for it."""
    zone = _Zone()
    library = ctypes.CDLL(None, use_errno=True)
    # glibc answers 0 for the zone (since 2.31), so that the kernel itself is asked
    number = _GETTIMEOFDAY.get(_machine())
    if number is None or library.syscall(number, None, ctypes.byref(zone)) != 0:
        return Clock(int(time.time()), None)
    return Clock(int(time.time()), zone.minutes_west)


_GETTIMEOFDAY = {"x86_64": 96, "aarch64": 169}
"""The number of the system call (asm/unistd.h)."""


def _machine() -> str:
    import platform

    return platform.machine()


def since_boot() -> float:
    """Seconds since the machine started, sleep included: nobody can set them (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_name() -> str:
    """What the kernel calls this start of the machine, a UUID (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def utc_now() -> str:
    """The date and time now, as ``2026-01-31T12:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
