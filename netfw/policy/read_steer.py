"""Reads ``steer``: traffic that takes another routing table, or belongs to a class of tc."""

from __future__ import annotations

import re
from dataclasses import replace

from netfw.ir.names import Family
from netfw.ir.origin import Origin
from netfw.ir.steer_field import SteerField
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import (
    Fields,
    parse_decimal,
    read_fields,
    read_flag,
    read_items,
    read_word,
)
from netfw.policy.identity import Draft, name_rules
from netfw.policy.names import Names, listed_words
from netfw.policy.read_criteria import (
    CRITERIA_KEYS,
    describe_families,
    read_criteria,
)
from netfw.policy.read_rule import read_rule_name
from netfw.policy.read_via import read_via
from netfw.policy.service_literal import ANY_WORD
from netfw.policy.source import Mapping, Node, Scalar, written_form
from netfw.policy.steer_numbers import number_classes, number_tables
from netfw.policy.steering import NOT_THERE, Steering, SteerPolicy, Via

_OTHERS = ("in", "out", "tcp-flags", "state", "rate", "connections")
STEER_CRITERIA = tuple(key for key in CRITERIA_KEYS if key not in _OTHERS)
"""Where a packet leaves is not known yet, and what follows the first packet of a connection goes
its way: entries are not asked about it. Neither do entries count."""
_KEYS = ("in", "service", *STEER_CRITERIA, "table", "via", "replies", "class", "name")
CLASS = re.compile(r"([0-9a-f]{1,4}):([0-9a-f]{1,4})", re.IGNORECASE)
MAIN = "main"
NONE = "none"
_OWN_TABLES = {0: "unspec", 253: "default", 254: "main", 255: "local"}
"""Tables of Linux' own (linux/rtnetlink.h)."""
_LAST_TABLE = 0xFFFFFFFF
HOST = "host"


def read_steer(node: Node, field: SteerField, names: Names, faults: Faults) -> Steering:
    """Read all entries, in the order of the file; those for what is not there are left out."""
    entries: list[SteerPolicy] = []
    drafts: list[Draft] = []
    vias: dict[int, Via] = {}
    lines: dict[str, int] = {}
    for item in read_items(node, "'steer'", faults):
        fields = read_fields(item, _KEYS, "an entry of 'steer'", faults)
        if fields is None or not isinstance(item, Mapping):
            continue
        found = _read_entry(fields, item, names, vias, faults)
        if found is None:
            continue
        entry, draft = found
        if draft.name is not None:
            if draft.name in lines:
                faults.add(
                    item.where,
                    f"'steer' has two entries named '{draft.name}' "
                    f"(the first in line {lines[draft.name]})",
                    "give one of them another name, or none",
                )
            lines.setdefault(draft.name, item.where.line)
        entries.append(entry)
        drafts.append(draft)
    identities = name_rules("steer", drafts)
    named = tuple(
        replace(entry, origin=replace(entry.origin, identity=identity))
        for entry, identity in zip(entries, identities, strict=True)
        if not entry.is_absent
    )
    used = {entry.table for entry in named}
    return Steering(
        field,
        named,
        {table: via for table, via in vias.items() if table in used},
        number_tables(named, field, faults),
        number_classes(named, field, faults),
    )


def _read_entry(
    fields: Fields, item: Mapping, names: Names, vias: dict[int, Via], faults: Faults
) -> tuple[SteerPolicy, Draft] | None:
    before = len(faults)
    from_node, in_node, via_node = fields.find("from"), fields.find("in"), fields.find("via")
    from_host = isinstance(from_node, Scalar) and from_node.text == HOST
    inputs = names.read_endpoints(in_node, "'in'", faults) if in_node else ()
    # `from: host` names no net
    keys = [key for key in STEER_CRITERIA if key != "from"] if from_host else STEER_CRITERIA
    read = read_criteria(fields, fields.find("service"), "service", names, faults, keys)
    name = read_rule_name(fields, faults)
    table, answers = _read_table(fields, faults), _read_replies(fields, faults)
    tc_class = _read_class(fields, faults)
    via = read_via(via_node, names, faults) if via_node else None
    if len(faults) > before:
        return None
    _check_sense(fields, faults, from_host=from_host, answers=answers)
    if not read.criteria.families:
        faults.add(
            item.where,
            "no packet can match this entry: " + describe_families(read.criteria),
            "give it addresses and services of one family",
        )
    if len(faults) > before:
        return None
    origin = Origin(item.where, "", written_form(item)[1:-1])
    entry = SteerPolicy(inputs, from_host, read.criteria, table, answers, tc_class, origin)
    if via is not None and table:
        _keep_via(vias, table, via, entry, faults)
    if len(faults) > before:
        return None
    meaning: list[object] = [
        listed_words(in_node),
        [HOST] if from_host else read.sources,
        read.destinations,
        read.services or [ANY_WORD],
        [table, answers, tc_class],
        *read.further,
    ]
    kind = "class" if table is None else "table"
    return entry, Draft(kind, meaning, name)


