"""Trees of files as an archive that a kernel unpacks when it boots (cpio, format newc).

Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux. Archives that follow
each other are unpacked one over the other.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

_END = "TRAILER!!!"


class Cpio:
    """Writes one archive; folders are made before what they hold, and each name once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._names: set[str] = set()

    def _entry(
        self, name: str, mode: int, content: bytes = b"", time: int = 0, device: int = 0
    ) -> None:
        words = (
            *(0 if name == _END else len(self._names) + 1, mode, 0, 0, 1, time, len(content)),
            *(0, 0, os.major(device), os.minor(device), len(name.encode()) + 1, 0),
        )
        header = b"070701" + b"".join(b"%08X" % word for word in words)
        head = header + name.encode() + b"\0"
        self._file.write(head + b"\0" * (-len(head) % 4))
        self._file.write(content + b"\0" * (-len(content) % 4))

    def _folders_of(self, name: str) -> None:
        parent = os.path.dirname(name)
        if parent and parent not in self._names:
            self.folder(parent)

    def has(self, name: str) -> bool:
        """Whether there is such a name already."""
        return name in self._names

    def folder(self, name: str, mode: int = 0o755) -> None:
        """A folder, if there is no such name yet."""
        if name in self._names:
            return
        self._folders_of(name)
        self._names.add(name)
        self._entry(name, stat.S_IFDIR | mode)

    def link(self, name: str, target: str) -> None:
        """A symbolic link, if there is no such name yet."""
        if name in self._names:
            return
        self._folders_of(name)
        self._names.add(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def file(self, name: str, content: bytes, mode: int = 0o644, time: int = 0) -> None:
        """A file, if there is no such name yet."""
        if name in self._names:
            return
        self._folders_of(name)
        self._names.add(name)
        self._entry(name, stat.S_IFREG | mode, content, time)

    def device(self, name: str, major: int, minor: int) -> None:
        """A character device."""
        self._folders_of(name)
        self._names.add(name)
        self._entry(name, stat.S_IFCHR | 0o600, device=os.makedev(major, minor))

    def copy(self, source: Path, name: str) -> None:
        """A file, folder or link of this machine; anything else is passed over."""
        found = source.lstat()
        if stat.S_ISLNK(found.st_mode):
            self.link(name, os.readlink(source))
        elif stat.S_ISDIR(found.st_mode):
            self.folder(name, stat.S_IMODE(found.st_mode))
        elif stat.S_ISREG(found.st_mode):
            mode = stat.S_IMODE(found.st_mode)
            self.file(name, source.read_bytes(), mode, int(found.st_mtime))

    def tree(self, source: Path, prefix: str = "") -> None:
        """A folder with all that is in it."""
        for place, folders, files in os.walk(source):
            folders.sort()
            for name in sorted([*folders, *files]):
                path = Path(place, name)
                self.copy(path, str(Path(prefix) / path.relative_to(source)))

    def end(self) -> None:
        """Write the end of the archive."""
        self._entry(_END, 0)
