"""The rules of a live host: both backends, and what else stands at the hooks. Only looks."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from netfw.errors import CapabilityError, FactError
from netfw.facts.iptables_save import parse_ruleset
from netfw.host.live_namespace import LiveNamespace
from netfw.host.netlink import DUMP, attributes_of, dump, open_netfilter, request
from netfw.host.nft_sets import tables_with_sets
from netfw.host.saved_text import legacy_text, nft_text, save_program
from netfw.host.trace_table import TABLE as TRACE_TABLE
from netfw.ir.names import BUILTIN_CHAINS, Backend, Family, Hook, TableName
from netfw.ir.ruleset import Ruleset, Table
from netfw.traverse.hooks import SECURITY_PRIORITY
from netfw.traverse.other_hooks import OtherChain

_GET_TABLE, _GET_CHAIN, _GET_RULE = 10 << 8 | 1, 10 << 8 | 4, 10 << 8 | 7
"""NFNL_SUBSYS_NFTABLES and NFT_MSG_* in linux/netfilter/nf_tables.h, as are the attributes."""
_TABLE_NAME, _TABLE_FLAGS = 1, 2
_TABLE_DORMANT = 0x1
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 1, 3, 4, 5
_HOOK_NUMBER, _HOOK_PRIORITY, _HOOK_DEVICE, _HOOK_DEVICES = 1, 2, 3, 4
_DEVICE_NAME = 1
_RULE_TABLE, _RULE_CHAIN = 1, 2
_U32 = struct.Struct(">I")
_I32 = struct.Struct(">i")
_INET, _IP, _ARP, _NETDEV, _BRIDGE, _IP6 = 1, 2, 3, 5, 7, 10
_FAMILY_NAMES = {_INET: "inet", _IP: "ip", _NETDEV: "netdev", _BRIDGE: "bridge", _IP6: "ip6"}
"""NFPROTO_* in linux/netfilter.h."""
_OWN_FAMILY = {Family.IPV4: _IP, Family.IPV6: _IP6}
_HOOKS = (Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING)
"""By enum nf_inet_hooks; 5 is ingress."""
_ACCEPT = 1
_NOT_SHOWN = "is incompatible, use 'nft' tool"


@dataclass(frozen=True)
class LiveRules:
    """What stands at the hooks of a family: iptables rules by backend, and other chains.

    A backend that holds no table is left out. ``security_priority`` is where iptables-nft's
    security chains are.
    """

    rulesets: Mapping[Backend, Ruleset]
    others: tuple[OtherChain, ...] = ()
    security_priority: int = SECURITY_PRIORITY


@dataclass(frozen=True, slots=True)
class _BaseChain:
    """A chain of nf_tables that a hook calls."""

    family: int
    table: str
    name: str
    hook: int
    priority: int
    drops: bool
    devices: tuple[str, ...]


@dataclass(frozen=True)
class _NfTables:
    """What nf_tables holds: awake tables, base chains, and which chains have rules."""

    tables: frozenset[tuple[int, str]] = frozenset()
    chains: tuple[_BaseChain, ...] = ()
    with_rules: frozenset[tuple[int, str, str]] = field(default_factory=frozenset)
    order: tuple[tuple[int, str], ...] = ()
    """The tables once more, as they were made."""


def read_rules(namespace: LiveNamespace, family: Family) -> LiveRules:
    """All rules of a family in a namespace. Raises HostError, and FactError for rules that
    cannot be read."""
    rulesets = {}
    # first, since it is netlink that says whether we may look at all
    found = _nf_tables(namespace)
    entered = None if namespace.is_own else namespace
    text = legacy_text(entered, family)
    if text:
        name = save_program(Backend.LEGACY, family)
        rulesets[Backend.LEGACY] = parse_ruleset(text, family, name)
    own, unreadable = _own_tables(namespace, family, found)
    if own:
        tables = [
            parse_ruleset(
                nft_text(entered, family, table),
                family,
                f"{save_program(Backend.NFT, family)} -t {table}",
            ).tables
            for table in own
        ]
        rulesets[Backend.NFT] = Ruleset(family, tuple(chain(*tables)))
    security = [
        base.priority
        for base in found.chains
        if (base.family, base.table) == (_OWN_FAMILY[family], TableName.SECURITY.value)
    ]
    readable = {table.value for table in own}
    others = [
        _other(base, unreadable)
        for base in found.chains
        if _counts(base, family, found)
        and not (base.family == _OWN_FAMILY[family] and base.table in readable)
    ]
    return LiveRules(rulesets, tuple(others), security[0] if security else SECURITY_PRIORITY)


@dataclass(frozen=True, slots=True)
class SavedTable:
    """A table as it can be loaded again: by iptables of a backend, or by nft where ``backend`` is
    None. ``name`` is as iptables or nft has it (``filter``, ``inet mine``), ``family`` None where
    it is of both or of neither; ``text`` is empty for nft's."""

    name: str
    family: Family | None
    backend: Backend | None
    text: str = ""


