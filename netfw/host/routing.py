"""Routing rules and routes of a namespace, as ``ip`` takes them."""

from __future__ import annotations

from netfw.errors import HostError
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.names import Family


def load_routing(namespace: Namespace, family: Family, text: str) -> None:
    """Load lines for ``ip -batch``; raises HostError with what ``ip`` says."""
    if not text:
        return
    done = run(
        ["ip", f"-{family.value}", "-batch", "-"], stdin=text, namespace=namespace, check=False
    )
    if done.status != 0:
        said = " ".join(done.stderr.split()) or f"exit status {done.status}"
        raise HostError.at(f"{namespace.name}: ip -{family.value} -batch", said)
