"""A program or the kernel that did not take what it was given."""

from __future__ import annotations

from netfw.errors import HostError


class RefusedError(HostError):
    """What was loaded was refused; ``line`` is the line of it that is at fault, and empty where
    nobody says which one."""

    line: str = ""

    @classmethod
    def of_line(cls, place: str, problem: str, line: str, hint: str = "") -> RefusedError:
        """Make an error that knows the line; ``problem`` need not repeat it."""
        error = cls.at(place, problem, hint)
        error.line = line
        return error
