"""What the iptables programs say when they fail, and which line of their input it is about."""

from __future__ import annotations

import os
import re

from netfw.errors import CapabilityError, HostError
from netfw.host.refused import RefusedError
from netfw.host.run import Completed
from netfw.ir.names import Backend, Family

_NOISE = re.compile(r"^(ip6?tables\S* v\S+ \(\w+\): )+|\s*Try `\S+ -h' or .* information\.$")
"""What the programs say with every error: their names and where to find help."""
_LINE = re.compile(r"\bline:? (\d+)")


def failure_of(done: Completed, backend: Backend, family: Family, text: str) -> HostError:
    """The error for a program that ended with another status than 0; ``text`` is what it was to
    load. RefusedError, and CapabilityError where this machine cannot do it at all."""
    said = _NOISE.sub("", " ".join(done.stderr.split())) or f"exit status {done.status}"
    lines = text.splitlines()
    refused = ""
    for number in map(int, _LINE.findall(said)):
        # a table is refused as a whole at its COMMIT: then the line says nothing
        if 0 < number <= len(lines) and lines[number - 1] != "COMMIT":
            refused = lines[number - 1]
            said += f"; line {number}: {refused}"
            break
    lacking = (
        "can't initialize",
        "unable to initialize",
        "Could not fetch rule set",
        "Protocol not supported",
        "Table does not exist",
        "Failed to initialize nft",
        "No such file or directory",
    )
    place = f"{backend} {family}"
    is_lacking = any(words in said for words in lacking)
    if "you must be root" in said or (
        os.geteuid() != 0 and (is_lacking or "Permission denied" in said)
    ):
        return CapabilityError.at(place, f"its rules may not be touched: {said}", "run as root")
    if is_lacking:
        return CapabilityError.at(
            place,
            f"this kernel cannot load the rules: {said}",
            "load the kernel's netfilter modules, or choose the other --backend",
        )
    return RefusedError.of_line(place, said, refused)
