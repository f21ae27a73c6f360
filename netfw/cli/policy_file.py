"""Reading a policy from a file, with one clear line for whatever is wrong with the file itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from netfw.errors import PolicyError

if TYPE_CHECKING:
    from netfw.policy.model import Policy


def read_policy(name: str) -> Policy:
    """The policy in a file, or on standard input for ``-``; raises PolicyError."""
    from netfw.policy.read import load

    if name == "-":
        return load(_decode(sys.stdin.buffer.read(), "<stdin>"), "<stdin>")
    try:
        data = Path(name).read_bytes()
    except FileNotFoundError:
        raise PolicyError.at(name, "there is no such file") from None
    except IsADirectoryError:
        raise PolicyError.at(name, "this is a directory, not a policy file") from None
    except OSError as error:
        raise PolicyError.at(name, f"cannot be read: {error.strerror}") from None
    return load(_decode(data, name), name)


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PolicyError.at(
            f"{name}:{line}",
            f"byte {data[error.start]:#04x} is not UTF-8",
            "save the policy as UTF-8 text",
        ) from None
