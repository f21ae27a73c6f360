"""Forms of ``nat``."""

from __future__ import annotations

from collections.abc import Iterable

from netfw.policy.read_destination_nat import ARRIVING_KEYS, DNAT_KEYS, REDIRECT_KEYS
from netfw.policy.read_exempt import EXEMPT_KEYS
from netfw.policy.read_netmap import NETMAP_KEYS
from netfw.policy.read_source_nat import LEAVING_KEYS, MASQUERADE_KEYS, SNAT_KEYS
from netfw.policy.read_steer import HOST
from netfw.policy.schema.criteria import excepting
from netfw.policy.schema.form import (
    Form,
    choice,
    closed,
    defined,
    either,
    explained,
    just_one_of,
    one_or_list,
    text,
    with_variable,
)
from netfw.policy.schema.rules import NAME_OF_RULE
from netfw.policy.translation import TranslationKind

_ADDRESSES = "[0-9A-Fa-f.:]+(?:-[0-9A-Fa-f.:]+)?"
_PORTS = "(?::[0-9]+(?:[-:][0-9]+)?)?"
_NETS = excepting(defined("nets"))
_FROM_NETS = either(choice((HOST,)), _NETS)
_ENDPOINTS = defined("endpoints")
_PLACE = one_or_list(with_variable(text(rf"{_ADDRESSES}{_PORTS}|\[{_ADDRESSES}\]{_PORTS}")))

_KEYS: dict[str, Form] = {
    "in": explained(_ENDPOINTS, "What comes in by these."),
    "out": explained(_ENDPOINTS, "What leaves by these."),
    "from-nets": explained(_NETS, "Addresses that it comes from."),
    "to-nets": explained(_NETS, "Addresses that it goes to."),
    "addressed-to": explained(_NETS, "Addresses that it was sent to; without it any."),
    "service": explained(excepting(defined("services")), "What it is."),
    "family": explained(
        with_variable(choice((4, 6, "4", "6", "all"))), "The version of IP: 4, 6, or all."
    ),
    "to-ports": explained(defined("ports"), "Ports that it gets, out of this range."),
    "random": explained(defined("flag"), "true: ports are chosen at random."),
    "lasting": explained(defined("flag"), "true: a client keeps its address of a range."),
    "hairpin": explained(_ENDPOINTS, "Clients behind these reach the service in the same way."),
    "name": NAME_OF_RULE,
}
_NOT_OF_HOST: Form = {"not": {"const": HOST}}
_CAME_BY = explained(_ENDPOINTS | _NOT_OF_HOST, "What came in by these; without it anything.")
_CAME_FROM = explained(_FROM_NETS, "Addresses that it comes from; host is what this host sends.")
_ARRIVING: Form = either(
    {"required": ["in"], "properties": {"from": _NOT_OF_HOST}},
    {"required": ["from"], "properties": {"from": with_variable(choice((HOST,))), "in": False}},
)
"""What arrives by an interface, or is sent by this host."""
_LEAVING: Form = {"required": ["out"], "properties": {"from": _NOT_OF_HOST}}


def _without(keys: Iterable[str], others: Iterable[str]) -> Form:
    """None of the keys, but for those that are among the others."""
    return {"properties": dict.fromkeys(sorted(set(keys) - set(others)), False)}


def _entry(keys: Iterable[str], required: tuple[str, ...], **others: Form) -> Form:
    """``others`` are the forms of ``from`` and ``to``."""
    forms = _KEYS | others
    return closed({key: forms[key] for key in keys}, required)


_KINDS: dict[TranslationKind, Form] = {
    TranslationKind.MASQUERADE: explained(
        _entry(MASQUERADE_KEYS, ("out",), **{"from": _CAME_BY}),
        "Gives what leaves the address of the interface that it leaves by.",
    ),
    TranslationKind.SNAT: explained(
        _entry(
            SNAT_KEYS,
            ("out", "to"),
            **{"from": _CAME_BY, "to": explained(_PLACE, "The address that it gets, or a range.")},
        ),
        "Gives what leaves another source address.",
    ),
    TranslationKind.DNAT: explained(
        _entry(
            DNAT_KEYS,
            ("service", "to"),
            **{
                "from": _CAME_FROM,
                "to": explained(_PLACE, "Where it goes: 10.0.0.5:443, or without a port."),
            },
        )
        | _ARRIVING
        | {"dependentRequired": {"hairpin": ["in", "addressed-to"]}},
        "Redirects a service to another address, and allows it there.",
    ),
    TranslationKind.REDIRECT: explained(
        _entry(
            REDIRECT_KEYS,
            ("service",),
            **{"from": _CAME_FROM, "to": explained(defined("ports"), "The port of this host.")},
        )
        | _ARRIVING,
        "Redirects a service to this host.",
    ),
    TranslationKind.NETMAP: explained(
        _entry(
            NETMAP_KEYS,
            ("in", "from", "to"),
            **{
                "from": explained(defined("nets"), "The network that others see."),
                "to": explained(defined("nets"), "The network that is really there."),
            },
        ),
        "One network stands for another, address by address.",
    ),
    TranslationKind.EXEMPT: explained(
        _entry(
            EXEMPT_KEYS,
            (),
            **{
                "from": explained(
                    either(_ENDPOINTS, _FROM_NETS),
                    "With 'out', endpoints that it came in by; with 'in', its addresses; or host.",
                )
            },
        )
        | either(
            {"allOf": [_LEAVING, _without(ARRIVING_KEYS, LEAVING_KEYS)]},
            {"allOf": [_ARRIVING, _without(LEAVING_KEYS, ARRIVING_KEYS)]},
        ),
        "Leaves it as it is.",
    ),
}

TRANSLATIONS: dict[str, Form] = {
    "translation": {
        "description": "Changes addresses. The first entry that is about a packet decides.",
        **just_one_of({kind.value: form for kind, form in _KINDS.items()}),
    },
}
"""Forms by noun."""
