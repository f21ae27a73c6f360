"""Protocols in what iptables printed: older versions print names where newer print numbers."""

from __future__ import annotations

import re

from netfw.ir.protocols import PRINTED_NAMES, protocol_number

_PROTOCOL = re.compile(r"(?<= -p )[a-z][a-z0-9.-]*(?= |$)", re.MULTILINE)


def with_numbers(text: str) -> str:
    """Saved rules as iptables 1.8.11 prints them, whichever version printed them."""

    def number_of(found: re.Match[str]) -> str:
        number = protocol_number(found[0])
        return found[0] if number is None or number in PRINTED_NAMES else str(number)

    return _PROTOCOL.sub(number_of, text)
