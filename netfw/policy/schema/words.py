"""Forms of single values.

What a policy says in words, an editor's YAML parser turns into numbers, booleans and texts: these
forms take what such parsers make of values that the reader accepts. Names of somebody's choice
are texts: one that YAML takes for something else (``443``, ``no``, ``null``) needs quotes to
please an editor.
"""

from __future__ import annotations

from netfw.ir.form import UINT32
from netfw.ir.mark import MAX_MARK
from netfw.ir.names import MAX_INTERFACE_NAME
from netfw.policy.builtin_services import BUILTIN_SERVICES
from netfw.policy.fields import FLAG_WORDS, MAX_NAME
from netfw.policy.icmp_names import BOTH_ICMP_NAMES, ICMP_NAMES
from netfw.policy.names import RESERVED_NAMES
from netfw.policy.read_log import RATE_UNITS
from netfw.policy.read_steer import CLASS, MAIN
from netfw.policy.read_steer import NONE as NO_CLASS
from netfw.policy.schema.form import VARIABLE, Form, choice, number, text, with_variable
from netfw.policy.service_literal import ANY_ICMP, ANY_PROTOCOL, ANY_WORD, LITERAL_WORDS, PROTOCOLS
from netfw.policy.traffic import PROTOCOLS_WITH_PORTS

NAME = f"[a-z0-9](?:[a-z0-9-]{{0,{MAX_NAME - 2}}}[a-z0-9])?"
"""What names in a policy look like."""
_PORTS = "[1-9][0-9]{0,4}(?:[-:][1-9][0-9]{0,4})?"
_ADDRESS = "[0-9A-Fa-f.:]+"
_MARK = "(?:0[xX][0-9A-Fa-f]+|[0-9]+)"
WITH_PORTS = tuple(
    word for word, protocol in PROTOCOLS.items() if protocol in PROTOCOLS_WITH_PORTS
)
"""Words for protocols that have ports."""
_ICMP_WORDS = {
    word: ICMP_NAMES[protocol] for word, protocol in PROTOCOLS.items() if protocol in ICMP_NAMES
}


def _service() -> Form:
    names = "|".join(BOTH_ICMP_NAMES)
    kinds = [
        f"{word}/(?:{'|'.join(those)}|[0-9]+(?:/[0-9]+)?)" for word, those in _ICMP_WORDS.items()
    ]
    written = [
        f"(?:{'|'.join(WITH_PORTS)})/{_PORTS}",
        *kinds,
        f"{ANY_ICMP}/(?:{names})",
        f"{ANY_PROTOCOL}/[a-z0-9][a-z0-9.-]*",
    ]
    known = sorted({ANY_WORD, ANY_ICMP, *PROTOCOLS, *BUILTIN_SERVICES, *BOTH_ICMP_NAMES})
    other = text("|".join([*written, "[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?"]))
    never = sorted((RESERVED_NAMES | LITERAL_WORDS) - {*known})
    return with_variable(choice(known), other | {"not": choice(never)})


def _net() -> Form:
    written = text(f"{_ADDRESS}(?:/{_ADDRESS}|-{_ADDRESS})?")
    return with_variable(written, text(NAME) | {"not": choice(sorted(RESERVED_NAMES))})


PLAIN: Form = {"type": ["string", "number", "boolean"]}
"""Any word, whatever YAML takes it for."""

WORDS: dict[str, Form] = {
    VARIABLE: {
        "description": "A value with ${name} in it, which 'vars' defines. $$ is a dollar.",
        "type": "string",
        "pattern": r"\$",
    },
    "name": {
        "description": "Lower-case letters, digits and '-'.",
        **with_variable(text(NAME)),
    },
    "flag": {
        "description": "yes or no, true or false.",
        **with_variable(choice((*FLAG_WORDS, True, False))),
    },
    "interface": {
        "description": "As 'ip link' shows it; 'veth+' is every interface whose name starts so.",
        **with_variable(text(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\+?", MAX_INTERFACE_NAME)),
    },
    "net": {
        "description": "A name from 'nets', an address, a network such as 192.0.2.0/24 or "
        "2001:db8::/32, or a range such as 192.0.2.10-192.0.2.20.",
        **_net(),
    },
    "address": {
        "description": "An address such as 192.0.2.10 or 2001:db8::10.",
        **with_variable(text(_ADDRESS)),
    },
    "service": {
        "description": "A name from 'services', a built-in or registered one, or written out: "
        "tcp/443, udp/1000-2000, icmp/echo-request, proto/47; any is every packet.",
        **_service(),
    },
    "ports": {
        "description": "A port or a range of ports, such as 443 or 1024-65535.",
        **with_variable(number(1, 65535), text(_PORTS)),
    },
    "hardware-address": {
        "description": "Six bytes, such as 00:16:3e:00:00:01.",
        # YAML 1.1 takes 10:20:30:40:50:00 for a number in base 60
        **with_variable(
            text("[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}"), number(10 * 60**5, 100 * 60**5)
        ),
    },
    "mark": {
        "description": "A mark of 32 bits, with a mask behind '/' or without: 0x1/0xff.",
        **with_variable(number(0, MAX_MARK), text(f"{_MARK}(?:/{_MARK})?")),
    },
    "mask": {
        "description": "Bits of the packet mark, such as 0xf0000.",
        **with_variable(number(1, MAX_MARK), text(_MARK)),
    },
    "account": {
        "description": "A name, which the host knows, a number or a range of numbers: backup, "
        "1000, 1000-1999.",
        **with_variable(number(0, MAX_MARK - 1), text(".+")),
    },
    "hour": {
        "description": 'A time of the day, such as "08:00"; 24:00 is its end.',
        # YAML 1.1 takes 18:00 for a number in base 60
        **with_variable(text("[0-9]{1,2}:[0-5][0-9]"), number(60, 24 * 60)),
    },
    "date": {
        "description": "A day, such as 2027-06-30.",
        **with_variable(text("[0-9]{4}-[0-9]{2}-[0-9]{2}")),
    },
    "amount": {
        "description": "A number.",
        **with_variable(number(1, UINT32), text("[1-9][0-9]{0,9}")),
    },
    "prefix-lengths": {
        "description": "Prefix lengths for IPv4 and IPv6, such as 24/64; 32 is single addresses.",
        **with_variable(choice((32,)), text("[0-9]{1,2}(?:/[0-9]{1,3})?")),
    },
    "table": {
        "description": "The number of a routing table, 1 to 252 or above 255, or main.",
        **with_variable(choice((MAIN,)), number(1, UINT32 - 1), text("[1-9][0-9]{0,9}")),
    },
    "class": {
        "description": 'A class of tc in hexadecimal digits, such as "1:20", or none.',
        # YAML 1.1 takes 1:20 for a number in base 60
        **with_variable(
            choice((NO_CLASS,)),
            text(CLASS.pattern.replace("a-f", "a-fA-F")),
            number(60, 9999 * 60),
        ),
    },
    "rate": {
        "description": "How many, such as 5/minute.",
        **with_variable(text(f"[1-9][0-9]{{0,4}}/(?:{'|'.join(RATE_UNITS)})")),
    },
    "log-rate": {
        "description": "How many lines, such as 5/minute; or unlimited.",
        **with_variable(
            choice(("unlimited",)), text(f"[1-9][0-9]{{0,4}}/(?:{'|'.join(RATE_UNITS)})")
        ),
    },
}
"""Forms by noun."""
