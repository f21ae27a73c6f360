"""Network namespaces that are there already, the machine's own among them: only looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from netfw.errors import CapabilityError, UsageError
from netfw.host.namespace import Namespace

_NAMED = Path("/run/netns")
"""Where ``ip netns`` keeps names (NETNS_RUN_DIR of iproute2)."""
T = TypeVar("T")


class LiveNamespace(Namespace):
    """A namespace that somebody else made, held open while it is looked at; a context manager.

    ``named`` is a name of ``ip netns``, the number of a process, or a path; empty for the one
    that this process is in. Raises UsageError where there is none.
    """

    def __init__(self, named: str = "") -> None:
        path = _path_of(named)
        try:
            found = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            kind = os.readlink(f"/proc/self/fd/{found}")
        except FileNotFoundError:
            raise UsageError.at("--netns", f"there is no namespace '{named}'", _hint()) from None
        except PermissionError:
            raise CapabilityError.at(
                "--netns", f"namespace '{named}' may not be looked at", "run as root"
            ) from None
        except OSError as error:
            raise UsageError.at("--netns", f"'{named}': {error.strerror}") from None
        if not _is_network_namespace(found, kind):
            os.close(found)
            raise UsageError.at("--netns", f"'{named}' is no network namespace", _hint())
        self.name = named or "this host"
        self._fd = found
        self._lock = os.memfd_create("xtables.lock", os.MFD_CLOEXEC)
        self._host = -1
        self.is_own = os.fstat(found).st_ino == os.stat("/proc/self/ns/net").st_ino

    def __enter__(self) -> Self:
        return self

    def call(self, function: Callable[[], T]) -> T:
        """Run a function inside; in the namespace that we are in, that is here."""
        return function() if self.is_own else super().call(function)


def _path_of(named: str) -> Path:
    if not named:
        return Path("/proc/self/ns/net")
    if named.isascii() and named.isdigit():
        return Path("/proc", named, "ns", "net")
    if "/" in named:
        return Path(named)
    return _NAMED / named


def _is_network_namespace(descriptor: int, kind: str) -> bool:
    """nsfs says its kind where a namespace was opened under /proc; a bind mount says its path."""
    if kind.startswith("net:["):
        return True
    mounted = os.fstat(descriptor).st_dev == os.stat("/proc/self/ns/net").st_dev
    return mounted and _namespace_type(descriptor) == _CLONE_NEWNET


def _namespace_type(descriptor: int) -> int:
    import fcntl

    return fcntl.ioctl(descriptor, _NS_GET_NSTYPE)


_CLONE_NEWNET = 0x40000000
_NS_GET_NSTYPE = 0xB703
"""linux/nsfs.h: ``_IO(0xb7, 3)``, the CLONE_NEW* flag of a namespace."""


def _hint() -> str:
    names = sorted(entry.name for entry in _NAMED.iterdir()) if _NAMED.is_dir() else []
    known = f"'ip netns' knows {', '.join(names)}" if names else "'ip netns' knows none"
    return f"a name, the number of a process, or a path; {known}"
