"""Reads the criterion ``mac``."""

from __future__ import annotations

import re

from netfw.policy.faults import Faults
from netfw.policy.fields import read_words
from netfw.policy.hardware_sources import HardwareSources
from netfw.policy.names import Names
from netfw.policy.negation import read_negation
from netfw.policy.source import Node

_ADDRESS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")


def read_mac(node: Node, names: Names, faults: Faults) -> HardwareSources | None:
    """``00:16:3e:00:00:01``, a list of them, or ``{not: …}``; None where it is at fault."""
    inner, negate = read_negation(node, "mac", faults)
    if inner is None:
        return None
    found = set()
    for word in read_words(inner, "'mac'", faults):
        if _ADDRESS.fullmatch(word.text):
            found.add(int(word.text.replace(":", ""), 16))
        else:
            faults.add(
                word.where,
                f"'{word.text}' is not a hardware address",
                "write six bytes, like 00:16:3e:00:00:01",
            )
    return HardwareSources(frozenset(found), negate) if found else None
