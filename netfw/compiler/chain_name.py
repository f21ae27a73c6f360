"""Names of chains: telling, at most 28 bytes, and never the same for two things."""

from __future__ import annotations

import base64
import hashlib

from netfw.ir.match import Way
from netfw.ir.names import MAX_CHAIN_NAME, OWN_CHAIN_PREFIX
from netfw.policy.endpoint import Direction, Endpoint
from netfw.policy.reject_kind import RejectKind
from netfw.policy.tier import Acts, Tier
from netfw.policy.translation import Point

ALLOW = OWN_CHAIN_PREFIX + "ALLOW"
ACCEPT = OWN_CHAIN_PREFIX + "ACCEPT"
DENY = OWN_CHAIN_PREFIX + "DENY"
REJECT = OWN_CHAIN_PREFIX + "REJECT"
PASS = OWN_CHAIN_PREFIX + "PASS"
GRANTS = {
    (Direction.INGRESS, True): OWN_CHAIN_PREFIX + "FAILSAFE-IN",
    (Direction.EGRESS, True): OWN_CHAIN_PREFIX + "FAILSAFE-OUT",
    (Direction.INGRESS, False): OWN_CHAIN_PREFIX + "BASICS-IN",
    (Direction.EGRESS, False): OWN_CHAIN_PREFIX + "BASICS-OUT",
}
"""What is let through before the rules; True: also where it belongs to no connection."""
EARLY = {
    (Acts.UNTRACKED, Direction.INGRESS): OWN_CHAIN_PREFIX + "RAW-IN",
    (Acts.UNTRACKED, Direction.EGRESS): OWN_CHAIN_PREFIX + "RAW-OUT",
    (Acts.PRE_DNAT, Direction.INGRESS): OWN_CHAIN_PREFIX + "PRE",
}
LATE = OWN_CHAIN_PREFIX + "LATE"
STEER = {False: OWN_CHAIN_PREFIX + "STEER-IN", True: OWN_CHAIN_PREFIX + "STEER-OUT"}
STEER_TABLES = {False: OWN_CHAIN_PREFIX + "TABLES-IN", True: OWN_CHAIN_PREFIX + "TABLES-OUT"}
STEER_CLASSES = {False: OWN_CHAIN_PREFIX + "CLASSES-IN", True: OWN_CHAIN_PREFIX + "CLASSES-OUT"}
"""Which table, and which class; True: of what this host sends."""
STEER_NEW = OWN_CHAIN_PREFIX + "STEER-NEW"
STEER_BROUGHT = OWN_CHAIN_PREFIX + "STEER-BROUGHT"
STEER_KEEP = OWN_CHAIN_PREFIX + "STEER-KEEP"
NEIGHBOUR = OWN_CHAIN_PREFIX + "NEIGHBOUR"
FORWARD_STAGE = OWN_CHAIN_PREFIX + "FORWARD-STAGE"
FORWARD_RULES = OWN_CHAIN_PREFIX + "FORWARD-RULES"

_HASH = 7
"""Base-32 digits, 35 bits: two names out of a thousand that are shortened to the same start
meet with a chance of 1 to 70,000, and then the ruleset is refused, not wrong."""


def chain_of_endpoint(endpoint: Endpoint, direction: Direction, acts: Acts = Acts.NORMAL) -> str:
    """The chain that judges a direction of an endpoint: ``NETFW-IN-wan``, ``NETFW-TO-pods``,
    ``NETFW-PRE-wan``."""
    if acts.is_early:
        return _name(EARLY[acts, direction].removeprefix(OWN_CHAIN_PREFIX) + "-", endpoint.name)
    ingress = direction is Direction.INGRESS
    if endpoint.is_host:
        return _name("IN-" if ingress else "OUT-", endpoint.name)
    return _name("TO-" if ingress else "FROM-", endpoint.name)


def chain_behind(endpoint: Endpoint) -> str:
    """The chain that looks at sources of what comes in by an endpoint: ``NETFW-BEHIND-lan``."""
    return _name("BEHIND-", endpoint.name)


def chain_of_policy(policy_name: str, direction: Direction) -> str:
    """The chain with the rules of a policy: ``NETFW-P-public-IN``, ``NETFW-P-lan-to-internet``.

    Names in a policy are in lower case, so that the suffix can be no part of one.
    """
    suffix = {Direction.INGRESS: "-IN", Direction.EGRESS: "-OUT", Direction.FORWARD: ""}
    return _name("P-", policy_name, suffix[direction])


def chain_of_table(table: int, *, answers: bool) -> str:
    """The chain that steers into a routing table: ``NETFW-TABLE-100``, ``NETFW-REPLIES-100``."""
    return f"{OWN_CHAIN_PREFIX}{'REPLIES' if answers else 'TABLE'}-{table}"


def chain_of_class(tc_class: int) -> str:
    """The chain that steers into a class of tc: ``NETFW-CLASS-1-20``."""
    return f"{OWN_CHAIN_PREFIX}CLASS-{text_of_class(tc_class)}"


def text_of_class(tc_class: int) -> str:
    """``1-20`` for class 1:20, in hexadecimal digits as tc has them."""
    return f"{tc_class >> 16:x}-{tc_class & 0xFFFF:x}"


def chain_of_tier(stage: str, tier: Tier) -> str:
    """The chain of a tier in a stage: ``NETFW-IN-wan-T-platform``.

    Names in a policy are in lower case, so that ``-T-`` can be no part of one.
    """
    return _name("", f"{stage.removeprefix(OWN_CHAIN_PREFIX)}-T-{tier.name}")


def chain_of_answer(kind: RejectKind) -> str:
    """The chain that rejects with a certain answer: ``NETFW-REJECT-host``. In small letters, as
    names of the language are, and short: the longest would not fit."""
    return f"{REJECT}-{kind.value.removesuffix('-unreachable').removesuffix('-prohibited')}"


def chain_of_rule(identity: str) -> str:
    """The chain with the exceptions of a rule: ``NETFW-X-public/office-ssh``."""
    return _name("X-", identity)


def chain_of_entry(identity: str, *, of_class: bool) -> str:
    """The chain with the exceptions of an entry of ``steer``, which may stand in two lists."""
    return _name("XC-" if of_class else "X-", identity)


def chain_of_turn(identity: str, point: Point) -> str:
    """The chain of an entry of ``nat`` that has exceptions: ``NETFW-N-allow-90fa2c-OUT``."""
    suffix = {Point.ARRIVING: "-IN", Point.SENDING: "-SENT", Point.LEAVING: "-OUT"}
    return _name("N-", identity.partition("/")[2], suffix[point])


def chain_of_tree(chain: str, way: Way, number: int, start: str) -> str:
    """The chain of a tree for interfaces that begin so: ``NETFW-FORWARD-BY-IN``, and
    ``NETFW-FORWARD-BY-IN.veth1``; ``number`` counts trees of a chain.

    Names in a policy hold no dot, and none of a fixed chain ends like that.
    """
    tree = f"{chain.removeprefix(OWN_CHAIN_PREFIX)}-BY-{way.name}{number if number > 1 else ''}"
    return _name("", f"{tree}.{start}" if start else tree)


def _name(prefix: str, name: str, suffix: str = "") -> str:
    """The name in full, or its start, a dot (which no name holds), and a hash."""
    prefix = OWN_CHAIN_PREFIX + prefix
    room = MAX_CHAIN_NAME - len(prefix) - len(suffix)
    if len(name) > room:
        digest = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode().lower()
        name = f"{name[: room - _HASH - 1]}.{digest[:_HASH]}"
    return prefix + name + suffix
