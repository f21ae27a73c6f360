"""Reads ``defaults``: what becomes of packets before the rules are asked."""

from __future__ import annotations

from netfw.policy.defaults import Defaults, Handling, OnAccept
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import Fields, read_fields, read_flag, read_word
from netfw.policy.source import Entry

CHOICES = {
    "established": ("allow", "ask"),
    "invalid": ("deny", "ask", "allow"),
    "neighbour-discovery": ("allow", "ask"),
    "dhcp": ("allow", "ask"),
    "path-mtu": ("allow", "ask"),
    "on-accept": ("accept", "return"),
}
"""The settings with the words that they take, the one that is meant without it first."""
STRICT_EXIT = "strict-exit"


def read_defaults(entry: Entry, faults: Faults) -> Defaults:
    """Read the settings; what is left out is as it is without them."""
    fields = read_fields(entry.value, (*CHOICES, STRICT_EXIT), "'defaults'", faults)
    if fields is None:
        return Defaults()
    said = {key: _read_choice(fields, key, faults) for key in CHOICES}
    strict = fields.find(STRICT_EXIT)
    return Defaults(
        established=Handling(said["established"] or "allow"),
        invalid=Handling(said["invalid"] or "deny"),
        neighbour_discovery=said["neighbour-discovery"] != "ask",
        dhcp=said["dhcp"] != "ask",
        path_mtu=said["path-mtu"] != "ask",
        on_accept=OnAccept(said["on-accept"] or "accept"),
        strict_exit=strict is not None and read_flag(strict, f"'{STRICT_EXIT}'", faults),
        where=entry.key.where,
    )


def _read_choice(fields: Fields, key: str, faults: Faults) -> str | None:
    node = fields.find(key)
    word = None if node is None else read_word(node, f"'{key}'", faults)
    if word is None:
        return None
    choices = CHOICES[key]
    if word.text not in choices:
        faults.add(
            word.where,
            f"'{key}' cannot be '{word.text}'",
            did_you_mean(word.text, choices, f"it is one of {', '.join(choices)}"),
        )
        return None
    return word.text
