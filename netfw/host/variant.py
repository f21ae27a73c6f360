"""Which backend a host's iptables is, and what is in the other one. Only looks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from netfw.errors import CapabilityError
from netfw.host.namespace import Namespace
from netfw.host.own_host import read_tables
from netfw.host.run import run
from netfw.host.saved_text import PREFIX
from netfw.ir.names import Backend, Family
from netfw.plan.own import Own

_VERSION = re.compile(r" v([\w.]+)(?: \((\w+)\))?")
_BACKENDS = {"nf_tables": Backend.NFT, "legacy": Backend.LEGACY}


@dataclass(frozen=True, slots=True)
class Variant:
    """What the programs without a suffix are; ``version`` is like ``1.8.9``."""

    backend: Backend
    version: str

    @property
    def other(self) -> Backend:
        """The backend that the host does not use by itself."""
        return Backend.LEGACY if self.backend is Backend.NFT else Backend.NFT


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the backend holds that is not the host's: ``own`` has rules of ours alone, and
    ``has_others`` says whether somebody else uses both."""

    own: Own
    has_others: bool


def host_variant() -> Variant:
    """What ``iptables --version`` and ``ip6tables --version`` say.

    Raises CapabilityError where they are missing, older than 1.8, or not of the same backend.
    """
    found = {name: _variant(name) for name in PREFIX.values()}
    if len({one.backend for one in found.values()}) > 1:
        said = ", ".join(f"{name} is {one.backend}" for name, one in found.items())
        raise CapabilityError.at(
            "iptables",
            f"the two families have different backends here: {said}",
            "make them the same (update-alternatives --config ip6tables), or choose a --backend",
        )
    return found[PREFIX[Family.IPV4]]


def read_elsewhere(variant: Variant, namespace: Namespace | None = None) -> Elsewhere:
    """What is in the backend that the host does not use. Raises as ``read_own``.

    Nothing where the kernel or the host has no such backend at all.
    """
    try:
        # sets are of both backends, and have been read with the host's own
        tables, foreign = read_tables(variant.other, namespace)
    except CapabilityError:
        return Elsewhere(Own(), has_others=False)
    return Elsewhere(Own(tables), foreign.has_rules)


def _variant(program: str) -> Variant:
    said = run([program, "--version"]).stdout
    found = _VERSION.search(said)
    if found is None or found[2] not in _BACKENDS:
        raise CapabilityError.at(
            program,
            f"its version says nothing of a backend: '{said.strip()}'",
            "netfw needs iptables 1.8 or newer",
        )
    return Variant(_BACKENDS[found[2]], found[1])
