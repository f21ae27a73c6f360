"""Loading and saving rules with the iptables programs of both backends."""

from __future__ import annotations

from netfw.errors import ConflictError, HostError
from netfw.host.iptables_failure import failure_of
from netfw.host.namespace import Namespace
from netfw.host.nft_sets import tables_with_sets
from netfw.host.run import run
from netfw.host.saved_text import PREFIX, save_program
from netfw.host.xtables_lock import lock_holder
from netfw.ir.names import Backend, Family, TableName

_INCOMPATIBLE = "is incompatible, use 'nft' tool"
WAIT = 10
"""Seconds to wait for the legacy programs' lock, which is the namespace's own
(``Namespace.lock_path``) where the program knows XTABLES_LOCKFILE, and else the machine's."""
_LOADING = 300.0
"""Seconds that a program may need: a thousand times what ten thousand rules take."""
_BUSY = 4
"""RESOURCE_PROBLEM in include/xtables.h: the lock was not to be had."""


def restore(
    namespace: Namespace | None,
    backend: Backend,
    family: Family,
    text: str,
    *,
    keep: bool = False,
    wait: int = WAIT,
) -> None:
    """Load ``iptables-restore`` input; ``keep`` leaves what is not named in it (``--noflush``).

    Waits for the lock for ``wait`` seconds, 1 or more. Raises RefusedError with what the program
    said, ConflictError where somebody else keeps the lock, CapabilityError where this machine
    cannot.
    """
    argv = [f"{PREFIX[family]}-{backend}-restore", "-w", str(wait)]
    if keep:
        argv.append("--noflush")
    done = run(argv, stdin=text, namespace=namespace, check=False, timeout=wait + _LOADING)
    if done.status == _BUSY and "xtables lock" in done.stderr:
        holder = lock_holder(namespace.lock_path if namespace is not None else "")
        raise ConflictError.at(
            f"{backend} {family}",
            f"{holder or 'another program'} holds the xtables lock, for {wait} seconds by now",
            "try again when it has ended",
        )
    if done.status != 0:
        raise failure_of(done, backend, family, text)


def save(namespace: Namespace, backend: Backend, family: Family) -> str:
    """All rules of a backend and family, as ``iptables-save`` prints them.

    Raises HostError also where nft rules of others cannot be shown: the program then exits with
    0 and says so in a comment only, or, where rules use sets, says nothing.
    """
    done = run([save_program(backend, family)], namespace=namespace, check=False)
    if done.status != 0:
        raise failure_of(done, backend, family, "")
    by_others = set()
    if backend is Backend.NFT:
        by_others = tables_with_sets(namespace, family) & {table.value for table in TableName}
    if by_others or _INCOMPATIBLE in done.stdout or _INCOMPATIBLE in done.stderr:
        raise HostError.at(
            f"{backend} {family}",
            "a table holds rules that iptables cannot show",
            "look at them with 'nft list ruleset'",
        )
    return done.stdout


def version(backend: Backend) -> str:
    """What the program says of its version: ``iptables v1.8.9 (nf_tables)``."""
    return run([f"iptables-{backend}", "--version"]).stdout.strip()
