"""What the programs of both backends print of the rules that are there. Only looks.

``iptables-legacy-save`` opens the tables of /proc/net/ip_tables_names alone, and creates none
where that is empty (``iptables-legacy -S`` would); ``iptables-nft-save`` prints the tables that
nf_tables holds, and creates none.
"""

from __future__ import annotations

from pathlib import Path

from netfw.errors import CapabilityError
from netfw.host.iptables_failure import failure_of
from netfw.host.namespace import Namespace, call_in
from netfw.host.run import run
from netfw.ir.names import Backend, Family, TableName

PREFIX = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
"""What the names of a family's programs begin with."""
_NAMES_FILE = {Family.IPV4: "ip_tables_names", Family.IPV6: "ip6_tables_names"}


def save_program(backend: Backend, family: Family) -> str:
    """The program that prints rules."""
    return f"{PREFIX[family]}-{backend}-save"


def legacy_text(namespace: Namespace | None, family: Family, *, counters: bool = False) -> str:
    """All legacy rules of a family, empty where the kernel holds no table of it.

    Raises HostError, CapabilityError where we may not look or the program is missing.
    """
    if not call_in(namespace, lambda: _legacy_tables(family)):
        return ""
    return _printed(namespace, Backend.LEGACY, family, counters=counters)


def nft_text(
    namespace: Namespace | None,
    family: Family,
    table: TableName | None = None,
    *,
    counters: bool = False,
) -> str:
    """All rules of a family that iptables-nft can show, or those of a table that is there.

    Raises as ``legacy_text``.
    """
    which = () if table is None else ("-t", table.value)
    return _printed(namespace, Backend.NFT, family, *which, counters=counters)


def _printed(
    namespace: Namespace | None, backend: Backend, family: Family, *which: str, counters: bool
) -> str:
    argv = [save_program(backend, family), *which, *(["-c"] if counters else [])]
    done = run(argv, namespace=namespace, check=False)
    if done.status != 0:
        raise failure_of(done, backend, family, "")
    return done.stdout


def _legacy_tables(family: Family) -> list[str]:
    path = Path("/proc/thread-self/net") / _NAMES_FILE[family]
    try:
        return path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []
    except PermissionError:
        raise CapabilityError.at(
            f"legacy {family}", "its rules may not be read", "run as root"
        ) from None
