"""Loading and saving rules with the iptables programs of both backends."""

from __future__ import annotations

import re

from netfw.errors import CapabilityError, HostError
from netfw.host.namespace import Namespace
from netfw.host.nft_sets import tables_with_sets
from netfw.host.run import Completed, run
from netfw.ir.names import Backend, Family, TableName

_PREFIX = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_INCOMPATIBLE = "is incompatible, use 'nft' tool"
_NOISE = re.compile(r"^(ip6?tables\S* v\S+ \(\w+\): )+|\s*Try `\S+ -h' or .* information\.$")
"""What the programs say with every error: their names and where to find help."""
_LINE = re.compile(r"\bline:? (\d+)")
_WAIT = ("-w", "10")
"""Wait up to 10 seconds for the legacy programs' lock, which is the namespace's own
(``Namespace.lock_path``) where the program knows XTABLES_LOCKFILE, and else the machine's."""


def restore(
    namespace: Namespace, backend: Backend, family: Family, text: str, *, keep: bool = False
) -> None:
    """Load ``iptables-restore`` input; ``keep`` leaves what is not named in it (``--noflush``).

    Raises HostError with what the program said, CapabilityError where this machine cannot.
    """
    argv = [f"{_PREFIX[family]}-{backend}-restore", *_WAIT]
    if keep:
        argv.append("--noflush")
    done = run(argv, stdin=text, namespace=namespace, check=False)
    if done.status != 0:
        raise _failure(done, backend, family, text)


def save(namespace: Namespace, backend: Backend, family: Family) -> str:
    """All rules of a backend and family, as ``iptables-save`` prints them.

    Raises HostError also where nft rules of others cannot be shown: the program then exits with
    0 and says so in a comment only, or, where rules use sets, says nothing.
    """
    done = run([f"{_PREFIX[family]}-{backend}-save"], namespace=namespace, check=False)
    if done.status != 0:
        raise _failure(done, backend, family, "")
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


def _failure(done: Completed, backend: Backend, family: Family, text: str) -> HostError:
    said = _NOISE.sub("", " ".join(done.stderr.split())) or f"exit status {done.status}"
    lines = text.splitlines()
    for number in map(int, _LINE.findall(said)):
        # a table is refused as a whole at its COMMIT: then the line says nothing
        if 0 < number <= len(lines) and lines[number - 1] != "COMMIT":
            said += f"; line {number}: {lines[number - 1]}"
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
    if any(words in said for words in lacking):
        return CapabilityError.at(
            f"{backend} {family}",
            f"this kernel cannot load the rules: {said}",
            "load the kernel's netfilter modules, or choose the other --backend",
        )
    return HostError.at(f"{backend} {family}", said)
