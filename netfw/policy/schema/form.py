"""Forms: parts of a JSON Schema, and how larger ones are made of smaller ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

Form = dict[str, object]
"""A JSON Schema of some value."""


def defined(noun: str) -> Form:
    """A form that is written down under ``$defs``."""
    return {"$ref": f"#/$defs/{noun}"}


VARIABLE = "variable"
"""What stands for a value that is written elsewhere, under ``$defs``."""


def either(*forms: Form) -> Form:
    """A value of one of these forms."""
    return {"anyOf": list(forms)}


def with_variable(*forms: Form) -> Form:
    """The same, or a variable in its place."""
    return either(*forms, defined(VARIABLE))


def text(pattern: str, longest: int | None = None) -> Form:
    """A text that is wholly of a pattern."""
    limit: Form = {} if longest is None else {"maxLength": longest}
    return {"type": "string", "pattern": f"^(?:{pattern})$"} | limit


def number(first: int, last: int) -> Form:
    """A number that YAML reads as one, in a range."""
    return {"type": "integer", "minimum": first, "maximum": last}


def choice(words: Iterable[object]) -> Form:
    """One of some words."""
    return {"enum": list(words)}


def chosen(words: Iterable[object]) -> Form:
    """One of some words, or a variable in its place."""
    return with_variable(choice(words))


def listed(item: Form) -> Form:
    """A list with something in it."""
    return {"type": "array", "items": item, "minItems": 1}


def one_or_list(item: Form, *, each_once: bool = True) -> Form:
    """One, or a list of them."""
    unique: Form = {"uniqueItems": True} if each_once else {}
    return either(item, listed(item) | unique)


def negatable(form: Form) -> Form:
    """What a criterion says, or ``{not: …}``."""
    return either(form, closed({"not": form}, required=("not",)))


def closed(properties: Mapping[str, Form], required: Collection[str] = ()) -> Form:
    """A mapping with these keys and no others."""
    found: Form = {"type": "object", "additionalProperties": False, "properties": dict(properties)}
    return found | {"required": sorted(required)} if required else found


def just_one_of(properties: Mapping[str, Form], others: Mapping[str, Form] | None = None) -> Form:
    """A mapping with exactly one of some keys, and perhaps others."""
    return closed(dict(properties) | dict(others or {})) | {
        "oneOf": [{"required": [key]} for key in properties]
    }


def named(value: Form, name: str, reserved: Collection[str] = ()) -> Form:
    """A mapping whose keys are names of somebody's choice, which are of the pattern ``name``."""
    found: Form = {
        "type": "object",
        "additionalProperties": False,
        "patternProperties": {f"^(?:{name})$": value},
        "minProperties": 1,
    }
    return found | {"propertyNames": {"not": choice(sorted(reserved))}} if reserved else found


def explained(form: Form, description: str) -> Form:
    """A form with what an editor says of it."""
    return form | {"description": description}
