"""The whole language as one JSON Schema."""

from __future__ import annotations

import json

from netfw.policy.document import VERSION
from netfw.policy.schema.assertions import ASSERTIONS
from netfw.policy.schema.form import (
    Form,
    choice,
    closed,
    defined,
    explained,
    listed,
    one_or_list,
    text,
)
from netfw.policy.schema.objects import DEFINITIONS, OBJECTS
from netfw.policy.schema.rules import RULES
from netfw.policy.schema.stages import SURROUNDINGS
from netfw.policy.schema.steering import STEERING
from netfw.policy.schema.translations import TRANSLATIONS
from netfw.policy.schema.words import WORDS
from netfw.policy.sections import SECTIONS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
"""The JSON Schema that this is written in."""

_SECTIONS: dict[str, Form] = {
    "version": explained(
        choice((int(VERSION), VERSION)), f"The version of the language: {VERSION}."
    ),
    "include": explained(
        one_or_list(text(r"[^$]+")),
        "Files whose content comes before that of this file; names are relative to it, and may "
        'have *, ? and […]: "sites/*.yaml".',
    ),
    **SURROUNDINGS,
    **DEFINITIONS,
    "policies": explained(
        listed(defined("policy")), "Rules. The first one that matches a packet decides."
    ),
    "nat": explained(listed(defined("translation")), "Changes of addresses."),
    "steer": explained(listed(defined("steering")), "What goes another way than the rest."),
    "assert": explained(
        listed(defined("assertion")), "What must be so: proved, and shown on the kernel."
    ),
}


def schema() -> Form:
    """The JSON Schema of a policy file.

    A file of several may leave ``version`` out, so it is not required here.
    """
    if _SECTIONS.keys() != SECTIONS.keys():
        raise AssertionError(f"the reader has other keys: {_SECTIONS.keys() ^ SECTIONS.keys()}")
    nouns = WORDS | OBJECTS | RULES | TRANSLATIONS | STEERING | ASSERTIONS
    return {
        "$schema": DIALECT,
        "title": "netfw policy",
        "description": f"A firewall policy for netfw, version {VERSION} of the language.",
        **closed({key: _SECTIONS[key] for key in SECTIONS}),
        "$defs": {
            noun: {"title": noun.replace("-", " "), **nouns[noun]} for noun in sorted(nouns)
        },
    }


def schema_text() -> str:
    """The same as text, always the same."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
