"""The user and group that the files of this thread get, sockets among them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from netfw.errors import CapabilityError

_ASK = -1
"""No number of a user: setfsuid then changes nothing, and answers with the number that is set."""


@contextmanager
def file_owner(user: int, group: int) -> Iterator[None]:
    """Let this thread make files as a user and group (32 bits); raises CapabilityError.

    setfsuid(2) is of one thread alone, and takes only those privileges away that are about files.
    """
    if (user, group) == (0, 0):
        yield
        return
    library = ctypes.CDLL(None)
    ask = ctypes.c_uint32(_ASK)
    before = library.setfsuid(ask), library.setfsgid(ask)
    library.setfsgid(ctypes.c_uint32(group))
    library.setfsuid(ctypes.c_uint32(user))
    try:
        now = library.setfsuid(ask), library.setfsgid(ask)
        if now != (user, group):
            raise CapabilityError.at(
                f"user {user}, group {group}", "this process cannot make sockets of theirs"
            )
        yield
    finally:
        library.setfsuid(ctypes.c_uint32(before[0]))
        library.setfsgid(ctypes.c_uint32(before[1]))
