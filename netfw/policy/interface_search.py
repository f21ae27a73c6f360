"""Finds the interfaces of an endpoint that are described and not named."""

from __future__ import annotations

from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import read_fields, read_word, read_words
from netfw.policy.source import Mapping, Node, Scalar, word_at
from netfw.policy.surroundings import Surroundings, SurroundingsFault

ROUTES = {
    "true": tuple(Family),
    "4": (Family.IPV4,),
    "6": (Family.IPV6,),
}
"""Which families' default routes are meant, by the word."""


def look_for_interfaces(
    node: Mapping, surroundings: Surroundings, faults: Faults, *, is_optional: bool
) -> tuple[Scalar, ...]:
    """``{address: 192.0.2.10}`` or ``{default-route: true}``: the interfaces' names, as if they
    were written there.

    None at all is a fault, unless the endpoint is optional.
    """
    fields = read_fields(node, ("address", "default-route"), "'host'", faults)
    if fields is None:
        return ()
    address, route = fields.find("address"), fields.find("default-route")
    if (address is None) is (route is None):
        faults.add(
            node.where,
            "an interface is described by one 'address' or 'default-route'",
            "write {address: 192.0.2.10} or {default-route: true}",
        )
        return ()
    if address is not None:
        return _with_address(address, surroundings, faults, is_optional=is_optional)
    assert route is not None
    word = read_word(route, "'default-route'", faults)
    families = ROUTES.get(word.text) if word else None
    if word is None or families is None:
        if word is not None:
            hint = did_you_mean(word.text, ROUTES, "write true, or 4 or 6 for one family")
            faults.add(word.where, f"'default-route' cannot be '{word.text}'", hint)
        return ()
    try:
        found = surroundings.host_names().with_default_route(families)
    except SurroundingsFault as fault:
        faults.add(word.where, fault.problem, fault.hint)
        return ()
    if not found and not is_optional:
        what = "" if len(families) > 1 else f" of {families[0]}"
        faults.add(word.where, f"no interface of this host has a default route{what}", _HINT)
    return tuple(word_at(word.where, name) for name in found)


def _with_address(
    node: Node, surroundings: Surroundings, faults: Faults, *, is_optional: bool
) -> tuple[Scalar, ...]:
    found: dict[str, Scalar] = {}
    for word in read_words(node, "'address'", faults):
        try:
            family, address = parse_address(word.text)
            names = surroundings.host_names().with_address(family, address)
        except ValueError:
            faults.add(
                word.where,
                f"'{word.text}' is not an address",
                "write one address of the interface, such as 192.0.2.10, without a prefix",
            )
            continue
        except SurroundingsFault as fault:
            faults.add(word.where, fault.problem, fault.hint)
            continue
        if not names and not is_optional:
            faults.add(word.where, f"no interface of this host has the address {word.text}", _HINT)
        for name in names:
            found.setdefault(name, word_at(word.where, name))
    return tuple(found.values())


_HINT = (
    "'netfw facts' shows what there is; with 'optional: true' the endpoint's rules wait until "
    "the policy is compiled again"
)
