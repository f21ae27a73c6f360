"""A scapy expression such as ``IP(dst="203.0.113.1")/TCP(dport=443)``, without running it.

Python only parses the text; what stands in it is looked up in a list of layers and rebuilt. No
name, attribute, call or operator besides these is followed, so that a pasted line can do nothing.
"""

from __future__ import annotations

import ast
from importlib import import_module
from typing import Any

from netfw.errors import UsageError
from netfw.ir.names import Family
from netfw.ir.net import parse_address
from netfw.traverse.sketch import Sketch
from netfw.traverse.wire import read_packet

_PLACE = "--scapy"
_MODULES = {
    "scapy.layers.inet": ("IP", "TCP", "UDP", "ICMP"),
    "scapy.layers.inet6": (
        "IPv6",
        "ICMPv6EchoRequest",
        "ICMPv6EchoReply",
        "ICMPv6DestUnreach",
        "ICMPv6PacketTooBig",
        "ICMPv6TimeExceeded",
        "ICMPv6ParamProblem",
        "ICMPv6ND_NS",
        "ICMPv6ND_NA",
        "ICMPv6ND_RS",
        "ICMPv6ND_RA",
        "IPv6ExtHdrFragment",
        "IPv6ExtHdrDestOpt",
        "IPv6ExtHdrHopByHop",
        "IPv6ExtHdrRouting",
    ),
    "scapy.layers.sctp": ("SCTP", "SCTPChunkInit", "SCTPChunkData"),
    "scapy.layers.l2": ("GRE",),
    "scapy.layers.ipsec": ("ESP", "AH"),
    "scapy.packet": ("Raw", "Padding"),
}
_LAYERS = {name: module for module, names in _MODULES.items() for name in names}
_WORDS = {"IP": ("ttl",), "IPv6": ("hlim",), "TCP": ("sport", "dport", "flags")}
_WORDS |= {"UDP": ("sport", "dport"), "SCTP": ("sport", "dport"), "ICMP": ("type",)}
"""Fields whose value is said where the expression leaves them to scapy."""
_LONGEST = 10_000
"""Characters of an expression; nobody writes such a packet by hand."""


def read_expression(text: str) -> Sketch:
    """The packet that an expression describes; raises UsageError with one clear line."""
    if len(text) > _LONGEST:
        raise _fault(f"the expression is longer than {_LONGEST} characters")
    try:
        parsed = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise _fault(f"column {error.offset or 1}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise _fault("this is no expression") from None
    calls = [_call(node) for node in _layers(parsed)]
    first = calls[0][0]
    if first not in ("IP", "IPv6"):
        raise _fault(f"'{first}' stands where the packet begins", "begin with IP(…) or IPv6(…)")
    if "dst" not in calls[0][2]:
        raise _fault(
            f"{first} has no dst", f'such as {first}(dst="{_example(first)}")/TCP(dport=443)'
        )
    has_source = "src" in calls[0][2]
    for name, _, words in calls:
        if name in ("IP", "IPv6"):
            # scapy would ask this machine's routing table for one
            words.setdefault("src", "0.0.0.0" if name == "IP" else "::")
    try:
        built = _build(calls)
        packet = read_packet(bytes(built))
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - scapy raises whatever a field's packing raises
        said = " ".join(str(error).splitlines()[:2]) or type(error).__name__
        raise _fault(f"scapy makes no packet of it: {said}") from None
    completed = (*_left_to_scapy(built, calls), "state new", "mark 0")
    return Sketch(packet, has_source, completed=completed)


def _layers(node: ast.expr) -> list[ast.expr]:
    """The operands of ``/``, from the left."""
    found: list[ast.expr] = []
    while isinstance(node, ast.BinOp):
        if not isinstance(node.op, ast.Div):
            raise _at(node, "only '/' stands between layers")
        if isinstance(node.right, ast.BinOp):
            found = [*_layers(node.right), *found]
        else:
            found.insert(0, node.right)
        node = node.left
    return [node, *found]


def _call(node: ast.expr) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """A layer's name and what it is given."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        return "Raw", (node.value,), {}
    if isinstance(node, ast.Name) and node.id in _LAYERS:
        raise _at(node, f"'{node.id}' is a layer's name", f"write {node.id}()")
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise _at(node, f"'{ast.unparse(node)}' is no layer", "layers are such as TCP(dport=443)")
    name = node.func.id
    if name not in _LAYERS:
        raise _at(
            node, f"'{name}' is no layer that netfw knows", f"known are {', '.join(_LAYERS)}"
        )
    words = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise _at(node, "'**' is not followed")
        words[keyword.arg] = _literal(keyword.value)
        if keyword.arg != "options" and isinstance(words[keyword.arg], list | tuple):
            raise _at(keyword.value, "several values make several packets", "give one")
        if keyword.arg in ("src", "dst") and name in ("IP", "IPv6"):
            _check_address(keyword.value, words[keyword.arg], name)
    if node.args and name not in ("Raw", "Padding"):
        raise _at(node, f"{name} takes keyword arguments", f"such as {name}(field=value)")
    return name, tuple(_literal(value) for value in node.args), words


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise _at(
            node, f"'{ast.unparse(node)}' is no literal", "values are numbers, strings and lists"
        ) from None


def _check_address(node: ast.expr, value: object, layer: str) -> None:
    """scapy would make many packets of a network, and look a host's name up."""
    if not _is_address(value):
        raise _at(
            node, f"{ast.unparse(node)} is no IP address", "names and networks are not followed"
        )
    family, _ = parse_address(str(value))
    if (layer == "IP") is not (family is Family.IPV4):
        raise _at(node, f"'{value}' is no address for {layer}")


def _is_address(value: object) -> bool:
    try:
        parse_address(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


def _build(calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> Any:  # noqa: ANN401
    from scapy.fields import IP6Field, IPField

    built = None
    for name, values, words in calls:
        kind = getattr(import_module(_LAYERS[name]), name)
        known = {field.name: field for field in kind.fields_desc}
        for word, value in words.items():
            if word not in known:
                raise _fault(f"{name} has no field '{word}'", f"it has {', '.join(known)}")
            # a field that is not always there is wrapped
            field = getattr(known[word], "fld", known[word])
            if isinstance(field, IPField | IP6Field) and not _is_address(value):
                # scapy would look a host's name up
                raise _fault(f"{name}({word}={value!r}) is no IP address")
        layer = kind(*values, **words)
        built = layer if built is None else built / layer
    return built


def _left_to_scapy(
    built: Any,  # noqa: ANN401 - a scapy packet
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]],
) -> list[str]:
    said = []
    for position, (name, _, words) in enumerate(calls):
        layer = built.getlayer(position)
        said += [
            f"{field} {getattr(layer, field)} (scapy's default)"
            for field in _WORDS.get(name, ())
            if field not in words
        ]
    return said


def _example(layer: str) -> str:
    return "203.0.113.1" if layer == "IP" else "2001:db8::1"


def _at(node: ast.expr, problem: str, hint: str = "") -> UsageError:
    return _fault(f"column {node.col_offset + 1}: {problem}", hint)


def _fault(problem: str, hint: str = "") -> UsageError:
    return UsageError.at(
        _PLACE, problem, hint or 'such as IP(src="198.51.100.7", dst="203.0.113.1")/TCP(dport=443)'
    )
