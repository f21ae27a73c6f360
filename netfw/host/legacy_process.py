"""The process in which python-iptables runs, in the namespace of the tables.

``legacy_tables`` starts it and says why it is a process. What python-iptables gets wrong is read
from the kernel's own structures here: IPv6 masks that are no prefix, ``! -f``, and names of
protocols. What it cannot know ends the process with an error: a match or target of another
revision than libxtables has, or a text longer than it reads.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netfw.ir.names import BUILTIN_CHAINS, Family, TableName
from netfw.ir.net import Net
from netfw.ir.protocols import PRINTED_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = 3
"""Exit status where a change did not take."""
UNREADABLE = 4
"""Exit status where a rule is beyond python-iptables; any other but 0: it does not work at all."""

_NAMES = {Family.IPV4: "ip_tables_names", Family.IPV6: "ip6_tables_names"}
_PIPE_READ = 1024
"""Bytes that python-iptables reads of what a module prints, and no more."""
_INVERT_IN, _INVERT_OUT, _INVERT_SOURCE, _INVERT_DESTINATION = 0x01, 0x02, 0x08, 0x10
_INVERT_FRAGMENT, _INVERT_PROTOCOL = 0x20, 0x40
"""invflags of struct ipt_ip and ip6t_ip6 (linux/netfilter_ipv4/ip_tables.h)."""
_FLAG_FRAGMENT = 0x01
_INTERFACE_SIZE = 16


def loaded_tables(family: Family) -> list[str]:
    """The legacy tables of this process' namespace (/proc/net/ip_tables_names)."""
    path = Path("/proc/self/net") / _NAMES[family]
    try:
        return path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []


def print_tables(family: Family, *, counters: bool) -> None:
    """Print all tables that are there."""
    lines: list[str] = []
    for name in loaded_tables(family):
        lines += _table_lines(_open(family, name), counters=counters)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def insert_trace(family: Family, chain_name: str, comment: str) -> None:
    """Insert a TRACE rule at the front of a chain of raw; exits where it is not there then."""
    import iptc

    table = _open(family, TableName.RAW.value)
    rule = (iptc.Rule if family is Family.IPV4 else iptc.Rule6)()
    rule.create_match("comment").comment = comment
    rule.create_target("TRACE")
    chain = iptc.Chain(table, chain_name)
    chain.insert_rule(rule)
    table.commit()
    table.refresh()
    rules = chain.rules
    if not (rules and _is_trace(rules[0], comment)):
        _end(REFUSED, f"raw {chain_name}: the TRACE rule is not there after it was inserted")


def remove_trace(family: Family, chain_name: str, comment: str) -> None:
    """Remove the TRACE rules with a comment, and print how many; exits where one stays."""
    import iptc

    removed = 0
    if TableName.RAW.value in loaded_tables(family):
        table = _open(family, TableName.RAW.value)
        chain = iptc.Chain(table, chain_name)
        ours = [rule for rule in chain.rules if _is_trace(rule, comment)]
        for rule in ours:
            chain.delete_rule(rule)
        removed = len(ours)
        table.commit()
        table.refresh()
        if any(_is_trace(rule, comment) for rule in chain.rules):
            _end(REFUSED, f"raw {chain_name}: a TRACE rule is still there after it was removed")
    sys.stdout.write(f"{removed}\n")


