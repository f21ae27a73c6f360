"""Which routing rules and routes of ours a host still has. Only looks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise

from netfw.errors import FactError, HostError
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.names import Family
from netfw.ir.routing import MAIN_TABLE

_DEFAULT_METRIC = {Family.IPV4: 0, Family.IPV6: 1024}
"""Of a route that is made without one (IP6_RT_PRIO_USER in include/net/ip6_route.h)."""
_NO_TABLE = "FIB table does not exist"
_UNICAST, _UNREACHABLE = "1", "7"
"""RTN_* in linux/rtnetlink.h, as ``ip -N`` prints them."""
Key = tuple[object, ...]


def read_routing(
    namespace: Namespace | None, family: Family, recorded: Iterable[str]
) -> tuple[str, ...]:
    """Those of the recorded lines for ``ip -batch`` (``rule add …``, ``route replace …``) whose
    rule or route is there, in their order.

    Raises HostError with what ``ip`` says, FactError for what it prints that netfw cannot read.
    """
    lines = tuple(recorded)
    if not lines:
        return ()
    wanted = {line: _key(line, family) for line in lines}
    there: set[Key] = set()
    if any(kind == "rule" for kind, *_ in wanted.values()):
        there.update(_rules(namespace, family))
    for table in {str(table) for kind, table, *_ in wanted.values() if kind == "route"}:
        # one by one: the main table of a router may hold a million routes
        there.update(_routes(namespace, family, table))
    return tuple(line for line in lines if wanted[line] in there)


def _key(line: str, family: Family) -> Key:
    """What a line makes, in the form in which the host's own is compared."""
    words = line.split()
    told = dict(pairwise(words))
    if words[0] == "rule":
        mark, _, mask = told["fwmark"].partition("/")
        table = str(MAIN_TABLE) if told["lookup"] == "main" else told["lookup"]
        suppressed = told.get("suppress_prefixlength", "")
        marks = int(mark, 0), int(mask or "0xffffffff", 0)
        return ("rule", table, int(told["preference"]), *marks, suppressed)
    is_refused = words[2] == "unreachable"
    to = words[3] if is_refused else words[2]
    metric = int(told.get("metric", 0)) or _DEFAULT_METRIC[family]
    hop = ("", "") if is_refused else (told.get("via", ""), told.get("dev", ""))
    return ("route", told["table"], _UNREACHABLE if is_refused else _UNICAST, to, *hop, metric)


def _rules(namespace: Namespace | None, family: Family) -> Iterator[Key]:
    for rule in _asked(namespace, family, "rule", "show"):
        if "fwmark" not in rule or rule.get("src") != "all" or "table" not in rule:
            continue
        marks = int(str(rule["fwmark"]), 0), int(str(rule.get("fwmask", "0xffffffff")), 0)
        suppressed = str(rule.get("suppress_prefixlen", ""))
        yield ("rule", str(rule["table"]), rule["priority"], *marks, suppressed)


def _routes(namespace: Namespace | None, family: Family, table: str) -> Iterator[Key]:
    for route in _asked(namespace, family, "route", "show", "table", table):
        kind = str(route.get("type", _UNICAST))
        hop = ("", "") if kind != _UNICAST else (route.get("gateway", ""), route.get("dev", ""))
        metric = route.get("metric", 0) or _DEFAULT_METRIC[family]
        yield ("route", table, kind, route.get("dst"), *hop, metric)


def _asked(namespace: Namespace | None, family: Family, *words: str) -> list[dict[str, object]]:
    """What ``ip`` prints as JSON, with numbers instead of names for tables and types."""
    argv = ["ip", "-j", "-N", f"-{family.value}", *words]
    done = run(argv, namespace=namespace, check=False)
    if done.status != 0:
        if _NO_TABLE in done.stderr:
            return []
        said = " ".join(done.stderr.split()) or f"exit status {done.status}"
        raise HostError.at(" ".join(argv), said)
    try:
        found = json.loads(done.stdout or "[]")
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise FactError.at(" ".join(argv), "what it printed is not understood")
    return found
