"""Forms of what a policy gives names to: endpoints, zones, nets, services and variables."""

from __future__ import annotations

from netfw.policy.interface_search import ROUTES
from netfw.policy.names import RESERVED_NAMES
from netfw.policy.read_nets import MAX_HOST_NAME
from netfw.policy.read_services import FROM_PORTS
from netfw.policy.schema.form import (
    Form,
    choice,
    chosen,
    closed,
    defined,
    either,
    explained,
    just_one_of,
    named,
    one_or_list,
    text,
    with_variable,
)
from netfw.policy.schema.words import NAME, PLAIN, WITH_PORTS
from netfw.policy.selector import LABEL_KEY, LABEL_VALUE, MAX_LENGTH
from netfw.policy.service_literal import ANY_WORD, LITERAL_WORDS

_OPTIONAL = "true: there may be none yet."


def _described_interfaces() -> Form:
    routes = [route for word in ROUTES for route in (word, _AS_YAML[word])]
    return just_one_of(
        {
            "address": explained(
                one_or_list(defined("address")), "The interfaces that have these addresses."
            ),
            "default-route": explained(
                chosen(routes), "The interfaces with a default route: true, or 4 or 6."
            ),
        }
    )


_AS_YAML: dict[str, object] = {"true": True, "4": 4, "6": 6}
"""What YAML takes these words for."""


def _net_from_elsewhere() -> Form:
    return just_one_of(
        {
            "file": explained(
                with_variable({"type": "string", "minLength": 1}),
                "A text file with a network on each line, relative to this file.",
            ),
            "dns": explained(
                one_or_list(with_variable(text(r"[A-Za-z0-9_.-]+", MAX_HOST_NAME + 1))),
                "Host names, whose addresses are kept in the lock file.",
            ),
        }
    )


def _endpoint() -> Form:
    label = with_variable(
        {"type": "string", "pattern": f"^(?:{LABEL_VALUE.pattern}|)$"},
        {"type": ["number", "boolean"]},
    )
    return just_one_of(
        {
            "host": explained(
                either(one_or_list(defined("interface")), _described_interfaces()),
                "Interfaces of this host itself: ingress is what comes in to it, egress what it "
                "sends out.",
            ),
            "workload": explained(
                one_or_list(defined("interface")),
                "Interfaces of containers or virtual machines: ingress is what is forwarded into "
                "them, egress what they send.",
            ),
        },
        {
            "labels": explained(
                named(label, LABEL_KEY.pattern), "Words about the endpoint, for selectors."
            ),
            "nets": explained(
                one_or_list(defined("net")),
                "The networks that lie behind it. What comes in from elsewhere is dropped.",
            ),
            "optional": explained(defined("flag"), "true: this host may lack the interface."),
        },
    )


def _protocol_ports() -> Form:
    ports = either(choice((ANY_WORD,)), one_or_list(defined("ports")))
    protocols = {
        word: explained(ports, f"Destination ports of {word}, or any.") for word in WITH_PORTS
    }
    return closed(protocols | {FROM_PORTS: explained(ports, "Source ports.")}) | {
        "anyOf": [{"required": [word]} for word in WITH_PORTS]
    }


OBJECTS: dict[str, Form] = {
    "selector": {
        "description": "Endpoints by their labels.",
        **closed(
            {
                "select": explained(
                    {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH},
                    "Such as env == 'prod' && !has(legacy): ==, !=, in {…}, not in {…}, contains, "
                    "starts with, ends with, has(), all(), !, &&, ||.",
                ),
                "optional": explained(defined("flag"), _OPTIONAL),
            },
            required=("select",),
        ),
    },
    "endpoints": {
        "description": "Endpoints, zones and selectors.",
        **one_or_list(either(defined("name"), defined("selector")), each_once=False),
    },
    "endpoint": _endpoint(),
    "service-with-ports": {
        "description": "Ports with source ports: {tcp: 9000-9010, from-ports: 1024-65535}.",
        **_protocol_ports(),
    },
    "net-from-elsewhere": {
        "description": "Addresses from a file, or of host names.",
        **_net_from_elsewhere(),
    },
    "nets": {"description": "Names of nets, and addresses.", **one_or_list(defined("net"))},
    "services": {"description": "Services.", **one_or_list(defined("service"))},
}
"""Forms by noun."""

DEFINITIONS: dict[str, Form] = {
    "vars": explained(
        named(either(PLAIN, {"type": "array", "items": PLAIN}), NAME),
        "Values that are written once: ${name} may stand in any value, and alone for a list.",
    ),
    "endpoints": explained(
        named(defined("endpoint"), NAME, RESERVED_NAMES),
        "Interfaces under a name. Declaring an endpoint closes it.",
    ),
    "zones": explained(
        named(defined("endpoints"), NAME, RESERVED_NAMES),
        "Names for several endpoints: lists of endpoints and zones, or selectors.",
    ),
    "nets": explained(
        named(
            one_or_list(either(defined("net"), defined("net-from-elsewhere")), each_once=False),
            NAME,
            RESERVED_NAMES,
        ),
        "Names for addresses and networks of both families; they may name each other.",
    ),
    "services": explained(
        named(
            one_or_list(
                either(defined("service"), defined("service-with-ports")), each_once=False
            ),
            NAME,
            RESERVED_NAMES | LITERAL_WORDS,
        ),
        "Names for kinds of packets; they may name each other.",
    ),
}
"""Forms by key of a policy file."""
