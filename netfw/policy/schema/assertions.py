"""Forms of ``assert``."""

from __future__ import annotations

from netfw.policy.read_assert import HOST
from netfw.policy.schema.form import (
    Form,
    choice,
    closed,
    defined,
    either,
    explained,
    just_one_of,
    negatable,
)


def _packets() -> Form:
    end = either(choice((HOST,)), negatable(defined("nets")))
    return closed(
        {
            "in": explained(defined("endpoints"), "Where they come in; without it anywhere."),
            "out": explained(defined("endpoints"), "Where they leave; without it anywhere."),
            "service": explained(defined("services"), "What they are; without it anything."),
            "from": explained(end, "Where they come from: nets, {not: nets}, or host."),
            "to": explained(end, "Where they go to: nets, {not: nets}, or host."),
        }
    )


ASSERTIONS: dict[str, Form] = {
    "assertion": {
        "description": "What must be so, whatever the rules become.",
        **just_one_of(
            {
                "allowed": explained(_packets(), "Each of these packets may begin a connection."),
                "denied": explained(_packets(), "Each of these packets is refused."),
            }
        ),
    },
}
"""Forms by noun."""
