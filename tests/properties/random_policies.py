"""Random policies as plain data; JSON is YAML, so that they can be read back."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

ENDPOINTS = {
    "wan": {"host": "eth0"},
    "lan": {"host": ["eth1", "eth2"]},
    "tun": {"host": "tun+"},
    "pods": {"workload": "veth+"},
    "vm": {"workload": ["vnet0", "tap+"]},
}
NETS = {"office": ["192.0.2.0/24", "2001:db8:1::/48"], "four": "10.0.0.0/8", "all": "::/0"}
DEFINED = {
    "media": {"udp": ["53", "1000-2000"], "from-ports": "1000-3000"},
    "old": ["ssh", {"tcp": ["22", "53"], "sctp": "any", "from-ports": ["7", "53"]}, "proto/99"],
}
SERVICES = ["any", "ssh", "dns", "ping", "tcp/1000-2000", "udp", "icmp/3/4", "esp", "icmpv6"]
SERVICES += ["media", "old", "icmp-any", "packet-too-big", "proto/99", "kerberos", "dccp/7"]
PORTS = ["tcp/22", "tcp/53", "udp/53", "tcp/1500", "tcp/2001", "sctp/7", "udp/1-65535"]
PORTS += ["media", "dccp/1-7", "icmp-any/echo-request"]

Names = st.SearchStrategy[list[str]]
net_words = st.sampled_from(
    ["office", "four", "all", "192.0.2.7", "192.0.2.6-192.0.2.7", "2001:db8:1:2::/64", "::/0"]
)
some_nets = st.lists(net_words, min_size=1, max_size=3, unique=True)
service_lists = st.one_of(
    st.sampled_from(SERVICES),
    st.lists(
        st.sampled_from(PORTS + [f"tcp/{port}" for port in range(1, 40, 2)]),
        min_size=1,
        max_size=20,
        unique=True,
    ),
)
logs = st.fixed_dictionaries({}, optional={"rate": st.just("5/minute"), "service": service_lists})


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    action = draw(st.sampled_from(["allow", "allow", "deny", "reject", "log"]))
    rule: dict[str, Any] = {action: draw(logs if action == "log" else service_lists)}
    if rule[action] == {}:
        rule[action] = "any"
    for key in ("from", "to"):
        if draw(st.integers(0, 3)) == 0:
            rule[key] = draw(some_nets)
    return rule


rule_lists = st.lists(rules(), min_size=1, max_size=4)


def some(present: list[str]) -> Names:
    """One to three of the endpoints and zones that a policy has."""
    return st.lists(st.sampled_from(present), min_size=1, max_size=3, unique=True)


@st.composite
def entries(draw: st.DrawFn, present: list[str]) -> dict[str, Any]:
    some_endpoints = some(present)
    if draw(st.booleans()):
        entry: dict[str, Any] = {"at": draw(some_endpoints)}
        kind = draw(st.sampled_from([("ingress",), ("egress",), ("ingress", "egress")]))
        return entry | {key: draw(rule_lists) for key in kind}
    ends = draw(st.sampled_from([("from",), ("to",), ("from", "to")]))
    return {end: draw(some_endpoints) for end in ends} | {"forward": draw(rule_lists)}


OTHER_TRANSLATIONS: list[dict[str, Any]] = [
    {"exempt": {"out": [], "to-nets": "office"}},
    {"exempt": {"in": [], "service": "tcp/53"}},
    {"snat": {"out": [], "from-nets": {"not": "192.0.2.7"}, "to": "198.51.100.1"}},
    {"snat": {"out": [], "service": "udp", "to": "198.51.100.1-198.51.100.4"}},
    {"redirect": {"in": [], "service": "tcp/53", "to": 1500}},
    {"redirect": {"from": "host", "service": "tcp/53", "to": 1500}},
    {"dnat": {"from": "host", "service": {"not": "tcp/22"}, "to": "192.0.2.9"}},
    {"dnat": {"in": [], "addressed-to": "office", "service": "udp/53", "to": "192.0.2.7:1500"}},
    {"dnat": {"in": [], "service": "tcp/50-59", "to": "192.0.2.7:150-159"}},
    {"netmap": {"in": [], "from": "192.0.2.0/25", "to": "10.0.0.0/25"}},
    {"masquerade": {"out": [], "from-nets": "office", "service": "tcp", "to-ports": "1000-2000"}},
]


def _with_ends(entry: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """An entry with endpoints where it has an empty list."""
    ((kind, inside),) = entry.items()
    return {kind: {key: names if value == [] else value for key, value in inside.items()}}


def translations(present: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    dnats = st.fixed_dictionaries(
        {
            "in": some(present),
            "service": st.sampled_from(["tcp/53", "tcp/8443", ["tcp/53", "udp/53"]]),
            "to": st.sampled_from(["192.0.2.7:22", "192.0.2.7", "[2001:db8:1:2::1]:1500"]),
        },
        optional={"from": st.just("office")},
    )
    masquerades = st.fixed_dictionaries(
        {"out": some(present)},
        optional={"from": some(present), "family": st.sampled_from(["4", "6", "all"])},
    )
    return st.one_of(
        st.sampled_from(OTHER_TRANSLATIONS).flatmap(
            lambda other: some(present).map(lambda names: _with_ends(other, names))
        ),
        dnats.map(lambda entry: {"dnat": entry}),
        masquerades.map(lambda entry: {"masquerade": entry}),
    )


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """A policy that may still have rules that no packet can match, and nothing else wrong."""
    names = sorted(ENDPOINTS)
    present = draw(st.lists(st.sampled_from(names), min_size=1, max_size=5, unique=True))
    endpoints = {name: ENDPOINTS[name] for name in present}
    policy: dict[str, Any] = {"version": "1", "endpoints": endpoints, "nets": NETS}
    policy["services"] = DEFINED
    if draw(st.integers(0, 2)) == 0:
        policy["zones"] = {
            "zone": draw(some(present)),
            "both": ["zone", present[0]],
            "nobody": {"select": "has(nothing)", "optional": "true"},
        }
        present = [*present, *policy["zones"]]
    found = draw(st.lists(entries(present), max_size=4))
    if found:
        policy["policies"] = [{"name": f"p{n}"} | entry for n, entry in enumerate(found)]
    nat = draw(st.lists(translations(present), max_size=3))
    if nat:
        policy["nat"] = nat
    return policy


DEFAULTS = {
    "established": ["allow", "ask"],
    "invalid": ["deny", "ask", "allow"],
    "neighbour-discovery": ["allow", "ask"],
    "dhcp": ["allow", "ask"],
    "path-mtu": ["allow", "ask"],
    "strict-exit": ["yes", "no"],
}
FAILSAFES: list[Any] = [
    "none",
    {"ingress": ["ssh"]},
    {"ingress": [{"service": "tcp/1-100", "from": "office"}], "egress": ["dns", "ping"]},
]
BEHIND = [["192.0.2.0/24"], ["10.0.0.0/8", "2001:db8:1::/48"], ["2001:db8::/32"]]
TIERS = [{"name": "first"}, {"name": "second", "default": "deny"}, {"name": "third"}]


@st.composite
def staged_policies(draw: st.DrawFn) -> dict[str, Any]:
    """The same with settings, failsafes and tiers, and with policies that act early."""
    policy = draw(policies())
    settings = {
        key: draw(st.sampled_from(values))
        for key, values in DEFAULTS.items()
        if draw(st.integers(0, 3)) == 0
    }
    if settings:
        policy["defaults"] = settings
    if draw(st.booleans()):
        policy["failsafes"] = draw(st.sampled_from(FAILSAFES))
    tiers = draw(st.lists(st.sampled_from(TIERS), max_size=3, unique_by=lambda tier: tier["name"]))
    if tiers:
        policy["tiers"] = tiers
    for name, endpoint in list(policy["endpoints"].items()):
        if draw(st.integers(0, 5)) == 0:
            policy["endpoints"][name] = endpoint | {"nets": draw(st.sampled_from(BEHIND))}
    for entry in policy.get("policies", ()):
        if tiers and draw(st.booleans()):
            entry["tier"] = draw(st.sampled_from(tiers))["name"]
        for key in ("ingress", "egress", "forward"):
            for rule in entry.get(key, ()):
                decided = [action for action in ("allow", "deny", "reject") if action in rule]
                if decided and draw(st.integers(0, 3)) == 0:
                    rule["pass"] = rule.pop(decided[0])
        _act_early(draw, policy, entry)
    return policy


def _act_early(draw: st.DrawFn, policy: dict[str, Any], entry: dict[str, Any]) -> None:
    """Let an entry act early if it can, and do now and then."""
    endpoints = policy["endpoints"]
    if "at" not in entry or any("host" not in endpoints.get(name, ()) for name in entry["at"]):
        return
    acts = draw(st.sampled_from(["normal", "untracked", "pre-dnat"]))
    if acts == "normal" or (acts == "pre-dnat" and "egress" in entry):
        return
    entry["acts"] = acts
    for key in ("ingress", "egress"):
        for rule in entry.get(key, ()):
            if "reject" in rule:
                rule["deny"] = rule.pop("reject")


def write(policy: dict[str, Any]) -> str:
    """A policy as text, one rule to a line."""
    return json.dumps(policy, indent=1)


@st.composite
def long_rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Many rules, mostly alike: what becomes sets."""
    hosts = [f"192.0.2.{n}" for n in (7, 8, 9, 200, 201)] + ["2001:db8:1:2::1", "2001:db8:1::9"]
    blocks = ["192.0.2.0/25", "192.0.2.128/25", "192.0.2.0/30", "10.1.0.0/16", "10.0.0.0/8"]
    blocks += ["2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8:ff00::/40", "office", "all"]
    words = st.sampled_from(hosts + blocks)
    nets = st.lists(words, min_size=1, max_size=4, unique=True)
    ports = st.sampled_from(["any", "udp", "ping", "tcp/1000-2000", ["tcp/22", "udp/53", "esp"]])
    services = st.one_of(
        st.integers(1, 60).map(lambda port: f"tcp/{port}"),
        st.lists(st.sampled_from(PORTS), min_size=1, max_size=4, unique=True),
        ports,
    )
    found = []
    action = "allow"
    for _ in range(draw(st.integers(6, 40))):
        if draw(st.integers(0, 9)) == 0:
            action = draw(st.sampled_from(["allow", "deny", "reject", "log"]))
        rule: dict[str, Any] = {action: "any" if action == "log" else draw(services)}
        for key, often in (("from", 7), ("to", 2)):
            if draw(st.integers(0, 9)) < often:
                rule[key] = draw(nets)
        found.append(rule)
    return found


@st.composite
def long_policies(draw: st.DrawFn) -> dict[str, Any]:
    """A policy with long lists, for two endpoints and between them."""
    endpoints = {name: ENDPOINTS[name] for name in ("wan", "pods")}
    at = draw(st.sampled_from(["wan", "pods", ["wan", "pods"]]))
    entries: list[dict[str, Any]] = [
        {"name": "one", "at": at, draw(st.sampled_from(["ingress", "egress"])): draw(long_rules())}
    ]
    if draw(st.booleans()):
        entries.append({"name": "two", "at": "wan", "ingress": draw(long_rules())})
    if draw(st.booleans()):
        entries.append({"name": "across", "from": "wan", "forward": draw(long_rules())})
    names = {"endpoints": endpoints, "nets": NETS, "services": DEFINED}
    return {"version": "1", **names, "policies": entries}
