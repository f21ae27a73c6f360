"""The legacy tables through python-iptables, which reads them from the kernel itself.

python-iptables asks libxtables to print each match and target, so the words are those of
``iptables-save``; this module puts them into its lines.
It runs in a Python process of its own for each look: libxtables keeps its modules in globals
and serves one family for a process' life, python-iptables takes every namespace for the same
one, and it turns the whole process' standard output aside while it reads.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netfw.errors import CapabilityError
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.names import Family
from netfw.ir.net import Net

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = {Family.IPV4: "ip_tables_names", Family.IPV6: "ip6_tables_names"}
_BUILTIN_ORDER = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


def read_legacy(namespace: Namespace, family: Family) -> str:
    """All legacy rules of a family as ``iptables-save`` prints them, counters left out.

    Tables that are not there are not created. Raises CapabilityError where python-iptables
    cannot be used on this machine.
    """
    argv = [sys.executable, "-W", "ignore", "-m", __name__, str(family.value)]
    done = run(argv, namespace=namespace, check=False)
    if done.status != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.status}"]
        raise CapabilityError.at(
            "python-iptables",
            f"it cannot read the legacy tables here: {said[-1]}",
            "install the package iptables and a C compiler, then python-iptables again",
        )
    return done.stdout


def print_tables(family: Family) -> None:
    """Print the tables of the namespace that this process is in; what ``read_legacy`` runs."""
    lines: list[str] = []
    names = loaded_tables(family)
    if names:
        import iptc

        kind = iptc.Table if family is Family.IPV4 else iptc.Table6
        # all are opened before the first is read: python-iptables asks each of them whether a
        # target is one of its chains, and would open it ready to commit
        for table in [kind(name, autocommit=False) for name in names]:
            lines += _table_lines(table)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def loaded_tables(family: Family) -> list[str]:
    """The legacy tables of this process' namespace (/proc/net/ip_tables_names)."""
    path = Path("/proc/self/net") / _NAMES[family]
    try:
        return path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []


def _table_lines(table: Any) -> Iterator[str]:  # noqa: ANN401
    chains = {chain.name: chain for chain in table.chains}
    builtin = [chain for chain in _BUILTIN_ORDER if chain in chains]
    users = [chain for chain in chains if chain not in builtin]
    yield f"*{table.name}"
    for chain in builtin:
        yield f":{chain} {chains[chain].get_policy().name} [0:0]"
    for chain in users:
        yield f":{chain} - [0:0]"
    for chain in (*builtin, *users):
        for rule in chains[chain].rules:
            yield f"-A {chain}{_rule_text(rule, users)}"
    yield "COMMIT"


def _rule_text(rule: Any, user_chains: list[str]) -> str:  # noqa: ANN401
    words = _option("-s", _net(rule.src)) + _option("-d", _net(rule.dst))
    words += _option("-i", rule.in_interface) + _option("-o", rule.out_interface)
    protocol = rule.protocol
    if protocol not in ("ip", "all", "0"):
        words += _option("-p", _PROTOCOLS.get(protocol.lstrip("!"), protocol), protocol)
    fragment = getattr(rule, "fragment", None)
    if fragment:
        words += " ! -f" if str(fragment).startswith("!") else " -f"
    for match in rule.matches:
        words += f" -m {match.name}{_saved(rule, match)}"
    target = rule.target
    if target is None or not target.name:
        return words
    flag = "-g" if target.goto else "-j"
    words += f" {flag} {target.name}"
    if target.name not in user_chains:
        words += _saved(rule, target)
    return words


def _saved(rule: Any, module: Any) -> str:  # noqa: ANN401
    """What libxtables itself prints for a match or target, as ``iptables-save`` has it."""
    printed = module._get_saved_buf(rule.get_ip())
    text = printed.decode("utf-8", "surrogateescape") if printed else ""
    if len(text) >= _PIPE_READ:
        raise CapabilityError.at(
            f"legacy rule with {module.name}", "its text is longer than python-iptables can read"
        )
    return text.rstrip()


_PIPE_READ = 1024
"""python-iptables reads so many bytes of what a module prints, and no more."""
_PROTOCOLS = {"icmpv6": "ipv6-icmp"}


def _net(text: str) -> str | None:
    """An address as python-iptables gives it (``!10.0.0.0/255.0.0.0``), or None for any."""
    bare = text.removeprefix("!")
    net = Net.parse(bare)
    if net.mask == 0 and text == bare:
        return None
    return f"!{net}" if text != bare else str(net)


def _option(flag: str, value: str | None, negated_by: str | None = None) -> str:
    if not value:
        return ""
    negated = (negated_by or value).startswith("!")
    bare = value.removeprefix("!")
    return f" ! {flag} {bare}" if negated else f" {flag} {bare}"


if __name__ == "__main__":
    print_tables(Family(int(sys.argv[1])))
