"""Routing as input for ``ip -batch``, and settings as lines for ``sysctl -p``."""

from __future__ import annotations

from collections.abc import Iterable

from netfw.ir.names import Family
from netfw.ir.net import format_address
from netfw.ir.routing import MAIN_TABLE, Routing, Setting, SteerRoute, SteerRule


def render_routing(routing: Routing, family: Family) -> str:
    """Lines for ``ip -4 -batch -`` or ``ip -6 -batch -``; empty where nothing is needed."""
    lines = [render_route(route, family) for route in routing.routes]
    lines += [render_rule(rule) for rule in routing.rules]
    return "".join(f"{line}\n" for line in lines)


def render_rule(rule: SteerRule) -> str:
    """``rule add …``."""
    table = "main" if rule.table == MAIN_TABLE else str(rule.table)
    tail = " suppress_prefixlength 0" if rule.without_default else ""
    return f"rule add preference {rule.preference} fwmark {rule.mark} lookup {table}{tail}"


def render_route(route: SteerRoute, family: Family) -> str:
    """``route replace …``."""
    to = "default" if route.destination.mask == 0 else str(route.destination)
    words = ["route", "replace", to]
    if not route.interface:
        words.insert(2, "unreachable")
    elif route.next_hop is not None:
        words += ["via", format_address(family, route.next_hop)]
    if route.interface:
        words += ["dev", route.interface]
    words += ["table", str(route.table)]
    if route.metric:
        words += ["metric", str(route.metric)]
    return " ".join(words)


def render_settings(settings: Iterable[Setting]) -> str:
    """Lines for ``sysctl -p``, each below its reason."""
    return "".join(
        f"# {setting.why}\n{setting.name} = {setting.values[0]}\n" for setting in settings
    )
