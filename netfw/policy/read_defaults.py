"""Reads ``defaults``: what becomes of packets before the rules are asked."""

from __future__ import annotations

from netfw.policy.defaults import Defaults, Handling, OnAccept
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import Fields, read_fields, read_word
from netfw.policy.source import Entry

_YES_NO = ("yes", "no")
_CHOICES = {
    "established": ("allow", "ask"),
    "invalid": ("deny", "ask", "allow"),
    "neighbour-discovery": ("allow", "ask"),
    "dhcp": ("allow", "ask"),
    "path-mtu": ("allow", "ask"),
    "on-accept": ("accept", "return"),
    "strict-exit": _YES_NO,
}
"""Every setting with the words it takes, the one that is meant without it first (for strict-exit
it is no)."""


def read_defaults(entry: Entry, faults: Faults) -> Defaults:
    """Read the settings; what is left out is as it is without them."""
    fields = read_fields(entry.value, tuple(_CHOICES), "'defaults'", faults)
    if fields is None:
        return Defaults()
    said = {key: _read_choice(fields, key, faults) for key in _CHOICES}
    return Defaults(
        established=Handling(said["established"] or "allow"),
        invalid=Handling(said["invalid"] or "deny"),
        neighbour_discovery=said["neighbour-discovery"] != "ask",
        dhcp=said["dhcp"] != "ask",
        path_mtu=said["path-mtu"] != "ask",
        on_accept=OnAccept(said["on-accept"] or "accept"),
        strict_exit=said["strict-exit"] == "yes",
        where=entry.key.where,
    )


def _read_choice(fields: Fields, key: str, faults: Faults) -> str | None:
    node = fields.find(key)
    word = None if node is None else read_word(node, f"'{key}'", faults)
    if word is None:
        return None
    choices = _CHOICES[key]
    if word.text not in choices:
        faults.add(
            word.where,
            f"'{key}' cannot be '{word.text}'",
            did_you_mean(word.text, choices, f"it is one of {', '.join(choices)}"),
        )
        return None
    return word.text