def _read_table(fields: Fields, faults: Faults) -> int | None:
    """The number of a routing table, 0 for the main one."""
    node = fields.find("table")
    word = read_word(node, "'table'", faults) if node else None
    if word is None:
        return None
    if word.text == MAIN:
        return 0
    number = parse_decimal(word.text)
    if number is None or number > _LAST_TABLE:
        faults.add(
            word.where,
            f"'{word.text}' is not the number of a routing table",
            did_you_mean(word.text, (MAIN,), "write a number, 1 to 252, or 'main'"),
        )
    elif number in _OWN_TABLES:
        faults.add(
            word.where,
            f"table {number} is Linux' own table '{_OWN_TABLES[number]}'",
            "choose one from 1 to 252; 'main' means the normal way",
        )
    else:
        return number
    return None


def _read_replies(fields: Fields, faults: Faults) -> bool:
    node = fields.find("replies")
    return node is not None and read_flag(node, "'replies'", faults)


def _read_class(fields: Fields, faults: Faults) -> int | None:
    """Major and minor number, 16 bits each; 0 for none."""
    node = fields.find("class")
    word = read_word(node, "'class'", faults) if node else None
    if word is None:
        return None
    if word.text == NONE:
        return 0
    found = CLASS.fullmatch(word.text)
    major, minor = (int(part, 16) for part in found.groups()) if found else (0, 0)
    if not major or not minor:
        faults.add(
            word.where,
            f"'{word.text}' is not a class of tc",
            "write major:minor in hexadecimal digits as tc does, such as 1:20, or 'none'",
        )
        return None
    return major << 16 | minor


def _check_sense(fields: Fields, faults: Faults, *, from_host: bool, answers: bool) -> None:
    """Keys that mean nothing together."""
    table, replies, tc_class = (fields.entry(key) for key in ("table", "replies", "class"))
    via, came_by = fields.entry("via"), fields.entry("in")
    if table is None and tc_class is None:
        faults.add(
            fields.where,
            "an entry of 'steer' says neither 'table' nor 'class'",
            "say where its packets go, or what class of tc they belong to",
        )
    if via is not None and (table is None or _is_main(table.value)):
        faults.add(
            via.key.where,
            "'via' is the route of a table, and none is named",
            "add 'table' with a number that is free on this host, such as 100",
        )
    if answers and replies is not None:
        if table is None:
            faults.add(
                replies.key.where,
                "'replies' is about a table, and none is named",
                "a class of tc holds for both directions of a connection anyway",
            )
        if from_host:
            faults.add(
                replies.key.where,
                "'replies' and 'from: host': what answers this host comes in",
                "leave 'replies' out",
            )
    if from_host and came_by is not None:
        faults.add(
            came_by.key.where,
            "'in' and 'from: host': what this host sends comes in nowhere",
            "make two entries of it",
        )


def _is_main(node: Node) -> bool:
    return isinstance(node, Scalar) and node.text == MAIN


def _keep_via(
    vias: dict[int, Via], table: int, via: Via, entry: SteerPolicy, faults: Faults
) -> None:
    """A table has one default route, however often it is written down."""
    first = vias.setdefault(table, via)
    if (first.interface, first.gateways, first.refuses) != (
        via.interface,
        via.gateways,
        via.refuses,
    ):
        faults.add(
            via.origin.where,
            f"table {table} has another 'via' in line {first.origin.where.line}",
            "write it once: it holds for all entries with that table",
        )
    has_way = any(family in via.families for family in entry.families)
    if not has_way and via.interface != NOT_THERE:
        words = " and ".join(str(family) for family in Family if family in entry.families)
        faults.add(
            via.origin.where,
            f"this entry is about {words}, and its gateway is not",
            "add a gateway of that family",
        )
