"""From the texts of a policy to one tree: files joined, variables replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netfw.errors import Where
from netfw.policy.faults import Faults, did_you_mean
from netfw.policy.fields import Fields, read_entries, read_word
from netfw.policy.inclusion import Inclusion
from netfw.policy.joining import join_files
from netfw.policy.library import Library, LibraryFault
from netfw.policy.sections import SECTIONS
from netfw.policy.source import Entry, Mapping, Node, Scalar
from netfw.policy.variables import Definition, Variables, read_definitions
from netfw.policy.yaml_text import NodeCount, parse_nodes

VERSION = "1"
"""The version of the language."""


@dataclass(frozen=True, slots=True)
class Given:
    """Variables from outside, which count more than those of the policy.

    ``words`` are names and values, where ``[a, b]`` is a list; ``file`` is the name of a text
    that is a mapping of more. A word counts more than the file.
    """

    words: tuple[tuple[str, str], ...] = ()
    file: str | None = None


NOTHING_GIVEN = Given()


def read_document(
    names: Sequence[str], library: Library, given: Given, faults: Faults
) -> Fields | None:
    """Read the texts with these names and what they include, one after the other.

    None, and a fault, where there is nothing that could be read.
    """
    count = NodeCount()
    inclusion = Inclusion(library, count, faults)
    for name in names:
        inclusion.add_file(name)
    files = inclusion.files
    if not files:
        return None
    root = join_files(files, faults)
    for file in files:
        _check_version(file.root, faults)
    defined = {}
    written = root.find("vars")
    if written is not None:
        defined = read_definitions(read_entries(written, "'vars'", faults), faults)
    outside = _read_given(given, library, count, faults)
    variables = Variables(defined | outside, count, faults)
    variables.resolve_all()
    if any(file.has_dollar for file in files):
        root = _replace(root, variables)
    for name, definition in outside.items():
        if name not in defined and name not in variables.used:
            faults.add(
                definition.where,
                f"the policy has no variable '{name}'",
                did_you_mean(name, defined, "nothing would change; remove it"),
            )
    return Fields(root, tuple(SECTIONS), "a policy file", faults)


def _check_version(root: Mapping, faults: Faults) -> None:
    node = root.find("version")
    word = read_word(node, "'version'", faults) if node else None
    if word and word.text != VERSION:
        faults.add(
            word.where,
            f"version '{word.text}' of the policy language is not known",
            f"this netfw knows version {VERSION}",
        )


def _replace(root: Mapping, variables: Variables) -> Mapping:
    """Variables are not replaced where they do not exist yet."""
    kept = {key: root.by_key[key] for key in ("version", "include", "vars") if key in root.by_key}
    others = {key: entry for key, entry in root.by_key.items() if key not in kept}
    replaced = variables.replace(Mapping(root.file, root.place, others))
    return Mapping(root.file, root.place, kept | replaced.by_key)


def _read_given(
    given: Given, library: Library, count: NodeCount, faults: Faults
) -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    if given.file is not None:
        found = _read_file(given.file, library, count, faults)
    for name, text in given.words:
        place = f"--var {name}"
        key = Scalar(place, 0, name)
        value: Node | None = Scalar(place, 0, text, True)
        if text.startswith("[") and text.endswith("]"):
            value = parse_nodes(text, place, faults, count)
        if value is not None:
            found |= read_definitions((Entry(key, value),), faults)
    return found


def _read_file(
    name: str, library: Library, count: NodeCount, faults: Faults
) -> dict[str, Definition]:
    try:
        text = library.text_of(name)
    except LibraryFault as fault:
        faults.add(Where(name, fault.line), fault.problem, fault.hint)
        return {}
    node = parse_nodes(text, name, faults, count)
    if node is None:
        return {}
    return read_definitions(read_entries(node, "a file of variables", faults), faults)
