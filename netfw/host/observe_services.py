"""What services of the host do with routing rules and marks: systemd-networkd and IPVS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from netfw.doctor.observed import Networkd
from netfw.facts.networkd_conf import manages_foreign_rules
from netfw.facts.virtual_servers import parse_marked_services
from netfw.host.live_namespace import LiveNamespace

_COMM = "systemd-network"
"""The name of systemd-networkd, of which the kernel keeps 15 letters (TASK_COMM_LEN)."""
_FOLDERS = ("etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd")
"""Where configuration lies, what counts most first."""
_ENABLED = (
    "etc/systemd/system/dbus-org.freedesktop.network1.service",
    "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
)


def read_networkd(namespace: LiveNamespace, root: Path = Path("/")) -> Networkd | None:
    """systemd-networkd, where it runs in this namespace or is to start in it with the host; None
    where it does neither. ``root`` is where its files lie. Raises OSError."""
    inode = namespace.call(lambda: os.stat("/proc/thread-self/ns/net").st_ino)
    is_running = inode in set(_of_networkd())
    if not is_running and not (_is_init_s(inode) and _is_enabled(root)):
        return None
    files = tuple(_files(root))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files]
    return Networkd(
        is_running,
        manages_foreign_rules(texts),
        tuple(str(path) for path in files),
    )


def _of_networkd() -> Iterator[int]:
    """The namespaces of processes that are called so, as inodes."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if (folder / "comm").read_text(errors="replace").strip() == _COMM:
                yield os.stat(folder / "ns" / "net").st_ino
        except OSError:
            # it has ended meanwhile, or may not be looked at
            continue


def _is_init_s(inode: int) -> bool:
    try:
        return os.stat("/proc/1/ns/net").st_ino == inode
    except OSError:
        return False


def _is_enabled(root: Path) -> bool:
    return any(os.path.lexists(root / path) for path in _ENABLED)


def _files(root: Path) -> Iterator[Path]:
    """The configuration files that are read, in that order: the main one, then parts by name; of
    equal names that of the folder that counts most."""
    main = (root / folder / "networkd.conf" for folder in _FOLDERS)
    yield from [path for path in main if path.is_file()][:1]
    parts: dict[str, Path] = {}
    for folder in reversed(_FOLDERS):
        for path in (root / folder / "networkd.conf.d").glob("*.conf"):
            parts[path.name] = path
    for _, path in sorted(parts.items()):
        if path.is_file():
            yield path


def read_marked_services(namespace: LiveNamespace) -> tuple[int, ...]:
    """The marks of services of IPVS; none where the kernel has no IPVS. Raises FactError and
    OSError."""
    path = Path("/proc/thread-self/net/ip_vs")
    try:
        text = namespace.call(lambda: path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return ()
    return parse_marked_services(text)
