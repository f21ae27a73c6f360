"""What a target of the nat table does to packets: their addresses and ports behind it."""

from __future__ import annotations

from netfw.ir.names import Hook
from netfw.ir.net import Net
from netfw.ir.target import Dnat, Masquerade, NatRange, Netmap, Redirect, Snat
from netfw.prove.space import Bdd, Field, Space
from netfw.traverse.hooks import NAT_SIDE_IS_DESTINATION
from netfw.traverse.nat import LOOPBACK_ADDRESS
from netfw.traverse.packet import PORT_PROTOCOLS

Translation = Dnat | Redirect | Snat | Masquerade | Netmap
Replaced = dict[str, Bdd | bool]
"""What stands in a variable's place."""


def translation(space: Space, hook: Hook, target: Translation) -> Replaced:
    """What a translation puts in the place of a packet's addresses, for the tables behind it.

    What cannot be foretold (which address of a range, this host's own) is an oracle, and counts
    as another one. A connection that already goes where it is sent is not marked as translated
    (nf_nat_setup_info in nf_nat_core.c).
    """
    is_destination = NAT_SIDE_IS_DESTINATION[hook]
    flag = Field.DNAT if is_destination else Field.SNAT
    address_field = Field.DESTINATION if is_destination else Field.SOURCE
    port_field = Field.DESTINATION_PORT if is_destination else Field.SOURCE_PORT
    found: Replaced = {}
    if isinstance(target, Netmap):
        found |= _moved(space, address_field, target.to)
        is_known = True
    else:
        to = target.to
        at_random = any(word.startswith("--random") for word in to.flags)
        is_known = not (at_random or _is_range(to.addresses)) and (
            not _is_range(to.ports) or to.base is not None
        )
        if isinstance(target, Redirect) and hook is Hook.OUTPUT:
            # what this host sends stays on it (nf_nat_redirect_ipv4 in nf_nat_redirect.c)
            found |= space.constants(address_field, LOOPBACK_ADDRESS[space.family])
        elif isinstance(target, Masquerade | Redirect):
            is_known = False
            for name in space.names_of(address_field):
                found[name] = space.oracle((hook, target, name))
        elif to.addresses is not None:
            found |= _one_of(space, address_field, to.addresses, (hook, target))
        found |= _new_ports(space, port_field, to, (hook, target), at_random=at_random)
    changed = _changed(space, found) if is_known else space.true
    for name in space.names_of(flag):
        found[name] = space.variable(name) | changed
    return found


def _moved(space: Space, field: Field, net: Net) -> Replaced:
    """The bits of the network become its own, those of the host stay (xt_NETMAP.c)."""
    mask = space.constants(field, net.mask)
    return {name: bit for name, bit in space.constants(field, net.address).items() if mask[name]}


def _one_of(space: Space, field: Field, span: tuple[int, int], key: object) -> Replaced:
    """An address of a range: the oracles' where they name one of it, else the first."""
    first, last = (space.constants(field, address) for address in span)
    if not _is_range(span):
        return dict(first)
    names = space.names_of(field)
    same = next(place for place, name in enumerate(names) if first[name] is not last[name])
    found: Replaced = {name: first[name] for name in names[:same]}
    oracles = {name: space.oracle((key, name)) for name in names[same:]}
    inside = _at_edge(space, oracles, first, is_lower=True)
    inside &= _at_edge(space, oracles, last, is_lower=False)
    for name, oracle in oracles.items():
        found[name] = oracle & inside | ~inside if first[name] else oracle & inside
    return found


def _at_edge(
    space: Space, variables: dict[str, Bdd], edge: dict[str, bool], *, is_lower: bool
) -> Bdd:
    """Where a number, the highest bit first, is at least an edge (or at most)."""
    found = space.true
    for name, variable in reversed(variables.items()):
        bit = variable if is_lower else ~variable
        found = bit & found if edge[name] is is_lower else bit | found
    return found


def _new_ports(
    space: Space, field: Field, to: NatRange, key: object, *, at_random: bool
) -> Replaced:
    found: Replaced = {}
    with_ports = space.any_of(space.equal(Field.PROTOCOL, number) for number in PORT_PROTOCOLS)
    names = space.names_of(field)
    if to.ports is not None and to.base is not None:
        size = to.ports[1] - to.ports[0]
        moved = _sum(space, field, to.ports[0] - to.base)
        # behind the range it begins anew: nobody asks for that
        inside = space.between(field, to.base, min(to.base + size, 0xFFFF))
        for name in names:
            elsewhere = space.ite(with_ports, space.oracle((key, name)), space.variable(name))
            found[name] = space.ite(with_ports & inside, moved[name], elsewhere)
    elif at_random or _is_range(to.ports):
        if to.ports is not None and not at_random:
            # a port that is in the range already stays (get_unique_tuple in nf_nat_core.c)
            with_ports &= ~space.between(field, *to.ports)
        for name in names:
            oracle = space.oracle((key, name))
            found[name] = space.ite(with_ports, oracle, space.variable(name))
    elif to.ports is not None:
        for name, bit in space.constants(field, to.ports[0]).items():
            variable = space.variable(name)
            found[name] = variable | with_ports if bit else variable & ~with_ports
    return found


def _sum(space: Space, field: Field, distance: int) -> dict[str, Bdd]:
    """A field's variables with a distance added, without what does not fit."""
    bits = space.constants(field, distance & ((1 << space.width(field)) - 1))
    found: dict[str, Bdd] = {}
    carry = space.false
    for name, bit in reversed(bits.items()):
        variable = space.variable(name)
        plus = space.true if bit else space.false
        found[name] = space.either(space.either(variable, plus), carry)
        carry = (variable & plus) | (carry & (variable | plus))
    return found


def _changed(space: Space, replacements: Replaced) -> Bdd:
    """The packets for which any variable is replaced by something else."""
    parts = []
    for name, to in replacements.items():
        old = space.variable(name)
        if isinstance(to, bool):
            parts.append(~old if to else old)
        else:
            parts.append(space.either(old, to))
    return space.any_of(parts)


def _is_range(span: tuple[int, int] | None) -> bool:
    return span is not None and span[0] != span[1]