def saved_tables(namespace: LiveNamespace) -> list[SavedTable]:
    """All tables that do anything: those of legacy, then those of nf_tables, each in the order in
    which they were made, which is that of their chains where priorities are equal.

    Raises HostError.
    """
    found = _nf_tables(namespace)
    entered = None if namespace.is_own else namespace
    saved = [
        SavedTable(part.partition("\n")[0][1:], family, Backend.LEGACY, part)
        for family in Family
        for part in reversed(list(_parts(legacy_text(entered, family))))
    ]
    readable = {
        (_OWN_FAMILY[family], table.value): (family, table)
        for family in Family
        for table in _own_tables(namespace, family, found)[0]
    }
    names = {_ARP: "arp", **_FAMILY_NAMES}
    of_nft = {_IP: Family.IPV4, _IP6: Family.IPV6}
    for number, name in found.order:
        own = readable.get((number, name))
        if own is None:
            full = f"{names.get(number, number)} {name}"
            saved.append(SavedTable(full, of_nft.get(number), None))
        else:
            saved.append(SavedTable(name, own[0], Backend.NFT, nft_text(entered, *own)))
    return saved


@dataclass(frozen=True)
class EveryRule:
    """All that iptables can show of both families, and the tables of nf_tables that it cannot, as
    nft names them (family and name), in the order in which they were made."""

    by_family: Mapping[Family, LiveRules]
    native: tuple[tuple[str, str], ...]


def read_every_rule(namespace: LiveNamespace) -> EveryRule:
    """All rules of a namespace, each listed once. ``others`` are left out: the native tables say
    more. Lines are those of the whole listing. Raises as ``read_rules``."""
    found = _nf_tables(namespace)
    entered = None if namespace.is_own else namespace
    by_family = {}
    readable = set()
    for family in Family:
        rulesets = {}
        text = legacy_text(entered, family)
        if text:
            program = save_program(Backend.LEGACY, family)
            rulesets[Backend.LEGACY] = parse_ruleset(text, family, program)
        number = _OWN_FAMILY[family]
        if any((number, table.value) in found.tables for table in TableName):
            with_sets = tables_with_sets(namespace, family)
            own = tuple(
                table
                for table in _shown_tables(entered, family)
                if table.name.value not in with_sets and _is_of_iptables(table.name, number, found)
            )
            if own:
                rulesets[Backend.NFT] = Ruleset(family, own)
            readable |= {(number, table.name.value) for table in own}
        security = next(
            (
                base.priority
                for base in found.chains
                if (base.family, base.table) == (number, TableName.SECURITY.value)
            ),
            SECURITY_PRIORITY,
        )
        by_family[family] = LiveRules(rulesets, (), security)
    names = {_ARP: "arp", **_FAMILY_NAMES}
    native = tuple(
        (names.get(number, str(number)), name)
        for number, name in found.order
        if (number, name) not in readable
    )
    return EveryRule(by_family, native)


def _shown_tables(entered: LiveNamespace | None, family: Family) -> tuple[Table, ...]:
    """The tables of iptables-nft, out of one listing; those that cannot be understood are left
    out, since somebody's own nftables may stand in a table of that name."""
    program = save_program(Backend.NFT, family)
    text = nft_text(entered, family)
    try:
        return parse_ruleset(text, family, program).tables
    except FactError:
        tables: list[Table] = []
        for part in _parts(text):
            with contextlib.suppress(FactError):
                tables += parse_ruleset(part, family, program).tables
        return tuple(tables)


def _parts(text: str) -> Iterator[str]:
    """The tables of what iptables-save prints."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        lines.append(line)
        if line == "COMMIT":
            yield "\n".join([*lines, ""])
            lines = []


def _own_tables(
    namespace: LiveNamespace, family: Family, found: _NfTables
) -> tuple[list[TableName], frozenset[str]]:
    """The tables that iptables-nft can show completely, and those of its names that it cannot."""
    own = _OWN_FAMILY[family]
    here = [table for table in TableName if (own, table.value) in found.tables]
    if not here:
        return [], frozenset()
    with_sets = tables_with_sets(namespace, family)
    entered = None if namespace.is_own else namespace
    readable, unreadable = [], set()
    for table in here:
        is_ours = table.value not in with_sets and _is_of_iptables(table, own, found)
        if is_ours and _NOT_SHOWN not in nft_text(entered, family, table):
            readable.append(table)
        else:
            unreadable.add(table.value)
    return readable, frozenset(unreadable)


def _is_of_iptables(table: TableName, own: int, found: _NfTables) -> bool:
    """Whether the table's base chains are built-in ones of iptables."""
    hooks = {hook.value: hook for hook in BUILTIN_CHAINS[table]}
    return all(
        chain.name in hooks and _hook_of(chain) is hooks[chain.name]
        for chain in found.chains
        if (chain.family, chain.table) == (own, table.value)
    )


