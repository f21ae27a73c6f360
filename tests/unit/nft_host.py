"""Native tables out of expressions as ``nft -j`` prints them."""

from __future__ import annotations

from typing import Any

from netfw.doctor.observed import NftChain, NftRule, NftTable

ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}


def asks(left: dict[str, Any], right: Any, relation: str = "==") -> dict[str, Any]:
    return {"match": {"op": relation, "left": left, "right": right}}


def meta(key: str, right: Any, relation: str = "==") -> dict[str, Any]:
    return asks({"meta": {"key": key}}, right, relation)


def payload(protocol: str, name: str, right: Any, relation: str = "==") -> dict[str, Any]:
    return asks({"payload": {"protocol": protocol, "field": name}}, right, relation)


def net(address: str, length: int) -> dict[str, Any]:
    return {"prefix": {"addr": address, "len": length}}


def state(*states: str) -> dict[str, Any]:
    return asks({"ct": {"key": "state"}}, list(states), "in")


def set_mark(value: Any) -> dict[str, Any]:
    return {"mangle": {"key": {"meta": {"key": "mark"}}, "value": value}}


def or_mark(bits: int) -> dict[str, Any]:
    return set_mark({"|": [{"meta": {"key": "mark"}}, bits]})


def has_mark(value: int, mask: int, relation: str = "==") -> dict[str, Any]:
    return asks({"&": [{"meta": {"key": "mark"}}, mask]}, value, relation)


def jump(name: str) -> dict[str, Any]:
    return {"jump": {"target": name}}


def chain(
    name: str, *rules: list[dict[str, Any]], hook: str = "", priority: int = -150, **more: Any
) -> NftChain:
    made = tuple(NftRule(n, f"rule {n}", tuple(of)) for n, of in enumerate(rules, start=10))
    kind = more.pop("kind", "filter") if hook else ""
    return NftChain(name, made, hook, kind, priority if hook else 0, **more)


def table(*chains: NftChain, family: str = "inet", name: str = "mine", **more: Any) -> NftTable:
    return NftTable(family, name, chains, **more)
