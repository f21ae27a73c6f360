"""Extensions of iptables, ebtables and arptables in rules of nf_tables, as the kernel has them.

Source: linux/netfilter/nf_tables.h (NFTA_RULE_EXPRESSIONS, NFTA_TARGET_INFO, NFTA_MATCH_INFO) and
nf_tables_compat.h.
"""

from __future__ import annotations

from netfw.facts.extension_marks import MarkExtension, decode_extension
from netfw.host.namespace import Namespace
from netfw.host.netlink import DUMP, attributes_of, dump, open_netfilter, request, split_attributes

_GET_RULE = 10 << 8 | 7
_TABLE, _HANDLE, _EXPRESSIONS = 1, 3, 4
_NAME, _DATA = 1, 2
_EXTENSION_NAME, _EXTENSION_REVISION, _EXTENSION_INFO = 1, 2, 3
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}

Place = tuple[str, str, int]
"""The family and the name of a table, and the handle of a rule."""


def read_extensions(namespace: Namespace | None) -> dict[Place, tuple[MarkExtension, ...]]:
    """What of the extensions has to do with marks, by rule. Raises OSError and HostError."""
    with open_netfilter(namespace) as link:
        bodies = dump(link, request(_GET_RULE, DUMP, 0, 0, b""), "list of nft rules")
    found = {}
    for body in bodies:
        attributes = attributes_of(body)
        extensions = tuple(
            extension
            for _, element in split_attributes(attributes.get(_EXPRESSIONS, b""), 0)
            if (extension := _extension(element)) is not None
        )
        if extensions:
            handle = int.from_bytes(attributes[_HANDLE], "big")
            family = _FAMILIES.get(body[0], str(body[0]))
            found[family, _text(attributes[_TABLE]), handle] = extensions
    return found


def _extension(element: bytes) -> MarkExtension | None:
    expression = attributes_of(element, 0)
    kind = _text(expression.get(_NAME, b""))
    if kind not in ("target", "match"):
        return None
    data = attributes_of(expression.get(_DATA, b""), 0)
    return decode_extension(
        kind == "target",
        _text(data.get(_EXTENSION_NAME, b"")),
        int.from_bytes(data.get(_EXTENSION_REVISION, b""), "big"),
        data.get(_EXTENSION_INFO, b""),
    )


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")
