"""The files of a policy on this host."""

from __future__ import annotations

import glob
import itertools
import os
import stat
import sys
from collections.abc import Hashable
from pathlib import Path

from netfw.policy.library import MAX_FILE, MAX_FILES, LibraryFault

STDIN = "<stdin>"
"""The name of standard input; files that it includes are relative to the current folder."""
SUFFIX = ".yaml"
"""How the files in a folder that is a policy end."""


class PolicyFiles:
    """A library (see ``netfw.policy.library``) of files, of which only regular ones are read."""

    def identity_of(self, name: str) -> Hashable:
        """Device and inode; raises LibraryFault where there is no such regular file."""
        if name == STDIN:
            return STDIN
        try:
            status = os.stat(name)
        except (OSError, ValueError) as error:
            raise _fault(error) from None
        _check_kind(status)
        return status.st_dev, status.st_ino

    def text_of(self, name: str) -> str:
        """The text of a file; raises LibraryFault for what is not a UTF-8 text file of
        reasonable size, before all of it is read."""
        data = _read_stdin() if name == STDIN else _read_file(name)
        return _decode(data)

    def names_like(self, pattern: str) -> tuple[str, ...]:
        """Files by a pattern, sorted by name; hidden ones only where the pattern has the dot."""
        return tuple(sorted(itertools.islice(glob.iglob(pattern), MAX_FILES + 1)))


def files_of_folder(folder: str) -> tuple[str, ...]:
    """The files of a folder that is a policy, in order of name; raises LibraryFault.

    Hidden files are not part of it, and neither is what has another ending; ``.yml`` is refused,
    because whoever wrote it meant it to count.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise _fault(error) from None
    names = [name for name in names if not name.startswith(".")]
    for name in names:
        if name.endswith(".yml"):
            raise LibraryFault(
                f"'{name}' would not be read", f"the files of a policy end in {SUFFIX}: rename it"
            )
    found = tuple(str(Path(folder, name)) for name in names if name.endswith(SUFFIX))
    if not found:
        raise LibraryFault(f"this folder has no file that ends in {SUFFIX}")
    return found


def _check_kind(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise LibraryFault(
            "this is a directory, not a policy file", "name its files, as in 'sites/*.yaml'"
        )
    if not stat.S_ISREG(status.st_mode):
        raise LibraryFault(
            "this is a device, a pipe or a socket, not a file", "give '-' to read standard input"
        )
    if status.st_size > MAX_FILE:
        raise _too_large()


def _too_large() -> LibraryFault:
    return LibraryFault(
        f"this file is larger than {MAX_FILE >> 20} MiB",
        "a policy of 100,000 rules has about 10 MiB",
    )


def _read_file(name: str) -> bytes:
    try:
        # without blocking: between the look at it and now it may have become a pipe
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            _check_kind(os.fstat(descriptor))
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        raise _fault(error) from None
    if len(data) > MAX_FILE:
        raise _too_large()
    return data


def _read_stdin() -> bytes:
    data = sys.stdin.buffer.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise _too_large()
    return data


def _fault(error: OSError | ValueError) -> LibraryFault:
    if isinstance(error, FileNotFoundError):
        return LibraryFault("there is no such file")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return LibraryFault(f"cannot be read: {reason}")


def _decode(data: bytes) -> str:
    """UTF-8, with or without a byte order mark."""
    nul = data.find(b"\0")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LibraryFault(
            f"byte {data[error.start]:#04x} is not UTF-8",
            "save the policy as UTF-8 text",
            data.count(b"\n", 0, error.start) + 1,
        ) from None
    if nul >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise LibraryFault("byte 0x00 cannot be in a text file", "save it as UTF-8 text", line)
    return text
