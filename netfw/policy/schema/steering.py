"""Forms of ``steer``."""

from __future__ import annotations

from netfw.policy.read_steer import HOST, STEER_CRITERIA
from netfw.policy.read_via import IF_DOWN
from netfw.policy.schema.criteria import CRITERIA, excepting
from netfw.policy.schema.form import (
    Form,
    choice,
    chosen,
    closed,
    defined,
    either,
    explained,
    one_or_list,
)
from netfw.policy.schema.rules import NAME_OF_RULE


def _via() -> Form:
    return closed(
        {
            "out": explained(
                either(defined("name"), defined("interface")),
                "The interface it leaves by, or an endpoint with one.",
            ),
            "gateway": explained(
                one_or_list(defined("address")), "The next hop, one for each family."
            ),
            "if-down": explained(
                chosen(IF_DOWN),
                "Where the route is gone: main (the normal way, which is meant without it), or "
                "refuse.",
            ),
        },
        required=("out",),
    )


def _entry() -> Form:
    criteria = {key: CRITERIA[key] for key in STEER_CRITERIA}
    sources = either(choice((HOST,)), excepting(defined("nets")))
    return closed(
        criteria
        | {
            "in": explained(defined("endpoints"), "Where packets come in; without it anywhere."),
            "service": explained(
                excepting(defined("services")), "What they are; without it anything."
            ),
            "from": explained(sources, "Where they come from; host is what this host sends."),
            "table": explained(defined("table"), "The routing table that the packets take."),
            "via": explained(_via(), "The default route of the table: netfw makes it."),
            "replies": explained(
                defined("flag"), "true: the table is for the answers of the connections."
            ),
            "class": explained(defined("class"), "The class of tc that they belong to."),
            "name": NAME_OF_RULE,
        }
    ) | {"anyOf": [{"required": ["table"]}, {"required": ["class"]}]}


STEERING: dict[str, Form] = {
    "steering": {
        "description": "Sends packets another way, or into a class of tc. The first entry that "
        "matches decides.",
        **_entry(),
    },
}
"""Forms by noun."""
