"""Reads ``netmap``: two networks of one size, address by address, in both directions."""

from __future__ import annotations

from netfw.ir.net import Net
from netfw.policy.criteria import Criteria
from netfw.policy.names import endpoint_words, net_words
from netfw.policy.nat_draft import NatDraft, NatFields
from netfw.policy.new_end import Moved
from netfw.policy.translation import Point, Turn

NETMAP_KEYS = ("in", "from", "to", "name")


def read_netmap(fields: NatFields) -> NatDraft | None:
    """What arrives for ``from`` goes to ``to``; what leaves from ``to`` seems to be ``from``."""
    in_node = fields.fields.require("in", "name the endpoint behind which 'from' is known")
    inputs = fields.endpoints("in") or ()
    outer = _read_net(fields, "from", "name the network that is known outside")
    inner = _read_net(fields, "to", "name the network behind this host")
    if outer is None or inner is None:
        return None
    if outer.family is not inner.family or outer.mask != inner.mask:
        fields.faults.add(
            fields.item.where,
            f"'from' is {outer} and 'to' is {inner}: they must be of one family and size",
            "every address of one stands for the address at the same place in the other",
        )
    elif outer == inner:
        fields.faults.add(fields.item.where, f"'from' and 'to' are both {outer}")
    families = (outer.family,)
    arriving = Criteria(destinations=(outer,))
    leaving = Criteria(sources=(inner,))
    turns = (
        Turn(Point.ARRIVING, families, arriving, Moved(inner), inputs),
        Turn(Point.LEAVING, families, leaving, Moved(outer), None, inputs),
    )
    from_words, to_words = (net_words(fields.fields.find(key)) for key in ("from", "to"))
    return fields.finish(turns, [endpoint_words(in_node), from_words, to_words])


def _read_net(fields: NatFields, key: str, hint: str) -> Net | None:
    node = fields.fields.require(key, hint)
    nets = fields.names.read_nets(node, key, fields.faults) if node else ()
    if node is not None and len(nets) > 1:
        fields.faults.add(
            node.where,
            f"'{key}' is {len(nets)} networks, and a netmap knows one",
            "write an entry for each",
        )
        return None
    if nets and nets[0].mask == 0:
        fields.faults.add(fields.item.where, f"'{key}' is {nets[0]}, which is every address")
    return nets[0] if nets else None
