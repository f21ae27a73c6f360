"""Sets compared as what they mean, whichever program printed them and whatever they are called.

A set that changes together with rules gets another name, so that the rules' own transaction goes
over to it: of ``NETFW-4-…`` and the same with ``.b``, ``.c`` and ``.d`` one that is not in use.
Two may be where a change was broken off between two tables, and others may ask one more.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

from netfw.errors import ConflictError
from netfw.ir.ipset import IpSet, SetMember
from netfw.render.ipset import render_member

_OTHERS = (".b", ".c", ".d")
_KEPT = ("family", "maxelem", "counters", "comment")
"""Options that the kernel keeps as they are: hashsize grows, and initval is its own choice."""
_COUNTED = frozenset({"packets", "bytes"})
_NAMED = re.compile(r"(--match-set )(\S+)")


def base_of(name: str) -> str:
    """What the policy calls a set that has this name on a host."""
    return name[:-2] if name.endswith(_OTHERS) else name


def free_name(base: str, taken: Container[str]) -> str:
    """A name of a set that no other one has; at most 30 bytes, of 31 that ipset allows.

    Raises ConflictError where there is none: others ask what netfw needs no more.
    """
    for name in (base, *(base + end for end in _OTHERS)):
        if name not in taken:
            return name
    raise ConflictError.at(
        f"set {base}",
        "it cannot be made anew: rules or lists that are not netfw's ask those of before",
        f"iptables-save, ip6tables-save and ipset list say which: look for {base}",
    )


def sets_named(text: str) -> list[str]:
    """The sets that a rule asks."""
    return [name for _, name in _NAMED.findall(text)]


def rename_sets(text: str, names: Mapping[str, str]) -> str:
    """A rule with other names for the sets that it asks."""
    if "--match-set " not in text:
        return text
    return _NAMED.sub(lambda found: found[1] + names.get(found[2], found[2]), text)


def shape_of(ipset: IpSet) -> str:
    """Kind and options, as far as they were asked for."""
    options = dict(ipset.options)
    words = [f"{name} {options[name]}".rstrip() for name in _KEPT if name in options]
    return " ".join((ipset.kind, *words))


def member_of(member: SetMember) -> str:
    """A member without its counters, and protocols as netfw spells them."""
    said = member.extensions
    if not said or (len(said) == 2 and said[0] == "comment"):
        # nearly every one, of as many as there are rules
        return member.printed or render_member(member)
    words = iter(said)
    kept = [
        f"{word} {value}" for word, value in zip(words, words, strict=True) if word not in _COUNTED
    ]
    plain = SetMember(member.parts, member.nomatch)
    return " ".join((render_member(plain), *kept))