def _end(status: int, text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.exit(status)


def _open(family: Family, name: str) -> Any:  # noqa: ANN401
    import iptc

    kind = iptc.Table if family is Family.IPV4 else iptc.Table6
    # to see whether a target is a chain it would open, and so create, all tables
    kind.existing_table_names.update({table.value: table.value == name for table in TableName})
    return kind(name, autocommit=False)


def _is_trace(rule: Any, comment: str) -> bool:  # noqa: ANN401
    names = [match.name for match in rule.matches]
    return (
        rule.target.name == "TRACE"
        and names == ["comment"]
        and rule.matches[0].comment.strip('"') == comment
    )


def _table_lines(table: Any, *, counters: bool) -> Iterator[str]:  # noqa: ANN401
    chains = {chain.name: chain for chain in table.chains}
    builtin = [hook.value for hook in BUILTIN_CHAINS[TableName(table.name)]]
    users = [chain for chain in chains if chain not in builtin]
    yield f"*{table.name}"
    for chain in builtin:
        packets, size = chains[chain].get_counters() if counters else (0, 0)
        yield f":{chain} {chains[chain].get_policy().name} [{packets}:{size}]"
    for chain in users:
        yield f":{chain} - [0:0]"
    for chain in (*builtin, *users):
        for rule in chains[chain].rules:
            packets, size = rule.counters
            counted = f"[{packets}:{size}] " if counters else ""
            yield f"{counted}-A {chain}{_rule_text(rule, users)}"
    yield "COMMIT"


def _rule_text(rule: Any, user_chains: list[str]) -> str:  # noqa: ANN401
    ip = rule.get_ip()
    invert = ip.invflags
    words = _net("-s", ip.src, ip.smsk, invert & _INVERT_SOURCE)
    words += _net("-d", ip.dst, ip.dmsk, invert & _INVERT_DESTINATION)
    words += _interface("-i", ip.iniface, ip.iniface_mask, invert & _INVERT_IN)
    words += _interface("-o", ip.outiface, ip.outiface_mask, invert & _INVERT_OUT)
    if ip.proto:
        words += _option(
            "-p", PRINTED_NAMES.get(ip.proto, str(ip.proto)), invert & _INVERT_PROTOCOL
        )
    if rule.nfproto == _NFPROTO_IPV4 and ip.flags & _FLAG_FRAGMENT:
        words += " ! -f" if invert & _INVERT_FRAGMENT else " -f"
    for match in rule.matches:
        header = match.match.u.user
        _check_revision(match, header.revision, header.match_size)
        words += f" -m {match.name}{_saved(rule, match)}"
    target = rule.target
    if target is None or not target.name:
        return words
    words += f" {'-g' if target.goto else '-j'} {target.name}"
    if target.name not in user_chains:
        header = target.target.u.user
        _check_revision(target, header.revision, header.target_size)
        words += _saved(rule, target)
    return words


_NFPROTO_IPV4 = 2


def _check_revision(module: Any, revision: int, size: int) -> None:  # noqa: ANN401
    """End where a rule has been loaded by a program with other structures than ours.

    python-iptables takes the newest revision that libxtables has, whatever the rule says.
    """
    if revision != module._module.revision or size != module.size:
        _end(
            UNREADABLE,
            f"a rule has {module.name} in revision {revision} ({size} bytes), and only revision"
            f" {module._module.revision} ({module.size} bytes) can be read",
        )


def _saved(rule: Any, module: Any) -> str:  # noqa: ANN401
    """What libxtables itself prints for a match or target, as ``iptables-save`` has it."""
    printed = module._get_saved_buf(rule.get_ip())
    text = printed.decode("utf-8", "surrogateescape") if printed else ""
    if len(text) >= _PIPE_READ:
        _end(UNREADABLE, f"the text of a {module.name} is longer than {_PIPE_READ} bytes")
    return text.rstrip()


def _net(flag: str, address: Any, mask: Any, inverted: int) -> str:  # noqa: ANN401
    """An address of the kernel's structure, or nothing for any."""
    number, bits = int.from_bytes(bytes(address)), int.from_bytes(bytes(mask))
    if not bits and not number and not inverted:
        return ""
    family = Family.IPV4 if len(bytes(mask)) == 4 else Family.IPV6
    return _option(flag, str(Net(family, number & bits, bits)), inverted)


def _interface(flag: str, name: bytes, mask: bytes, inverted: int) -> str:
    """An interface of the kernel's structure: the mask ends where a ``+`` begins."""
    if not mask:
        return ""
    text = name[: len(mask)].decode("utf-8", "surrogateescape")
    if len(name) >= len(mask) and len(mask) < _INTERFACE_SIZE:
        text += "+"
    return _option(flag, text, inverted)


def _option(flag: str, value: str, inverted: int) -> str:
    return f" ! {flag} {value}" if inverted else f" {flag} {value}"


def main(what: str, family: Family, *arguments: str) -> None:
    """Do one thing; the output is for ``legacy_tables``."""
    if what == "insert":
        insert_trace(family, *arguments)
    elif what == "remove":
        remove_trace(family, *arguments)
    else:
        print_tables(family, counters=what == "count")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Family(int(sys.argv[2])), *sys.argv[3:])
