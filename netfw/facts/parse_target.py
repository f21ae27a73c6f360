"""The words behind ``-j NAME`` as a typed target."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import cast, get_args

from netfw.facts.forms import any_number
from netfw.facts.options import (
    Arity,
    NotUnderstoodError,
    Option,
    masked_word,
    number,
    take_options,
)
from netfw.facts.spelled import arity_of, read_options
from netfw.ir.form import UINT8
from netfw.ir.limits import REJECT_KINDS, check_target
from netfw.ir.mark import MAX_MARK, MaskedWord, parse_word
from netfw.ir.names import Family
from netfw.ir.spelling import SpelledTarget
from netfw.ir.target import (
    Accept,
    Ct,
    Dnat,
    Drop,
    Log,
    Masquerade,
    NatRange,
    Nflog,
    Nfqueue,
    Redirect,
    Reject,
    RestoreMark,
    Return,
    SaveMark,
    SetConnmark,
    SetMark,
    Snat,
    Target,
    Tos,
    Tproxy,
    Trace,
    UnknownTarget,
)
from netfw.ir.word import QuotedWord

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
_LOG_LEVELS = {
    "emerg": 0,
    "panic": 0,
    "alert": 1,
    "crit": 2,
    "err": 3,
    "error": 3,
    "warn": 4,
    "warning": 4,
    "notice": 5,
    "info": 6,
    "debug": 7,
}
"""libxt_LOG's names of syslog levels."""
_NAT_FLAGS = ("--random", "--random-fully", "--persistent")
_REJECT_DEFAULT = {
    Family.IPV4: "icmp-port-unreachable",
    Family.IPV6: "icmp6-port-unreachable",
}
_REJECT_ALIASES = {
    Family.IPV4: {
        "icmp-net-unreachable": "net-unreach",
        "icmp-host-unreachable": "host-unreach",
        "icmp-proto-unreachable": "proto-unreach",
        "icmp-port-unreachable": "port-unreach",
        "icmp-net-prohibited": "net-prohib",
        "icmp-host-prohibited": "host-prohib",
        "tcp-reset": "tcp-rst",
        "icmp-admin-prohibited": "admin-prohib",
    },
    Family.IPV6: {
        "icmp6-no-route": "no-route",
        "icmp6-adm-prohibited": "adm-prohibited",
        "icmp6-addr-unreachable": "addr-unreach",
        "icmp6-port-unreachable": "port-unreach",
        "icmp6-policy-fail": "policy-fail",
        "icmp6-reject-route": "reject-route",
    },
}


def parse_target(name: str, words: Sequence[str], family: Family) -> Target:
    """A target; UnknownTarget with the words verbatim where the types cannot hold them."""
    if not words and name in _BARE:
        return _BARE[name]
    for word in words:
        if type(word) is QuotedWord:
            # it equals the same word without quotes: a cache would take one for the other
            return _read(name, tuple(words), family)
    return _cached(name, tuple(words), family is Family.IPV6)


def _read(name: str, words: tuple[str, ...], family: Family) -> Target:
    reader = _READERS.get(name)
    try:
        if reader is not None:
            target = reader(words, family)
        elif name in SPELLED_TARGETS:
            target = _spelled(SPELLED_TARGETS[name], words, family)
        else:
            return UnknownTarget(name, words)
        check_target(target, family)
    except ValueError:
        return UnknownTarget(name, words)
    return target


def _spelled(kind: type[SpelledTarget], words: tuple[str, ...], family: Family) -> Target:
    options = take_options(words, TARGET_OPTIONS[kind.MODULE])
    if kind is Tos:
        options = [_whole_tos(option) for option in options]
    if kind is Nfqueue and not _QUEUES & {option.name for option in options}:
        options.insert(0, Option("--queue-num", negate=False, values=("0",)))
    assumed = {"address": 0, "mark": MaskedWord(0, 0)} if kind is Tproxy else None
    # a member of Target, as SPELLED_TARGETS is made of those
    return cast(Target, read_options(kind, options, family, assumed))