def _hook_of(chain: _BaseChain) -> Hook | None:
    is_ip = chain.family in (_INET, _IP, _IP6)
    return _HOOKS[chain.hook] if is_ip and chain.hook < len(_HOOKS) else None


def _counts(chain: _BaseChain, family: Family, found: _NfTables) -> bool:
    """Whether a chain may do something to packets of the family."""
    if chain.family in (_IP, _IP6) and chain.family != _OWN_FAMILY[family]:
        return False
    if chain.family not in _FAMILY_NAMES:
        return False
    if (chain.family, chain.table) == (_INET, TRACE_TABLE):
        # netfw's own chains of a trace that runs: they only make packets tell where they are
        return False
    return chain.drops or (chain.family, chain.table, chain.name) in found.with_rules


def _other(chain: _BaseChain, unreadable: frozenset[str]) -> OtherChain:
    where = f"{_FAMILY_NAMES[chain.family]} {chain.table} {chain.name}"
    what = "chain of nftables"
    if chain.family in (_IP, _IP6) and chain.table in unreadable:
        what = "chain that iptables cannot show"
    return OtherChain(
        f"{what} '{where}' (nft list chain {where})",
        _hook_of(chain),
        chain.priority,
        chain.devices,
        chain.family == _BRIDGE,
    )


def _nf_tables(namespace: LiveNamespace) -> _NfTables:
    """What nf_tables holds; nothing where the kernel has no nf_tables."""
    try:
        with open_netfilter(namespace) as link:
            answers = [
                dump(link, request(kind, DUMP, 0, 0, b""), "list of nft rules")
                for kind in (_GET_TABLE, _GET_CHAIN, _GET_RULE)
            ]
    except PermissionError:
        raise CapabilityError.at(
            namespace.name, "its rules may not be read", "run as root"
        ) from None
    except OSError:
        return _NfTables()
    tables: dict[tuple[int, str], None] = {}
    for body in answers[0]:
        attributes = attributes_of(body)
        flags = _U32.unpack(attributes.get(_TABLE_FLAGS, bytes(4)))[0]
        if not flags & _TABLE_DORMANT:
            tables[body[0], _text(attributes[_TABLE_NAME])] = None
    chains = [_base_chain(body) for body in answers[1]]
    with_rules = set()
    for body in answers[2]:
        attributes = attributes_of(body)
        table, chain = _text(attributes[_RULE_TABLE]), _text(attributes[_RULE_CHAIN])
        with_rules.add((body[0], table, chain))
    return _NfTables(
        frozenset(tables),
        tuple(one for one in chains if one is not None and (one.family, one.table) in tables),
        frozenset(with_rules),
        tuple(tables),
    )


def _base_chain(body: bytes) -> _BaseChain | None:
    attributes = attributes_of(body)
    if _CHAIN_HOOK not in attributes:
        return None
    hook = attributes_of(attributes[_CHAIN_HOOK], 0)
    devices = [_text(hook[_HOOK_DEVICE])] if _HOOK_DEVICE in hook else []
    if _HOOK_DEVICES in hook:
        devices += _devices(hook[_HOOK_DEVICES])
    policy = _U32.unpack(attributes.get(_CHAIN_POLICY, _U32.pack(_ACCEPT)))[0]
    return _BaseChain(
        body[0],
        _text(attributes[_CHAIN_TABLE]),
        _text(attributes[_CHAIN_NAME]),
        _U32.unpack(hook[_HOOK_NUMBER])[0],
        _I32.unpack(hook[_HOOK_PRIORITY])[0],
        policy != _ACCEPT,
        tuple(dict.fromkeys(devices)),
    )


def _devices(nested: bytes) -> list[str]:
    """A list of NFTA_DEVICE_NAME, all of the same type."""
    found, offset = [], 0
    while offset + 4 <= len(nested):
        length, _ = struct.unpack_from("=HH", nested, offset)
        if length < 4:
            break
        found.append(_text(nested[offset + 4 : offset + length]))
        offset += (length + 3) & ~3
    return found


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
