"""Forms of what surrounds the rules: the mark's field, defaults, failsafes and tiers."""

from __future__ import annotations

from netfw.policy.read_defaults import CHOICES, STRICT_EXIT
from netfw.policy.read_failsafes import NONE_WORD
from netfw.policy.read_tiers import TIER_DEFAULTS
from netfw.policy.schema.form import (
    Form,
    choice,
    chosen,
    closed,
    defined,
    either,
    explained,
    listed,
)

_DEFAULTS = {
    "established": "Packets of connections, and what is related to them.",
    "invalid": "Packets that belong to no connection and begin none.",
    "neighbour-discovery": "IPv6 neighbour discovery and multicast listener messages.",
    "dhcp": "DHCP as a client.",
    "path-mtu": "ICMP that says that packets are too large.",
    "on-accept": "What is allowed: accept lets it through at once; return asks the rules of "
    "others that stand behind netfw's too.",
    "strict-exit": "yes: whatever leaves by a host endpoint has to have been allowed.",
}


def _settings() -> dict[str, Form]:
    settings = {key: explained(chosen(CHOICES[key]), _DEFAULTS[key]) for key in CHOICES}
    return settings | {STRICT_EXIT: explained(defined("flag"), _DEFAULTS[STRICT_EXIT])}


def _failsafes(nets: str) -> Form:
    item = either(
        defined("service"),
        closed(
            {
                "service": explained(defined("services"), "What shall pass."),
                nets: explained(defined("nets"), "For these addresses only."),
            },
            required=("service",),
        ),
    )
    return either(choice((NONE_WORD,)), listed(item), defined("variable"))


SURROUNDINGS: dict[str, Form] = {
    "marks": explained(
        closed(
            {
                "mask": explained(
                    defined("mask"), "Four bits for the verdict; without it 0xf0000."
                ),
                "steer": explained(
                    defined("mask"), "Bits that 'steer' may use; without it 0x0ff00000."
                ),
            }
        )
        | {"minProperties": 1},
        "The bits of the packet mark that netfw uses.",
    ),
    "defaults": explained(
        closed(_settings()),
        "What becomes of packets before the rules are asked.",
    ),
    "failsafes": explained(
        either(
            choice((NONE_WORD,)),
            closed(
                {
                    "ingress": explained(_failsafes("from"), "What comes in to this host."),
                    "egress": explained(_failsafes("to"), "What this host sends."),
                }
            ),
        ),
        "What passes at host endpoints whatever the rules say. Without them ssh comes in, and dns "
        "and dhcp go out; none means none at all.",
    ),
    "tiers": explained(
        listed(
            closed(
                {
                    "name": explained(defined("name"), "What policies call it in 'tier'."),
                    "default": explained(
                        chosen(TIER_DEFAULTS), "What becomes of what no rule of it matches."
                    ),
                },
                required=("name",),
            )
        ),
        "Groups of policies, in the order in which they are asked. Policies without 'tier' are "
        "asked last.",
    ),
}
"""Forms by key of a policy file."""