def _whole_tos(option: Option) -> Option:
    """``--and-tos``, ``--or-tos`` and ``--xor-tos`` as the value and mask that do the same."""
    if option.name not in _TOS_BITS:
        return option
    bits = any_number(option.values[0])
    if bits > UINT8:
        raise NotUnderstoodError(option.values[0])
    value, mask = {
        "--and-tos": (0, ~bits & UINT8),
        "--or-tos": (bits, bits),
        "--xor-tos": (bits, 0),
    }[option.name]
    return Option("--set-tos", option.negate, (f"{value:#x}/{mask:#x}",))


@lru_cache(maxsize=1 << 14)
def _cached(name: str, words: tuple[str, ...], is_ipv6: bool) -> Target:
    # an enumeration's member is slow to hash
    return _read(name, words, Family.IPV6 if is_ipv6 else Family.IPV4)


def _values(name: str, words: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for option in take_options(words, TARGET_OPTIONS[name]):
        if option.negate or option.name in found:
            raise NotUnderstoodError(option.name)
        found[option.name] = option.values[0] if option.values else ""
    return found


def _xmark(found: dict[str, str]) -> MaskedWord:
    if len(found) != 1:
        raise NotUnderstoodError("one option expected")
    ((option, text),) = found.items()
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
    return SetMark(_xmark(_values("MARK", words)))


def _connmark(words: Sequence[str], _family: Family) -> Target:
    found = _values("CONNMARK", words)
    kinds = [kind for kind in (SaveMark, RestoreMark) if _COPIES[kind] in found]
    if not kinds:
        return SetConnmark(_xmark(found))
    if len(kinds) > 1 or not found.keys() <= {_COPIES[kinds[0]], *_COPY_MASKS}:
        raise NotUnderstoodError("CONNMARK")
    if "--mask" in found and len(found) > 2:
        raise NotUnderstoodError("--mask besides --nfmask or --ctmask")
    mask = found.get("--mask", str(MAX_MARK))
    return kinds[0](
        parse_word(found.get("--nfmask", mask)), parse_word(found.get("--ctmask", mask))
    )


_COPIES: dict[type[SaveMark] | type[RestoreMark], str] = {
    SaveMark: "--save-mark",
    RestoreMark: "--restore-mark",
}
_COPY_MASKS = frozenset({"--mask", "--nfmask", "--ctmask"})


def _ct(words: Sequence[str], _family: Family) -> Target:
    options = take_options(words, TARGET_OPTIONS["CT"])
    rest = tuple(word for option in options for word in option.words if word != "--notrack")
    return Ct(any(option.name == "--notrack" for option in options), rest)


def _log(words: Sequence[str], _family: Family) -> Target:
    found = _values("LOG", words)
    level_text = found.get("--log-level", "4").lower()
    level = _LOG_LEVELS.get(level_text)
    flags = tuple(flag for flag in _LOG_FLAGS if flag in found)
    return Log(
        str(found.get("--log-prefix", "")), number(level_text) if level is None else level, flags
    )


def _nflog(words: Sequence[str], _family: Family) -> Target:
    found = _values("NFLOG", words)
    size, threshold = found.get("--nflog-size"), found.get("--nflog-threshold")
    return Nflog(
        number(found.get("--nflog-group", "0")),
        str(found.get("--nflog-prefix", "")),
        None if size is None else number(size),
        None if threshold is None else number(threshold),
    )


def _reject(words: Sequence[str], family: Family) -> Target:
    given = _values("REJECT", words).get("--reject-with", _REJECT_DEFAULT[family]).lower()
    aliases = _REJECT_ALIASES[family]
    for kind in REJECT_KINDS[family]:
        # the beginning of a name or alias will do
        if kind.startswith(given) or aliases.get(kind, kind).startswith(given):
            return Reject(kind)
    raise NotUnderstoodError(given)


def _nat_range(found: dict[str, str], option: str, family: Family) -> NatRange:
    flags = tuple(flag for flag in _NAT_FLAGS if flag in found)
    text = found.get(option, "")
    if option == "--to-ports":
        return NatRange(None, _port_pair(text) if text else None, flags)
    address_text, port_text = text, ""
    if family is Family.IPV4:
        address_text, _, port_text = text.partition(":")
    elif text.startswith("["):
        address_text, _, port_text = text[1:].partition("]")
        port_text = port_text.removeprefix(":")
    elif text.startswith(":") and text[1:].replace("-", "").isdigit():
        address_text, port_text = "", text[1:]
    addresses = None
    if address_text:
        first, dash, last = address_text.partition("-")
        addresses = (_address(first, family), _address(last if dash else first, family))
    port_text, slash, base_text = port_text.partition("/")
    if slash and option != "--to-destination":
        raise NotUnderstoodError(text)
    base = number(base_text) if slash else None
    return NatRange(addresses, _port_pair(port_text) if port_text else None, flags, base)


def _address(text: str, family: Family) -> int:
    address = ipaddress.ip_address(text)
    if address.version != family.value:
        raise NotUnderstoodError(text)
    return int(address)


def _port_pair(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    return number(first), number(last if dash else first)


def _nat(name: str, option: str, kind: Callable[[NatRange], Target]) -> Reader:
    def read(words: Sequence[str], family: Family) -> Target:
        return kind(_nat_range(_values(name, words), option, family))

    return read


_QUEUES = frozenset({"--queue-num", "--queue-balance"})
_TOS_BITS = ("--and-tos", "--or-tos", "--xor-tos")
SPELLED_TARGETS: Mapping[str, type[SpelledTarget]] = {
    kind.MODULE: kind for kind in get_args(Target) if issubclass(kind, SpelledTarget)
}
"""The targets that are lists of options, by name."""
Reader = Callable[[Sequence[str], Family], Target]
_READERS: dict[str, Reader] = {
    "MARK": _mark,
    "CONNMARK": _connmark,
    "CT": _ct,
    "LOG": _log,
    "NFLOG": _nflog,
    "REJECT": _reject,
    "SNAT": _nat("SNAT", "--to-source", Snat),
    "DNAT": _nat("DNAT", "--to-destination", Dnat),
    "MASQUERADE": _nat("MASQUERADE", "--to-ports", Masquerade),
    "REDIRECT": _nat("REDIRECT", "--to-ports", Redirect),
}
_MARK_OPTIONS = dict.fromkeys(
    ("--set-xmark", "--set-mark", "--or-mark", "--and-mark", "--xor-mark"), 1
)
_NAT_OPTIONS = dict.fromkeys(_NAT_FLAGS, 0)
TARGET_OPTIONS: Mapping[str, Arity] = {
    **{name: {} for name in _BARE},
    **{name: arity_of(kind) for name, kind in SPELLED_TARGETS.items()},
    "TOS": {**arity_of(Tos), **dict.fromkeys(_TOS_BITS, 1)},
    "MARK": _MARK_OPTIONS,
    "CONNMARK": {
        **_MARK_OPTIONS,
        **dict.fromkeys(_COPIES.values(), 0),
        **dict.fromkeys(_COPY_MASKS, 1),
    },
    "CT": {
        "--notrack": 0,
        **dict.fromkeys(("--zone", "--zone-orig", "--zone-reply", "--helper"), 1),
        **dict.fromkeys(("--timeout", "--ctevents", "--expevents"), 1),
    },
    "LOG": {"--log-prefix": 1, "--log-level": 1, **dict.fromkeys(_LOG_FLAGS, 0)},
    "NFLOG": dict.fromkeys(
        ("--nflog-group", "--nflog-prefix", "--nflog-size", "--nflog-threshold"), 1
    ),
    "REJECT": {"--reject-with": 1},
    "SNAT": {"--to-source": 1, **_NAT_OPTIONS},
    "DNAT": {"--to-destination": 1, **_NAT_OPTIONS},
    "MASQUERADE": {"--to-ports": 1, **_NAT_OPTIONS},
    "REDIRECT": {"--to-ports": 1, **_NAT_OPTIONS},
}
"""The options of each target that netfw understands."""
