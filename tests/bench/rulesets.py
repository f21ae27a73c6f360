"""Rules that do the same in different ways, ready to be loaded.

All of them let through what belongs to a connection, then what one of many rules allows (source
network, protocol, destination port), and drop the rest; in one built-in chain of filter.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from netfw.compiler.pipeline import compile_policy
from netfw.host.iptables import restore
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.mark_field import MarkField
from netfw.ir.names import Backend, Family
from netfw.policy.read import load
from netfw.render.ipset import render_sets
from netfw.render.restore import render_ruleset
from tests.bench.aerleon import aclgen, aerleon_command, write_aerleon
from tests.bench.policies import BenchRule, Shape, ferm_policy, netfw_policy

_INET = {Family.IPV4: "inet", Family.IPV6: "inet6"}
_ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


@dataclass(frozen=True, slots=True)
class Loadable:
    """A ruleset as text; what is empty is not loaded."""

    name: str
    sets: str = ""
    """For ``ipset restore``."""
    rules: str = ""
    """For ``iptables-restore``."""
    nft: str = ""
    """For ``nft -f``; loads on the backend nft only."""
    drops: bool = True
    """Whether what no rule allows is dropped."""

    def runs_on(self, backend: Backend) -> bool:
        """Whether it can be loaded there."""
        return not self.nft or backend is Backend.NFT

    def load(self, namespace: Namespace, backend: Backend, family: Family) -> None:
        """Load it into an empty namespace; raises HostError."""
        if self.sets:
            run(["ipset", "restore"], stdin=self.sets, namespace=namespace)
        if self.rules:
            restore(namespace, backend, family, self.rules)
        if self.nft:
            run(["nft", "-f", "-"], stdin=self.nft, namespace=namespace)


def nothing() -> Loadable:
    """No rules at all."""
    return Loadable("no rules", drops=False)


def conntrack_rule(chain: str) -> Loadable:
    """One rule that asks for the connection; what is new passes too."""
    lines = ["*filter", f":{chain} ACCEPT", f"-A {chain} {_ESTABLISHED}", "COMMIT"]
    return Loadable("one conntrack rule", rules=_text(lines), drops=False)


def flat_list(rules: Sequence[BenchRule], family: Family, chain: str) -> Loadable:
    """A rule for each, one behind the other, without comments."""
    lines = ["*filter", f":{chain} DROP", f"-A {chain} {_ESTABLISHED}"]
    lines += (f"-A {chain} {_match(rule, family)} -j ACCEPT" for rule in rules)
    return Loadable("flat list", rules=_text([*lines, "COMMIT"]))


def mark_and_return(rules: Sequence[BenchRule], family: Family, chain: str) -> Loadable:
    """For each rule one that marks and one that returns where the mark is set."""
    bit = f"{MarkField().accept:#x}"
    lines = ["*filter", f":{chain} DROP", ":MARKS -", f"-A {chain} {_ESTABLISHED}"]
    lines += [f"-A {chain} -j MARKS", f"-A {chain} -m mark --mark {bit}/{bit} -j ACCEPT"]
    for rule in rules:
        lines.append(f"-A MARKS {_match(rule, family)} -j MARK --set-xmark {bit}/{bit}")
        lines.append(f"-A MARKS -m mark --mark {bit}/{bit} -j RETURN")
    return Loadable("MARK + RETURN a rule", rules=_text([*lines, "COMMIT"]))


def one_set(rules: Sequence[BenchRule], family: Family, chain: str) -> Loadable:
    """A conntrack rule, and one that looks into a hash:net,port with a member for each rule."""
    sets = [f"create bench hash:net,port family {_INET[family]} maxelem {len(rules)}"]
    sets += (
        f"add bench {_net(rule, family)},{rule.service.protocol}:{rule.service.port}"
        for rule in rules
    )
    lines = ["*filter", f":{chain} DROP", f"-A {chain} {_ESTABLISHED}"]
    lines += [f"-A {chain} -m set --match-set bench src,dst -j ACCEPT", "COMMIT"]
    return Loadable("conntrack + one ipset", _text(sets), _text(lines))


def one_nft_set(rules: Sequence[BenchRule], family: Family, chain: str) -> Loadable:
    """The same with a set of nf_tables itself, networks as intervals."""
    ip, address = ("ip", "ipv4_addr") if family is Family.IPV4 else ("ip6", "ipv6_addr")
    members = ",\n".join(
        f"{_net(rule, family)} . {rule.service.protocol} . {rule.service.port}" for rule in rules
    )
    text = f"""table {ip} bench {{
set many {{
type {address} . inet_proto . inet_service
flags interval
elements = {{ {members} }}
}}
chain judge {{
type filter hook {chain.lower()} priority 0; policy drop;
ct state established,related accept
{ip} saddr . meta l4proto . th dport @many accept
}}
}}
"""
    return Loadable("conntrack + one nft set", nft=text)


def netfw_rules(rules: Sequence[BenchRule], family: Family, chain: str) -> Loadable:
    """What netfw compiles."""
    text = "".join(netfw_policy(rules, Shape.DIFFERENT, [4, 6], chain))
    ruleset = compile_policy(load(text, "bench.yaml")).rulesets[family]
    return Loadable("netfw", render_sets(ruleset.sets), render_ruleset(ruleset))


def ferm_rules(rules: Sequence[BenchRule], family: Family, chain: str) -> Loadable:
    """What ferm prints; raises FileNotFoundError where it is missing."""
    with tempfile.TemporaryDirectory(prefix="netfw-bench-") as folder:
        path = Path(folder) / "ferm.conf"
        with path.open("w") as file:
            file.writelines(ferm_policy(rules, Shape.DIFFERENT, [family.value], chain=chain))
        done = subprocess.run(
            ["ferm", "--remote", str(path)], capture_output=True, text=True, check=True
        )
    return Loadable("ferm", rules=done.stdout)


def aerleon_rules(rules: Sequence[BenchRule], family: Family, chain: str) -> Loadable:
    """What Aerleon writes: a chain for each rule; raises AerleonMissing."""
    program = aclgen()
    with tempfile.TemporaryDirectory(prefix="netfw-bench-") as name:
        folder = Path(name)
        write_aerleon(folder, rules, [family.value], chain=chain)
        subprocess.run(aerleon_command(program, folder), capture_output=True, check=True)
        return Loadable("Aerleon", rules=(folder / "out" / f"v{family.value}.ipt").read_text())


def may_load() -> str:
    """Why nothing can be loaded here, or an empty text."""
    return "" if os.geteuid() == 0 else "needs root: rules are loaded in network namespaces"


def _match(rule: BenchRule, family: Family) -> str:
    protocol = rule.service.protocol
    return f"-s {_net(rule, family)} -p {protocol} -m {protocol} --dport {rule.service.port}"


def _net(rule: BenchRule, family: Family) -> str:
    return rule.source.of([family.value])[0]


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
