"""Puts a policy's routing by marks on the stage, and finds the links that its tables lead to.

A table that is somebody else's has a default route here, so that it is seen whether it is taken.
"""

from __future__ import annotations

from dataclasses import replace

from netfw.compiler.build_routing import build_routing
from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.routing import SteerRoute
from netfw.policy.model import Policy
from netfw.verify.layout import Layout, Link


def add_routing(policy: Policy, layout: Layout) -> None:
    """Tell the layout all of it."""
    for family in Family:
        routing = build_routing(policy, family)
        invented = [
            SteerRoute(table, Net.everything(family), link.interface, link.far(family))
            for table in policy.steering.tables
            if table not in policy.steering.vias and family in policy.steering.families_of(table)
            for link in (_link_for(policy, table, layout),)
        ]
        layout.routing[family] = replace(routing, routes=(*routing.routes, *invented))
    for via in policy.steering.vias.values():
        for family in via.families:
            if family in via.gateways:
                link = layout.link(via.interface)
                layout.gateways.setdefault((family, via.gateways[family]), link)


def link_of_table(layout: Layout, family: Family, table: int) -> Link | None:
    """The link of a table's default route, or None where it has none."""
    for route in layout.routing[family].routes:
        if route.table == table and route.interface:
            return layout.link(route.interface)
    return None


def _link_for(policy: Policy, table: int, layout: Layout) -> Link:
    """A link by which no packet comes in that takes the table, if there is one."""
    inputs = {
        endpoint
        for entry in policy.steering.entries
        if entry.table == table and not entry.answers
        for endpoint in entry.inputs
    }
    for link in layout.links:
        endpoint = policy.endpoint_of(link.interface)
        if endpoint is not None and endpoint.is_host and endpoint not in inputs:
            return link
    return layout.links[-1]
