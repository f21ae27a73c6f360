"""The words behind ``-j NAME`` as a typed target."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from netfw.facts.options import NotUnderstoodError, masked_word, take_options
from netfw.ir.mark import MAX_MARK, MaskedWord, parse_word
from netfw.ir.names import Family
from netfw.ir.target import (
    Accept,
    Ct,
    Dnat,
    Drop,
    Log,
    Masquerade,
    NatRange,
    Nflog,
    Redirect,
    Reject,
    RestoreMark,
    Return,
    SaveMark,
    SetConnmark,
    SetMark,
    Snat,
    Target,
    Trace,
    UnknownTarget,
)

_BARE: dict[str, Target] = {
    "ACCEPT": Accept(),
    "DROP": Drop(),
    "RETURN": Return(),
    "TRACE": Trace(),
    "NOTRACK": Ct(notrack=True, alias=True),
}
_LOG_FLAGS = (
    "--log-tcp-sequence",
    "--log-tcp-options",
    "--log-ip-options",
    "--log-uid",
    "--log-macdecode",
)
_LOG_LEVELS = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
_NAT_FLAGS = ("--random", "--random-fully", "--persistent")
_REJECT_DEFAULT = {
    Family.IPV4: "icmp-port-unreachable",
    Family.IPV6: "icmp6-port-unreachable",
}
_REJECT_ALIASES = {
    Family.IPV4: {
        "net-unreach": "icmp-net-unreachable",
        "host-unreach": "icmp-host-unreachable",
        "proto-unreach": "icmp-proto-unreachable",
        "port-unreach": "icmp-port-unreachable",
        "net-prohib": "icmp-net-prohibited",
        "host-prohib": "icmp-host-prohibited",
        "tcp-rst": "tcp-reset",
        "admin-prohib": "icmp-admin-prohibited",
    },
    Family.IPV6: {
        "no-route": "icmp6-no-route",
        "adm-prohibited": "icmp6-adm-prohibited",
        "addr-unreach": "icmp6-addr-unreachable",
        "port-unreach": "icmp6-port-unreachable",
        "policy-fail": "icmp6-policy-fail",
        "reject-route": "icmp6-reject-route",
    },
}


def parse_target(name: str, words: Sequence[str], family: Family) -> Target:
    """A target; UnknownTarget with the words verbatim where the types cannot hold them."""
    if not words and name in _BARE:
        return _BARE[name]
    reader = _READERS.get(name)
    if reader is not None:
        try:
            return reader(words, family)
        except ValueError:
            pass
    return UnknownTarget(name, tuple(words))


def _values(words: Sequence[str], arity: dict[str, int]) -> dict[str, str]:
    found: dict[str, str] = {}
    for option in take_options(words, arity):
        if option.negate or option.name in found:
            raise NotUnderstoodError(option.name)
        found[option.name] = option.values[0] if option.values else ""
    return found


def _xmark(words: Sequence[str]) -> MaskedWord:
    option, text = words
    if option == "--set-xmark":
        return masked_word(text)
    if option == "--set-mark":
        # a mask names the bits that are cleared besides those of the value
        given = masked_word(text)
        return MaskedWord(given.value, given.value | given.mask)
    word = parse_word(text)
    if option == "--or-mark":
        return MaskedWord(word, word)
    if option == "--and-mark":
        return MaskedWord(0, ~word & MAX_MARK)
    if option == "--xor-mark":
        return MaskedWord(word, 0)
    raise NotUnderstoodError(option)


def _mark(words: Sequence[str], _family: Family) -> Target:
    if len(words) != 2:
        raise NotUnderstoodError("MARK")
    return SetMark(_xmark(words))


def _connmark(words: Sequence[str], _family: Family) -> Target:
    if words and words[0] in ("--save-mark", "--restore-mark"):
        arity = {words[0]: 0, "--mask": 1, "--nfmask": 1, "--ctmask": 1}
        found = _values(words, arity)
        mask = found.get("--mask", str(MAX_MARK))
        nfmask = parse_word(found.get("--nfmask", mask))
        ctmask = parse_word(found.get("--ctmask", mask))
        kind = SaveMark if words[0] == "--save-mark" else RestoreMark
        return kind(nfmask, ctmask)
    if len(words) != 2:
        raise NotUnderstoodError("CONNMARK")
    return SetConnmark(_xmark(words))


def _ct(words: Sequence[str], _family: Family) -> Target:
    rest = tuple(word for word in words if word != "--notrack")
    return Ct(len(rest) < len(words), rest)


def _log(words: Sequence[str], _family: Family) -> Target:
    arity = {"--log-prefix": 1, "--log-level": 1, **dict.fromkeys(_LOG_FLAGS, 0)}
    found = _values(words, arity)
    level_text = found.get("--log-level", "4")
    level = int(level_text) if level_text.isdigit() else _LOG_LEVELS.index(level_text.lower())
    flags = tuple(flag for flag in _LOG_FLAGS if flag in found)
    return Log(found.get("--log-prefix", ""), level, flags)


def _nflog(words: Sequence[str], _family: Family) -> Target:
    arity = dict.fromkeys(
        ("--nflog-group", "--nflog-prefix", "--nflog-size", "--nflog-threshold"), 1
    )
    found = _values(words, arity)
    size, threshold = found.get("--nflog-size"), found.get("--nflog-threshold")
    return Nflog(
        int(found.get("--nflog-group", "0")),
        found.get("--nflog-prefix", ""),
        None if size is None else int(size),
        None if threshold is None else int(threshold),
    )


def _reject(words: Sequence[str], family: Family) -> Target:
    kind = _values(words, {"--reject-with": 1}).get("--reject-with", _REJECT_DEFAULT[family])
    return Reject(_REJECT_ALIASES[family].get(kind, kind))


def _nat_range(found: dict[str, str], option: str, family: Family) -> NatRange:
    flags = tuple(flag for flag in _NAT_FLAGS if flag in found)
    text = found.get(option, "")
    if option == "--to-ports":
        return NatRange(None, _port_pair(text) if text else None, flags)
    address_text, port_text = text, ""
    if family is Family.IPV4:
        address_text, _, port_text = text.partition(":")
    elif text.startswith("["):
        address_text, _, port_text = text.replace("]-[", "-")[1:].partition("]")
        port_text = port_text.removeprefix(":")
    elif text.startswith(":") and text[1:].replace("-", "").isdigit():
        address_text, port_text = "", text[1:]
    addresses = None
    if address_text:
        first, dash, last = address_text.partition("-")
        addresses = (_address(first, family), _address(last if dash else first, family))
    return NatRange(addresses, _port_pair(port_text) if port_text else None, flags)


def _address(text: str, family: Family) -> int:
    address = ipaddress.ip_address(text)
    if address.version != family.value:
        raise NotUnderstoodError(text)
    return int(address)


def _port_pair(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    low, high = int(first), int(last if dash else first)
    if not 0 <= low <= high <= 65535:
        raise NotUnderstoodError(text)
    return low, high


def _nat(option: str, kind: Callable[[NatRange], Target]) -> Reader:
    arity = {option: 1, **dict.fromkeys(_NAT_FLAGS, 0)}

    def read(words: Sequence[str], family: Family) -> Target:
        return kind(_nat_range(_values(words, arity), option, family))

    return read


Reader = Callable[[Sequence[str], Family], Target]
_READERS: dict[str, Reader] = {
    "MARK": _mark,
    "CONNMARK": _connmark,
    "CT": _ct,
    "LOG": _log,
    "NFLOG": _nflog,
    "REJECT": _reject,
    "SNAT": _nat("--to-source", Snat),
    "DNAT": _nat("--to-destination", Dnat),
    "MASQUERADE": _nat("--to-ports", Masquerade),
    "REDIRECT": _nat("--to-ports", Redirect),
}
