"""The tables of iptables-nft and their built-in chains, and how unused ones go again.

``iptables-nft`` makes a table with all its built-in chains where a rule is to go, and leaves them
when the rule goes. ``iptables-nft-save`` prints chains that a table has not got, too: what is
really there, netlink says.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Collection, Mapping

from netfw.errors import HostError
from netfw.host.namespace import Namespace
from netfw.host.netlink import (
    ACK,
    DUMP,
    ask,
    attribute,
    attributes_of,
    dump,
    open_netfilter,
    request,
    split,
)
from netfw.ir.names import BUILTIN_CHAINS, Family, TableName

_GET_TABLE, _DELETE_TABLE = 10 << 8 | 1, 10 << 8 | 2
_GET_CHAIN, _DELETE_CHAIN = 10 << 8 | 4, 10 << 8 | 5
_GET_GENERATION = 10 << 8 | 16
_BATCH_BEGIN, _BATCH_END, _SUBSYSTEM = 0x10, 0x11, 10
_ONLY_EMPTY = 0x100
"""NLM_F_NONREC in linux/netlink.h: what holds something is not deleted."""
_GENERATION = 1
"""NFNL_BATCH_GENID and NFTA_GEN_ID."""
_TABLE_NAME, _TABLE_USE = 1, 3
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_USE = 1, 3, 4, 5, 6
_ACCEPT = 1
"""NF_ACCEPT in linux/netfilter.h."""
_FAMILIES = {Family.IPV4: 2, Family.IPV6: 10}
_NAMES = {table.value: table for table in TableName}
_TRIES = 5

Place = tuple[Family, TableName]


def base_chains(namespace: Namespace | None = None) -> dict[Place, tuple[str, ...]]:
    """The tables with iptables' names that nf_tables holds, and which of iptables' built-in chains
    are there.

    Empty where the kernel has no nf_tables, or we may not ask.
    Source: linux/netfilter/nf_tables.h.
    """
    found: dict[Place, tuple[str, ...]] = {}
    try:
        for family in Family:
            tables, chains = _look(namespace, family)
            for name in tables.keys() & _NAMES.keys():
                table = _NAMES[name]
                there = {chain for of, chain in chains if of == name}
                builtin = tuple(h.value for h in BUILTIN_CHAINS[table] if h.value in there)
                found[family, table] = builtin
    except OSError:
        return {}
    return found


def remove_unused(
    namespace: Namespace | None, family: Family, table: TableName, keep: Collection[str] | None
) -> bool:
    """Remove the built-in chains of a table that hold no rule and let everything through, but for
    those to ``keep``; and the table, if ``keep`` is None and nothing else is in it. Whether
    anything went.

    All of it goes in one transaction, which the kernel refuses if anybody has changed anything
    since it was looked at: a chain to which a rule comes at that moment stays. Raises OSError
    with what the kernel says, HostError where others change tables all the time.
    """
    for _ in range(_TRIES):
        generation = _generation(namespace)
        try:
            tables, chains = _look(namespace, family)
        except HostError:
            continue
        if table.value not in tables:
            return False
        names = [
            hook.value
            for hook in BUILTIN_CHAINS[table]
            if hook.value not in (keep or ()) and _is_unused(chains.get((table.value, hook.value)))
        ]
        whole = keep is None and tables[table.value] == len(names)
        if not names and not whole:
            return False
        try:
            _delete(namespace, family, table.value, names, generation, whole=whole)
        except OSError as error:
            if error.errno not in (errno.ERESTART, errno.EBUSY, errno.ENOENT):
                raise
            continue
        return True
    raise HostError.at(
        f"{family} table {table}", "it cannot be looked at: others change rules all the time"
    )


def _look(
    namespace: Namespace | None, family: Family
) -> tuple[dict[str, int], dict[tuple[str, str], Mapping[int, bytes]]]:
    """Tables with how many things are in them, and chains that stand at a hook."""
    tables: dict[str, int] = {}
    chains: dict[tuple[str, str], Mapping[int, bytes]] = {}
    with open_netfilter(namespace) as link:
        asked = request(_GET_TABLE, DUMP, _FAMILIES[family], 0, b"")
        for body in dump(link, asked, "list of nft tables"):
            found = attributes_of(body)
            tables[_text(found[_TABLE_NAME])] = _number(found[_TABLE_USE])
        asked = request(_GET_CHAIN, DUMP, _FAMILIES[family], 0, b"")
        for body in dump(link, asked, "list of nft chains"):
            found = attributes_of(body)
            if _CHAIN_HOOK in found:
                chains[_text(found[_CHAIN_TABLE]), _text(found[_CHAIN_NAME])] = found
    return tables, chains


def _is_unused(chain: Mapping[int, bytes] | None) -> bool:
    if chain is None:
        return False
    return _number(chain[_CHAIN_USE]) == 0 and _number(chain[_CHAIN_POLICY]) == _ACCEPT


def _generation(namespace: Namespace | None) -> bytes:
    """The number of the last change that anybody has made (NFT_MSG_GETGEN)."""
    with open_netfilter(namespace) as link:
        link.send(request(_GET_GENERATION, 0, 0, 0, b""))
        for kind, body in split(link.recv(65536)):
            if kind == 10 << 8 | 15:
                return attributes_of(body)[_GENERATION]
    raise HostError.at("nf_tables", "the kernel does not say how many changes there were")


def _delete(
    namespace: Namespace | None,
    family: Family,
    table: str,
    chains: Collection[str],
    generation: bytes,
    *,
    whole: bool,
) -> None:
    number = _FAMILIES[family]
    of = attribute(_CHAIN_TABLE, table.encode() + b"\0")
    messages = [
        (_DELETE_CHAIN, of + attribute(_CHAIN_NAME, name.encode() + b"\0")) for name in chains
    ]
    if whole:
        messages.append((_DELETE_TABLE, attribute(_TABLE_NAME, table.encode() + b"\0")))
    batch = request(_BATCH_BEGIN, 0, 0, _SUBSYSTEM, attribute(_GENERATION, generation))
    for place, (kind, attributes) in enumerate(messages, 1):
        # the last one alone is answered where all is well
        flags = _ONLY_EMPTY | (ACK if place == len(messages) else 0)
        batch += request(kind, flags, number, 0, attributes, place)
    batch += request(_BATCH_END, 0, 0, _SUBSYSTEM, b"")
    with open_netfilter(namespace) as link:
        ask(link, batch, f"nft table {table}")


def _number(value: bytes) -> int:
    (number,) = struct.unpack(">I", value)
    return int(number)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
