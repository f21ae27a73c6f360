"""What a host holds where it cannot be given what was confirmed: rules that keep it closed.

They need as little as rules can: no sets, no marks, no translation. Chains and comments are ours,
so that whatever is applied later takes their place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from netfw.compiler import chain_name
from netfw.ir.names import OWN_CHAIN_PREFIX, OWN_COMMENT_PREFIX, Family, Hook, TableName
from netfw.plan.own import Own, OwnTable
from netfw.policy.endpoint import Direction

_INPUT, _FORWARD = f"{OWN_CHAIN_PREFIX}CLOSED-IN", f"{OWN_CHAIN_PREFIX}CLOSED-FORWARD"
_FAILSAFES = chain_name.GRANTS[Direction.INGRESS, True]
"""The chain of a policy's failsafes, in the table filter."""
_SSH = "-p tcp -m tcp --dport 22 "
"""What comes in where no failsafes are known: those of a policy that says nothing of them."""
_LET_THROUGH = re.compile(
    rf'-m comment --comment "[^"]*" -[gj] (?:{chain_name.ACCEPT}|{chain_name.ALLOW})$'
)
"""How its rules end, whether or not rules of others are asked behind netfw's."""
_ROUTERS = (133, 134, 135, 136)
"""Types of ICMPv6 by which a host finds its neighbours and routers (RFC 4861)."""


def closed(confirmed: Own | None = None) -> Own:
    """Rules that let in loopback, what belongs to a connection, an address from DHCP, neighbour
    discovery and failsafes, and drop everything else that arrives, forwarded packets too. What
    the host itself sends is let through.

    Failsafes are those of ``confirmed``, as far as they ask no sets; SSH without it.
    """
    tables = {}
    for family in Family:
        table = None
        if confirmed is not None:
            table = confirmed.tables.get((family, TableName.FILTER))
        tables[family, TableName.FILTER] = _table(family, table)
    return Own(tables)


def _table(family: Family, confirmed: OwnTable | None) -> OwnTable:
    failsafes = [_SSH]
    if confirmed is not None:
        failsafes = list(_failsafes(confirmed.chains.get(_FAILSAFES, ())))
    established = "-m conntrack --ctstate RELATED,ESTABLISHED "
    forwarded = [_rule(established, "established", "-j ACCEPT")]
    arriving = [
        _rule("-i lo ", "loopback", "-j ACCEPT"),
        *forwarded,
        *(_rule(match, "failsafe", "-j ACCEPT") for match in failsafes),
        *(_rule(match, "basics", "-j ACCEPT") for match in _basics(family)),
    ]
    drop = _rule("", "drop", "-j DROP")
    return OwnTable(
        {_FORWARD: (*forwarded, drop), _INPUT: (*arriving, drop)},
        {
            Hook.INPUT.value: (_rule("", "input", f"-j {_INPUT}", "hook"),),
            Hook.FORWARD.value: (_rule("", "forward", f"-j {_FORWARD}", "hook"),),
        },
    )


def _rule(match: str, name: str, target: str, owner: str = "closed") -> str:
    return f'{match}-m comment --comment "{OWN_COMMENT_PREFIX}{owner}/{name}" {target}'


def _failsafes(rules: Iterable[str]) -> Iterator[str]:
    for text in rules:
        match = _LET_THROUGH.sub("", text)
        if match != text and "--match-set" not in text:
            yield match


def _basics(family: Family) -> Iterator[str]:
    if family is Family.IPV4:
        yield "-p udp -m udp --sport 67 --dport 68 "
        return
    yield "-p udp -m udp --sport 547 --dport 546 "
    for kind in _ROUTERS:
        yield f"-p ipv6-icmp -m icmp6 --icmpv6-type {kind} -m hl --hl-eq 255 "
