"""Reads ``nets``: names for addresses, which may come from files and from host names."""

from __future__ import annotations

import re

from netfw.errors import Where
from netfw.ir.net import Net
from netfw.policy.address_list import parse_list
from netfw.policy.definitions import Definitions
from netfw.policy.faults import Faults
from netfw.policy.fields import read_fields, read_word, read_words
from netfw.policy.library import Library, LibraryFault, beside
from netfw.policy.names import RESERVED_NAMES
from netfw.policy.net_literal import is_net_literal, read_net
from netfw.policy.source import Mapping, Node, Scalar
from netfw.policy.surroundings import Surroundings, SurroundingsFault

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
"""RFC 1123, section 2.1; and ``_``, which some names have."""
MAX_HOST_NAME = 253
"""Longest name (RFC 1035, section 2.3.4, without the length of the root)."""


def read_net_definitions(
    node: Node | None, library: Library, surroundings: Surroundings, faults: Faults
) -> Definitions[Net]:
    """Read all definitions."""
    members = _Members(library, surroundings)
    nets: Definitions[Net] = Definitions(
        "net", read_net, is_net_literal, {}, faults, members.expand
    )
    if node is not None:
        nets.read(node, RESERVED_NAMES)
    return nets


class _Members:
    """Members of a definition that are neither literals nor names; each file is read once."""

    def __init__(self, library: Library, surroundings: Surroundings) -> None:
        self._library = library
        self._surroundings = surroundings
        self._lists: dict[str, tuple[Net, ...] | None] = {}

    def expand(self, node: Mapping, faults: Faults) -> tuple[Net, ...] | None:
        """``{file: lists/blocked.txt}`` or ``{dns: deb.debian.org}``."""
        before = len(faults)
        fields = read_fields(node, ("file", "dns"), "a net", faults)
        if fields is None or len(faults) > before:
            return None
        file, dns = fields.find("file"), fields.find("dns")
        if (file is None) is (dns is None):
            faults.add(
                node.where,
                "a net from elsewhere is one 'file' or 'dns'",
                "write {file: lists/blocked.txt} or {dns: deb.debian.org}",
            )
            return None
        if file is not None:
            word = read_word(file, "'file'", faults)
            return None if word is None else self._read_list(word, faults)
        assert dns is not None
        found: dict[Net, None] = {}
        for word in read_words(dns, "'dns'", faults):
            found.update(dict.fromkeys(self._resolve(word, faults)))
        return tuple(found) if len(faults) == before else None

    def _read_list(self, word: Scalar, faults: Faults) -> tuple[Net, ...] | None:
        name = beside(word.file, word.text)
        if name in self._lists:
            return self._lists[name]
        found = None
        try:
            text = self._library.text_of(name)
        except LibraryFault as fault:
            if fault.line:
                faults.add(Where(name, fault.line), fault.problem, "save the list as UTF-8 text")
            else:
                faults.add(word.where, f"'{name}': {fault.problem}", fault.hint)
        else:
            faults.begin_file(word.file)
            found = parse_list(text, name, faults)
        self._lists[name] = found
        return found

    def _resolve(self, word: Scalar, faults: Faults) -> tuple[Net, ...]:
        name = word.text.lower().removesuffix(".")
        if len(name) > MAX_HOST_NAME or not _HOST_NAME.fullmatch(name) or name.isdigit():
            faults.add(
                word.where,
                f"'{word.text}' cannot be the name of a host",
                "write it like deb.debian.org",
            )
            return ()
        try:
            return self._surroundings.addresses_of(name)
        except SurroundingsFault as fault:
            faults.add(word.where, fault.problem, fault.hint)
            return ()
