"""Sysctls of a network namespace, as files below /proc/sys."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from netfw.errors import CapabilityError, HostError
from netfw.host.namespace import Namespace, call_in

_ROOT = Path("/proc/sys")


def read_settings(names: Iterable[str], namespace: Namespace | None = None) -> dict[str, str]:
    """The values of sysctls (paths below /proc/sys); those that this kernel or host does not have
    are left out: there may be no such interface.

    Raises HostError for one that cannot be read.
    """
    wanted = tuple(names)

    def read() -> dict[str, str]:
        found = {}
        for name in wanted:
            try:
                found[name] = _path(name).read_text(encoding="ascii").strip()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise HostError.at(f"sysctl {name}", f"cannot be read: {error.strerror}") from None
        return found

    return call_in(namespace, read) if wanted else {}


def are_read_only(process: str) -> bool:
    """Whether a process (a number, or ``self``) sees a /proc/sys that is mounted read-only, as in
    many containers (statvfs(3)). Raises OSError."""
    return bool(os.statvfs(f"/proc/{process}/root/proc/sys").f_flag & os.ST_RDONLY)


def write_setting(name: str, value: str, namespace: Namespace | None = None) -> None:
    """Give a sysctl a value. Raises HostError where there is none, or where it does not take the
    value, CapabilityError where it may not be written."""

    def write() -> None:
        try:
            with _path(name).open("r+", encoding="ascii") as file:
                file.write(f"{value}\n")
        except PermissionError:
            raise CapabilityError.at(
                f"sysctl {name}", "it may not be written", "run as root"
            ) from None
        except FileNotFoundError:
            raise HostError.at(
                f"sysctl {name}", "this host has none of this name", "is the interface there?"
            ) from None
        except OSError as error:
            hint = ""
            if error.errno == errno.EROFS:
                hint = "/proc/sys is read-only in many containers: set it outside"
            problem = f"'{value}' cannot be written: {error.strerror}"
            raise HostError.at(f"sysctl {name}", problem, hint) from None

    call_in(namespace, write)


def _path(name: str) -> Path:
    if not name or name.startswith("/") or ".." in name.split("/"):
        raise HostError.at(f"sysctl {name}", "this is no path below /proc/sys")
    return _ROOT / name
