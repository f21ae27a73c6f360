"""The lock file of a policy on this host."""

from __future__ import annotations

from pathlib import Path

from netfw.errors import HostError, PolicyError
from netfw.host.whole_file import write_whole
from netfw.ir.net import Net
from netfw.policy.library import MAX_FILE
from netfw.policy.lock import Locked, format_lock, parse_lock

SUFFIX = ".lock"
"""What the name of a policy's lock file ends in, behind the name of the policy."""


def lock_name(policy: str) -> str:
    """The lock file of a policy: beside it."""
    return policy.rstrip("/") + SUFFIX


def read_lock(name: str) -> dict[str, tuple[Net, ...]]:
    """What is locked; nothing where there is no such file. Raises PolicyError."""
    try:
        with Path(name).open("rb") as file:
            data = file.read(MAX_FILE)
        return parse_lock(data.decode("utf-8"), name)
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise PolicyError.at(name, "this is not a lock file of netfw") from None
    except OSError as error:
        raise PolicyError.at(name, f"cannot be read: {error.strerror}") from None


def write_lock(name: str, locked: Locked) -> None:
    """Write it whole or not at all; raises HostError."""
    path = Path(name)
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        write_whole(path, format_lock(locked), mode)
    except OSError as error:
        raise HostError.at(
            name,
            f"the lock file cannot be written: {error.strerror}",
            "give another one with --lock FILE",
        ) from None
