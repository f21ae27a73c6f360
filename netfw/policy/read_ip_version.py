"""Reads the criterion ``ip``."""

from __future__ import annotations

from netfw.ir.names import Family
from netfw.policy.faults import Faults
from netfw.policy.fields import read_word
from netfw.policy.ip_version import IpVersion
from netfw.policy.names import Names
from netfw.policy.negation import read_negation
from netfw.policy.source import Node

_FAMILIES = {"4": Family.IPV4, "6": Family.IPV6}


def read_ip_version(node: Node, names: Names, faults: Faults) -> IpVersion | None:
    """``4``, ``6``, or ``{not: 4}``; None where it is at fault."""
    inner, negate = read_negation(node, "ip", faults)
    word = None if inner is None else read_word(inner, "'ip'", faults)
    if word is None:
        return None
    family = _FAMILIES.get(word.text)
    if family is None:
        faults.add(word.where, f"'ip' cannot be '{word.text}'", "write 4 or 6")
        return None
    if negate:
        family = next(other for other in Family if other is not family)
    return IpVersion(family)
