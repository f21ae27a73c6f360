"""Which programs of eBPF see packets or sockets; what they do with marks nobody can say.

tc filters with a program are with the other filters of tc. Source: linux/bpf.h (BPF_PROG_QUERY).
Cgroups belong to no network namespace: their programs see sockets of all.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from netfw.doctor.observed import BpfProgram, Link, NotRead
from netfw.host.live_namespace import LiveNamespace

_CALLS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
"""The number of bpf(2)."""
_PROG_QUERY = 16
_ATTRIBUTES = 64
_COUNT = struct.Struct("=I")
_COUNT_AT = 24
_ON_LINKS = {46: "tcx ingress", 47: "tcx egress", 54: "netkit primary", 55: "netkit peer"}
_ON_CGROUPS = {
    0: "ingress packets",
    1: "egress packets",
    2: "new sockets",
    10: "connect (IPv4)",
    11: "connect (IPv6)",
    14: "sendmsg (IPv4)",
    15: "sendmsg (IPv6)",
}
_CGROUPS = Path("/sys/fs/cgroup")


def read_programs(
    namespace: LiveNamespace, links: Iterable[Link]
) -> tuple[tuple[BpfProgram, ...], tuple[NotRead, ...]]:
    """The programs at interfaces (tcx, netkit) and at the uppermost cgroups; where the kernel
    does not say, a line of why."""
    call = _CALLS.get(platform.machine())
    if call is None:
        return (), (
            NotRead("eBPF", f"netfw does not know the system call of {platform.machine()}"),
        )
    found: list[BpfProgram] = []
    try:
        found += namespace.call(lambda: list(_on_links(call, links)))
        found += _on_cgroups(call)
    except OSError as error:
        return tuple(found), (NotRead("eBPF", error.strerror or str(error)),)
    return tuple(found), ()


def _on_links(call: int, links: Iterable[Link]) -> Iterator[BpfProgram]:
    for link in links:
        for number, kind in _ON_LINKS.items():
            if _count(call, link.index, number):
                yield BpfProgram(f"{link.name} {kind}", "", kind)


def _on_cgroups(call: int) -> Iterator[BpfProgram]:
    if not _CGROUPS.is_dir():
        return
    for folder in (_CGROUPS, *sorted(each for each in _CGROUPS.iterdir() if each.is_dir())):
        try:
            opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            for number, kind in _ON_CGROUPS.items():
                if _count(call, opened, number):
                    name = "/" if folder == _CGROUPS else f"/{folder.name}"
                    yield BpfProgram(f"cgroup {name}", "", kind)
        finally:
            os.close(opened)


def _count(call: int, target: int, attach: int) -> int:
    """How many programs are attached; 0 where the target or the kernel knows no such place."""
    attributes = ctypes.create_string_buffer(_ATTRIBUTES)
    struct.pack_into("=II", attributes, 0, target, attach)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(call, _PROG_QUERY, attributes, _ATTRIBUTES) != 0:
        number = ctypes.get_errno()
        if number in (errno.EINVAL, errno.ENOENT, errno.ENODEV, errno.EBADF, errno.EOPNOTSUPP):
            return 0
        raise OSError(number, os.strerror(number))
    return int(_COUNT.unpack_from(attributes, _COUNT_AT)[0])
