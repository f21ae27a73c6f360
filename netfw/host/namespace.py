"""Network namespaces that nobody can forget to remove.

A namespace is held by a file descriptor of this process and by nothing else: no name under
``/run/netns``. When the process ends, however it ends, the kernel closes the descriptor and
removes the namespace with every link, rule and connection in it (namespaces(7)).
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from netfw.errors import CapabilityError, NetfwBug

_CLONE_NEWNET = 0x40000000
_HINTS = {
    errno.EPERM: "run as root (CAP_SYS_ADMIN is needed)",
    errno.EINVAL: "this kernel was built without network namespaces (CONFIG_NET_NS)",
    errno.ENOSPC: "the limit is the sysctl user.max_net_namespaces",
}
"""What unshare(2) and setns(2) say of these errors."""
_counter = itertools.count(1)
T = TypeVar("T")


class Namespace:
    """A network namespace of our own; a context manager.

    ``name`` is unique in this process and for display only. Raises CapabilityError where the
    kernel or the permissions do not allow a new namespace.
    """

    def __init__(self, purpose: str = "netns") -> None:
        self.name = f"netfw-{os.getpid()}-{next(_counter)}-{purpose}"
        self._host = _namespace_number("/proc/self/ns/net")
        self._fd = _in_thread(self._make)
        self._lock = os.memfd_create("xtables.lock", os.MFD_CLOEXEC)

    def _make(self) -> int:
        _syscall("unshare", _CLONE_NEWNET)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @property
    def path(self) -> str:
        """A path by which child processes can enter while we live (``nsenter --net=``)."""
        if self._fd < 0:
            raise NetfwBug.at(self.name, "this namespace has been closed")
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @property
    def descriptor(self) -> int:
        """The file descriptor that holds the namespace."""
        if self._fd < 0:
            raise NetfwBug.at(self.name, "this namespace has been closed")
        return self._fd

    @property
    def lock_path(self) -> str:
        """A lock file of this namespace alone, for XTABLES_LOCKFILE; gone when we are.

        The legacy programs lock one file for the whole machine, although the kernel keeps the
        tables apart: runs side by side would wait for each other, and for the machine's own
        firewall.
        """
        return f"/proc/{os.getpid()}/fd/{self._lock}"

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in a thread inside the namespace, and return what it returns.

        Sockets that it opens stay inside when they are handed out. The thread ends with the
        call, so this process never changes its own namespace.
        """

        def inside() -> T:
            _syscall("setns", self.descriptor, _CLONE_NEWNET)
            if _namespace_number("/proc/thread-self/ns/net") == self._host:
                raise NetfwBug.at(self.name, "still in the machine's own network namespace")
            return function()

        return _in_thread(inside)

    def close(self) -> None:
        """Let the namespace go; the kernel removes it once nothing else holds it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def call_in(namespace: Namespace | None, function: Callable[[], T]) -> T:
    """Run a function inside a namespace; None is the one that we are in."""
    return function() if namespace is None else namespace.call(function)


def _namespace_number(path: str) -> int:
    return os.stat(path).st_ino


def _syscall(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise CapabilityError.at(
            "network namespace", f"{name} failed: {os.strerror(number)}", _HINTS.get(number, "")
        )


def _in_thread(function: Callable[[], T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="netfw-namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
