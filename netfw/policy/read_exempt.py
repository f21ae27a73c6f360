"""Reads ``exempt``: what the entries behind it do not translate."""

from __future__ import annotations

from netfw.ir.names import Family
from netfw.policy.nat_draft import NatDraft, NatFields
from netfw.policy.read_destination_nat import ARRIVING_KEYS, read_arriving
from netfw.policy.read_source_nat import LEAVING_KEYS, read_leaving
from netfw.policy.translation import Point, Turn

EXEMPT_KEYS = (*dict.fromkeys((*LEAVING_KEYS, *ARRIVING_KEYS)), "family", "name")


def read_exempt(fields: NatFields) -> NatDraft | None:
    """With ``out`` a source stays as it is, with ``in`` or ``from: host`` a destination."""
    out_node, in_node = fields.fields.find("out"), fields.fields.find("in")
    if out_node is not None and in_node is not None:
        fields.faults.add(
            in_node.where,
            "an exemption has 'out' or 'in', not both: sources are translated when a packet "
            "leaves, destinations when it comes in",
            "make two entries of it",
        )
        return None
    is_leaving = out_node is not None
    others = set(ARRIVING_KEYS if is_leaving else LEAVING_KEYS)
    others -= set(LEAVING_KEYS if is_leaving else ARRIVING_KEYS)
    for key in sorted(others):
        entry = fields.fields.entry(key)
        if entry is not None:
            side = "'out'" if is_leaving else "'in' or 'from: host'"
            known = LEAVING_KEYS if is_leaving else ARRIVING_KEYS
            fields.faults.add(
                entry.key.where,
                f"'{key}' does not go with {side}",
                f"an exemption with {side} has the keys {', '.join(known)}",
            )
    families = fields.families((Family.IPV4, Family.IPV6))
    if is_leaving:
        criteria, inputs, outs, meaning = read_leaving(fields)
        families = fields.check_families(criteria, families)
        turn = Turn(Point.LEAVING, families, criteria, None, inputs, outs)
    else:
        arriving = read_arriving(fields)
        meaning = arriving.meaning
        families = fields.check_families(arriving.criteria, families)
        turn = Turn(arriving.point, families, arriving.criteria, None, arriving.inputs)
    return fields.finish((turn,), [*meaning, [family.value for family in families]])
