"""The folder in which netfw keeps what it did to this host: who may change it, and how.

Nobody but its owner may write in it, as what is restored from it becomes the host's firewall.
Every file is written whole or not at all, sealed (``netfw.plan.sealed``), and for its owner alone.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from netfw.errors import CapabilityError, HostError
from netfw.host.whole_file import UNFINISHED, sync_folder, write_whole
from netfw.plan.entry import Entry
from netfw.plan.sealed import seal, unseal

VARIABLE = "NETFW_STATE"
"""The environment variable that names another folder."""
DEFAULT = "/var/lib/netfw"
HISTORY = "history"
"""The folder of the entries."""
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600


class StateFolder:
    """A state folder, which need not be there yet: it is made when something is to be changed.

    Raises HostError where others than root and this user may write in it, or it is no folder.
    ``read_entries`` are the entries of the history that have been read, by number: what was
    checked once is not asked of the disk again.
    """

    def __init__(self, path: Path | None = None) -> None:
        named = path or Path(os.environ.get(VARIABLE) or DEFAULT)
        self.path = Path(os.path.abspath(named))
        self.read_entries: dict[int, Entry] = {}
        for folder in (self.path, self.path / HISTORY):
            self._check(folder)

    def make(self) -> None:
        """Make the folder where it is missing, and let nobody else read it; raises HostError."""
        for folder in (self.path, self.path / HISTORY):
            try:
                folder.mkdir(mode=_FOLDER_MODE, parents=folder == self.path, exist_ok=True)
                if stat.S_IMODE(folder.stat().st_mode) != _FOLDER_MODE:
                    folder.chmod(_FOLDER_MODE)
            except OSError as error:
                raise refused(folder, "cannot be made", error) from None
            self._check(folder)

    def write(self, name: str, kind: str, content: object) -> None:
        """Write a file whole or not at all; raises HostError. The folder's lock is needed."""
        path = self.path / name
        try:
            write_whole(path, seal(kind, content), _FILE_MODE)
        except OSError as error:
            raise refused(path, "cannot be written", error) from None

    def read(self, name: str, kind: str) -> object | None:
        """What ``write`` wrote, or None where there is no such file; raises HostError."""
        path = self.path / name
        try:
            # whatever lies there: a pipe is not waited for, and a link not followed
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, encoding="utf-8", errors="surrogateescape", newline="") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise HostError.at(str(path), "this is no file", "netfw did not make it")
                text = file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refused(path, "cannot be read", error) from None
        return unseal(kind, text, str(path))

    def has(self, name: str) -> bool:
        """Whether there is a file; raises HostError where nobody can say."""
        path = self.path / name
        try:
            os.lstat(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise refused(path, "cannot be read", error) from None
        return True

    def rename(self, old: str, new: str) -> bool:
        """Give a file another name, in one step that only one of many callers can do; whether it
        was this one. Raises HostError."""
        path = self.path / old
        try:
            os.rename(path, self.path / new)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise refused(path, "cannot be renamed", error) from None
        self._sync(path.parent)
        return True

    def remove(self, name: str) -> None:
        """Remove a file, if it is there; raises HostError. The folder's lock is needed."""
        path = self.path / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise refused(path, "cannot be removed", error) from None
        self._sync(path.parent)

    def names(self, folder: str = ".") -> list[str]:
        """The files of a folder below, in no order; raises HostError."""
        path = self.path / folder
        try:
            return os.listdir(path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise refused(path, "cannot be read", error) from None

    def sweep(self, start: str = UNFINISHED) -> None:
        """Remove files whose names begin like this: what somebody was writing who was ended.

        Raises HostError. The folder's lock is needed.
        """
        for folder in (".", HISTORY):
            for name in self.names(folder):
                if name.startswith(start):
                    self.remove(f"{folder}/{name}")

    def _sync(self, path: Path) -> None:
        try:
            sync_folder(path)
        except OSError as error:
            raise refused(path, "cannot be brought to the disk", error) from None

    def _check(self, path: Path) -> None:
        try:
            found = path.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise refused(path, "cannot be read", error) from None
        hint = f"look at what it holds; then: chown root: {path} && chmod 700 {path}"
        if not stat.S_ISDIR(found.st_mode):
            raise HostError.at(str(path), "this is no folder", f"{VARIABLE} names another one")
        if found.st_uid not in (0, os.geteuid()):
            raise HostError.at(
                str(path), f"this folder belongs to user {found.st_uid}, who may change it", hint
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = stat.S_IMODE(found.st_mode)
            raise HostError.at(str(path), f"others may write in this folder (mode {mode:o})", hint)


_HINTS = {
    errno.EROFS: f"mount it for writing, or name another folder with {VARIABLE}",
    errno.ENOSPC: "make some room there",
    errno.EDQUOT: "make some room there",
    errno.ENOTDIR: f"{VARIABLE} names another folder",
}


def refused(path: Path, problem: str, error: OSError) -> HostError:
    """What the system said, and what to do."""
    said = f"{problem}: {error.strerror}"
    if error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0:
        return CapabilityError.at(str(path), said, "run as root")
    return HostError.at(str(path), said, _HINTS.get(error.errno or 0, ""))
