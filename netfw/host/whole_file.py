"""A file that is written whole or not at all, whenever the machine stops."""

from __future__ import annotations

import os
from pathlib import Path

UNFINISHED = ".new-"
"""What the names of files begin with that are being written, or were when somebody was ended."""


def write_whole(path: Path, text: str, mode: int) -> None:
    """Write a file in the place of the one that is there; raises OSError, and then leaves it.

    The text is on the disk when this returns, and so is the name.
    """
    # it brings much with it, and most commands write nothing
    import tempfile

    # the name is that of no other file, and cannot be too long where the path's own is not
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(made, mode)
        os.replace(made, path)
    except BaseException:
        os.unlink(made)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Bring names that were made, changed or removed in a folder to the disk; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
