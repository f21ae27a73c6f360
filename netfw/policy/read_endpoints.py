"""Reads ``endpoints``: names for interfaces, and what stands behind them."""

from __future__ import annotations

import re

from netfw.ir.names import MAX_INTERFACE_NAME
from netfw.ir.net import Net
from netfw.policy.definitions import Definitions
from netfw.policy.endpoint import Endpoint, EndpointKind
from netfw.policy.faults import Faults
from netfw.policy.fields import check_name, read_entries, read_fields, read_flag, read_words
from netfw.policy.interface_search import look_for_interfaces
from netfw.policy.names import RESERVED_NAMES
from netfw.policy.selector import LABEL_KEY, LABEL_VALUE
from netfw.policy.source import Entry, Mapping, Node, Scalar, describe
from netfw.policy.surroundings import Surroundings

# Linux takes nearly any byte (dev_valid_name in net/core/dev.c); these cover every name that
# tools give, and none that a shell, iptables or a reader could take for something else.
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\+?")


_KEYS = (*(kind.value for kind in EndpointKind), "labels", "nets", "optional")


def read_endpoints(
    node: Node, nets: Definitions[Net], surroundings: Surroundings, faults: Faults
) -> dict[str, Endpoint]:
    """Read all endpoints by name; those at fault are left out where they mean nothing at all."""
    taken = _TakenInterfaces(faults)
    endpoints: dict[str, Endpoint] = {}
    for entry in read_entries(node, "endpoints", faults):
        endpoint = _read_endpoint(entry, taken, nets, surroundings, faults)
        if check_name(entry.key, "the name of an endpoint", RESERVED_NAMES, faults) and endpoint:
            endpoints[endpoint.name] = endpoint
    return endpoints


def _read_endpoint(
    entry: Entry,
    taken: _TakenInterfaces,
    nets: Definitions[Net],
    surroundings: Surroundings,
    faults: Faults,
) -> Endpoint | None:
    name = entry.key.text
    fields = read_fields(entry.value, _KEYS, f"endpoint '{name}'", faults)
    if fields is None:
        return None
    given = [kind for kind in EndpointKind if fields.find(kind.value) is not None]
    if len(given) != 1:
        faults.add(
            entry.key.where,
            f"endpoint '{name}' is {'both host and workload' if given else 'of no kind'}",
            "write {host: eth0} for an interface of this host, "
            "or {workload: veth+} for containers and virtual machines behind it",
        )
        return None
    kind = given[0]
    node = fields.find(kind.value)
    optional = fields.find("optional")
    is_optional = optional is not None and read_flag(optional, "'optional'", faults)
    words: tuple[Scalar, ...] = ()
    if isinstance(node, Mapping) and kind is EndpointKind.HOST:
        words = look_for_interfaces(node, surroundings, faults, is_optional=is_optional)
    elif node is not None:
        words = read_words(node, f"'{kind.value}'", faults)
    # an endpoint keeps interfaces at fault, so that its rules can still be read for more faults
    interfaces = tuple(word.text for word in words)
    for word in words:
        if _check_interface(word, faults):
            taken.take(word, name)
    labels = fields.find("labels")
    behind = fields.find("nets")
    return Endpoint(
        name,
        kind,
        interfaces,
        entry.key.where,
        read_labels(labels, faults) if labels else (),
        read_nets(behind, nets, faults) if behind else (),
        optional=is_optional,
    )


def read_labels(node: Node, faults: Faults) -> tuple[tuple[str, str], ...]:
    """Read ``labels: {env: prod}``; sorted by key."""
    labels: dict[str, str] = {}
    for entry in read_entries(node, "'labels'", faults):
        key, value = entry.key, entry.value
        if not LABEL_KEY.fullmatch(key.text):
            faults.add(
                key.where,
                f"'{key.text}' cannot be the name of a label",
                "write letters, digits, '-', '_' and '.', at most 63 of them; "
                "a domain and '/' may stand before",
            )
        elif not isinstance(value, Scalar) or value.is_empty:
            faults.add(value.where, f"label '{key.text}' must be a word, not {describe(value)}")
        elif value.text and not LABEL_VALUE.fullmatch(value.text):
            faults.add(
                value.where,
                f"'{value.text}' cannot be the value of a label",
                "write letters, digits, '-', '_' and '.', at most 63 of them",
            )
        else:
            labels[key.text] = value.text
    return tuple(sorted(labels.items()))


def read_nets(node: Node, nets: Definitions[Net], faults: Faults) -> tuple[Net, ...]:
    """Read what lies behind an endpoint."""
    found: dict[Net, None] = {}
    for word in read_words(node, "'nets'", faults):
        found.update(dict.fromkeys(nets.resolve_word(word) or ()))
    return tuple(found)


def _check_interface(word: Scalar, faults: Faults) -> bool:
    if word.text == "+":
        faults.add(
            word.where,
            "'+' is every interface, the loopback among them",
            "name the interfaces, or what their names start with: 'eth+'",
        )
    elif not _INTERFACE.fullmatch(word.text):
        faults.add(
            word.where,
            f"'{word.text}' cannot be the name of an interface",
            "write it as 'ip link' shows it, without what follows an '@'; 'veth+' means all "
            "interfaces whose names start with veth",
        )
    elif len(word.text) > MAX_INTERFACE_NAME:
        faults.add(
            word.where,
            f"interface '{word.text}' is longer than {MAX_INTERFACE_NAME} bytes",
            "Linux has no such interface",
        )
    else:
        return True
    return False


class _TakenInterfaces:
    """Which interface belongs to which endpoint. No packet may be judged by two of them."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._exact: dict[str, str] = {}
        self._wild: dict[str, str] = {}

    def take(self, word: Scalar, endpoint: str) -> None:
        rival = self._find_rival(word.text)
        if rival is not None:
            interface, owner = rival
            whose = "the same endpoint" if owner == endpoint else f"endpoint '{owner}'"
            self._faults.add(
                word.where,
                f"interface '{word.text}' overlaps '{interface}' of {whose}",
                "an interface can belong to one endpoint only",
            )
            return
        if word.text.endswith("+"):
            self._wild[word.text] = endpoint
        else:
            self._exact[word.text] = endpoint

    def _find_rival(self, text: str) -> tuple[str, str] | None:
        start = text.removesuffix("+")
        if text in self._exact:
            return text, self._exact[text]
        for interface, owner in self._wild.items():
            other = interface[:-1]
            if start.startswith(other) or (start != text and other.startswith(start)):
                return interface, owner
        if start != text:
            for interface, owner in self._exact.items():
                if interface.startswith(start):
                    return interface, owner
        return None
