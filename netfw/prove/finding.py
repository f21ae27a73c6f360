"""What a lint found: a place, what is the matter there, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from netfw.errors import Where


class Kind(Enum):
    """The kinds of findings: the code that is printed, and an explanation."""

    NEVER_MATCHES = (
        "never-matches",
        "No packet can meet the rule: its own conditions contradict each other, or whatever could "
        "meet them never comes here. Remove it, or correct what it asks for.",
    )
    SHADOWED = (
        "shadowed",
        "Rules before it take every packet that it is about, so it has no effect. Move it up, or "
        "remove it.",
    )
    DUPLICATE = (
        "duplicate",
        "The same rule stands here twice. Remove one.",
    )
    CHANGES_NOTHING = (
        "changes-nothing",
        "Without the rule every packet would end in the same way. Remove it, or narrow what "
        "follows it.",
    )
    EXPIRED = (
        "expired",
        "The day on which the rule expires is over, and the kernel does not match it any more. "
        "Remove it, or give it another day.",
    )
    NO_POLICY = (
        "endpoint-without-policy",
        "Nothing is allowed where an endpoint is declared and no policy speaks of it. That may be "
        "meant: then a policy with 'deny: any' says so.",
    )
    ANY_TO_ANY = (
        "any-to-any",
        "The rule lets every packet through, whatever its addresses and service. What stands "
        "behind it is never asked.",
    )
    OUTSIDE_MASK = (
        "mark-outside-mask",
        "The kernel compares (mark & mask) with value, so a value with bits outside the mask "
        "never matches; written with such a value, those bits are toggled "
        "(mark_mt and mark_tg in net/netfilter/xt_mark.c).",
    )
    UNREACHABLE_CHAIN = (
        "unreachable-chain",
        "No packet enters the chain. Remove it, or call it.",
    )
    STALE_OUT = (
        "stale-out-interface",
        "In OUTPUT, -o is the interface of the first routing decision; a packet that is routed "
        "again in mangle or nat OUTPUT keeps it there and leaves by another one "
        "(__ip_local_out in net/ipv4/ip_output.c). Judge it in mangle POSTROUTING.",
    )
    MARK_TOO_LATE = (
        "mark-too-late",
        "Routing has been decided before this rule, and no rule behind it reads these bits. To "
        "choose a route set the mark in PREROUTING, or in mangle OUTPUT for this host's own "
        "packets. (A tc filter can still read it.)",
    )

    STEERED_SOURCE = (
        "steered-source",
        "What this host sends gets its source address from the first route, before its mark "
        "chooses another one (ip_route_me_harder in net/ipv4/netfilter.c). Answers then go to an "
        "interface by which nothing left, or to nobody. Add 'masquerade' for the interface of "
        "'via', unless programs bind to an address of it.",
    )

    def __init__(self, code: str, explanation: str) -> None:
        self.code = code
        self.explanation = explanation


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. ``is_note`` says that it may well be meant: it does not fail a check."""

    kind: Kind
    where: Where | str
    text: str
    is_note: bool = False

    def __str__(self) -> str:
        level = "note" if self.is_note else "warning"
        return f"{self.where}: {level}: {self.text} [{self.kind.code}]"
