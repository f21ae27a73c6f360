"""Beside the rules of netfilter: routing rules that read the marks, routes, and settings."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.ir.names import Family
from netfw.ir.net import Net
from netfw.ir.routing import LAST_METRIC, MAIN_TABLE, Routing, Setting, SteerRoute, SteerRule
from netfw.policy.model import Policy
from netfw.policy.steering import Via

FIRST_PREFERENCE = 30000
"""Behind the local table and whatever else a host asks first, before the main table (32766) and
what wg-quick puts right before it. Marks tell our rules apart, so that two preferences do for
all of them, and a table more changes no other rule."""


def build_routing(policy: Policy, family: Family) -> Routing:
    """What a family needs so that its marks steer."""
    steering = policy.steering
    first: list[SteerRule] = []
    second: list[SteerRule] = []
    routes: list[SteerRoute] = []
    for table, number in steering.tables.items():
        if family not in steering.families_of(table):
            continue
        mark = steering.field.table(number)
        via = steering.vias.get(table)
        if via is not None:
            # it stands for the default route alone: networks that main knows are reached as ever
            first.append(SteerRule(FIRST_PREFERENCE, mark, MAIN_TABLE, without_default=True))
            routes += _routes(table, via, family)
        second.append(SteerRule(FIRST_PREFERENCE + 1, mark, table))
    return Routing((*first, *second), tuple(routes))


def _routes(table: int, via: Via, family: Family) -> Iterator[SteerRoute]:
    everything = Net.everything(family)
    if family in via.families:
        yield SteerRoute(table, everything, via.interface, via.gateways.get(family))
    if via.refuses:
        yield SteerRoute(table, everything, metric=LAST_METRIC)


def build_settings(policy: Policy) -> tuple[Setting, ...]:
    """What Linux must be set to: its reverse path filter would drop what comes back by another
    interface than the main table has (__fib_validate_source in net/ipv4/fib_frontend.c)."""
    steering = policy.steering
    if not any(Family.IPV4 in steering.families_of(table) for table in steering.tables):
        return ()
    loose: dict[str, str] = {}
    for table in steering.tables:
        via = steering.vias.get(table)
        if via is not None and Family.IPV4 in via.families:
            loose.setdefault(via.interface, f"what table {table} sends out by it is answered here")
    for entry in steering.entries:
        if entry.table and entry.answers and Family.IPV4 in entry.families:
            for endpoint in entry.inputs:
                for name in endpoint.interfaces:
                    why = "the main table may know another way to who comes in by it"
                    # there is no setting for interfaces to come but that of all of them
                    loose.setdefault("default" if name.endswith("+") else name, why)
    found = [
        Setting(f"net/ipv4/conf/{name}/rp_filter", (2, 0), why) for name, why in loose.items()
    ]
    why = "the way back of a steered packet is not asked of the table that it takes"
    return (*found, Setting("net/ipv4/conf/all/src_valid_mark", (0,), why))
