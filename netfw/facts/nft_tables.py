"""Native tables, out of what ``nft -j list table`` and ``nft -a list table`` print."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from netfw.errors import FactError
from netfw.facts.extension_marks import MarkExtension

_RULE_LINE = re.compile(r"^\t\t(.*) # handle (\d+)$")
_CHAIN_LINE = re.compile(r"^\tchain \S+ \{")


@dataclass(frozen=True, slots=True)
class NftRule:
    """A rule of a native table: ``expressions`` as ``nft -j`` has them, ``text`` as ``nft -a``.

    ``extensions`` is what those of iptables and the like in it do with marks, which nft does not
    show."""

    handle: int
    text: str
    expressions: tuple[Any, ...] = ()
    extensions: tuple[MarkExtension, ...] = ()

    @property
    def has_extensions(self) -> bool:
        """Whether there are extensions of iptables in it, of whatever kind."""
        return any(isinstance(one, Mapping) and "xt" in one for one in self.expressions)


@dataclass(frozen=True, slots=True)
class NftChain:
    """A chain of a native table. ``hook`` is nft's word (``prerouting``), empty for a chain that
    only rules call; ``kind`` is filter, nat or route; ``policy`` is empty or a verdict.
    """

    name: str
    rules: tuple[NftRule, ...] = ()
    hook: str = ""
    kind: str = ""
    priority: int = 0
    policy: str = ""
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NftTable:
    """A native table. ``family`` is nft's word: ip, ip6, inet, arp, bridge or netdev.

    ``sets`` are those with names, maps among them: what ``nft -j`` says of their elements, by
    name; ``flowtables`` the devices of each.
    """

    family: str
    name: str
    chains: tuple[NftChain, ...] = ()
    sets: Mapping[str, Any] = field(default_factory=dict)
    flowtables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def with_extensions(self, found: Mapping[int, tuple[MarkExtension, ...]]) -> NftTable:
        """The table with what is known of extensions, by the handle of their rule."""
        chains = tuple(
            replace(
                chain,
                rules=tuple(
                    replace(rule, extensions=found.get(rule.handle, ())) for rule in chain.rules
                ),
            )
            for chain in self.chains
        )
        return replace(self, chains=chains)

    @property
    def has_extensions(self) -> bool:
        """Whether some rule has extensions of iptables."""
        return any(rule.has_extensions for chain in self.chains for rule in chain.rules)


def parse_nft_table(listed: str, text: str, what: str = "nft list table") -> NftTable:
    """Read one table; ``listed`` is JSON, ``text`` the same with handles, for the rules' words.

    Raises FactError where it is something else.
    """
    try:
        return _table(json.loads(listed)["nftables"], _texts(text))
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise FactError.at(what, f"is not understood: {error!r}") from None


def _table(objects: list[dict[str, Any]], texts: Mapping[tuple[str, int], str]) -> NftTable:
    found = next(one["table"] for one in objects if "table" in one)
    rules: dict[str, list[NftRule]] = {}
    sets, flowtables = {}, {}
    for one in objects:
        if "rule" in one:
            rule = one["rule"]
            name, handle = rule["chain"], int(rule["handle"])
            text = texts.get((name, handle), "")
            rules.setdefault(name, []).append(NftRule(handle, text, tuple(rule["expr"])))
        for kind in ("set", "map"):
            if kind in one:
                sets[one[kind]["name"]] = one[kind].get("elem", [])
        if "flowtable" in one:
            flowtables[one["flowtable"]["name"]] = _devices(one["flowtable"])
    chains = tuple(
        NftChain(
            chain["name"],
            tuple(rules.get(chain["name"], ())),
            chain.get("hook", ""),
            chain.get("type", ""),
            int(chain.get("prio", 0)),
            chain.get("policy", ""),
            _devices(chain),
        )
        for chain in (one["chain"] for one in objects if "chain" in one)
    )
    return NftTable(found["family"], found["name"], chains, sets, flowtables)


def _devices(part: Mapping[str, Any]) -> tuple[str, ...]:
    of = part.get("dev", ())
    return (of,) if isinstance(of, str) else tuple(of)


def _texts(text: str) -> dict[tuple[str, int], str]:
    found: dict[tuple[str, int], str] = {}
    chain = ""
    for line in text.split("\n"):
        if _CHAIN_LINE.match(line):
            chain = line.split()[1]
            continue
        rule = _RULE_LINE.match(line)
        if rule is not None and chain:
            found[chain, int(rule[2])] = rule[1]
    return found
