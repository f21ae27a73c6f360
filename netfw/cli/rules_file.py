"""Reading saved rules from a file, with one clear line for whatever is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from netfw.errors import FactError

if TYPE_CHECKING:
    from netfw.facts.saved_rules import SavedRules
    from netfw.ir.ipset import IpSet
    from netfw.ir.names import Family
    from netfw.ir.ruleset import Ruleset

_Rules = TypeVar("_Rules", "Ruleset", "SavedRules")
_HINT = "rules are text as iptables-save prints them"
_NO_TEXT = {
    b"\0": "byte 0x00 is no text",
    b"\r\n": "the line ends with a carriage return, which iptables-restore refuses",
    b"\xef\xbb\xbf": "there is a byte order mark, which iptables-restore refuses",
}
_SET_WORDS = ("set", "SET")
"""One of them stands in each rule that names a set."""


def read_rules(name: str, family: Family) -> Ruleset:
    """The rules in a file as iptables-save prints them, ``-`` for standard input.

    Raises FactError.
    """
    from netfw.facts.iptables_save import parse_ruleset

    return _nonempty(parse_ruleset(_read(name), family, _called(name)), name)


def read_rules_by_line(name: str, family: Family) -> Ruleset | SavedRules:
    """The same for one packet, which meets few rules: most of them are not read in full.

    What is wrong with a rule that is not read is told only where its line shows it
    (``netfw/facts/saved_rules.py``). Raises FactError.
    """
    from netfw.facts.iptables_save import parse_ruleset
    from netfw.facts.saved_rules import index_rules

    text = _read(name)
    found = index_rules(text, family, _called(name))
    if found is not None:
        return _nonempty(found, name)
    return _nonempty(parse_ruleset(text, family, _called(name)), name)


def read_rules_of_some_family(name: str, family: Family | None) -> Ruleset:
    """The same where the family may be left out: a file tells by its addresses and protocols.

    Raises FactError; the one for IPv4 where neither family fits.
    """
    text = _read(name)
    return _nonempty(_of_some_family(text, name, family), name)


def _of_some_family(text: str, name: str, family: Family | None) -> Ruleset:
    from netfw.facts.iptables_save import parse_ruleset
    from netfw.ir.names import Family

    if family is not None:
        return parse_ruleset(text, family, _called(name))
    if "ipv6-icmp" in text or "icmp6" in text:
        return parse_ruleset(text, Family.IPV6, _called(name))
    try:
        return parse_ruleset(text, Family.IPV4, _called(name))
    except FactError:
        try:
            return parse_ruleset(text, Family.IPV6, _called(name))
        except FactError:
            pass
        raise


def read_sets(name: str, rules: Ruleset | SavedRules) -> tuple[IpSet, ...]:
    """The sets in a file as ipset save prints them, for rules that name no others.

    Raises FactError, with the line of each rule that names a set which is not there.
    """
    from netfw.errors import Fault
    from netfw.facts.ipset_save import parse_sets
    from netfw.facts.saved_rules import SavedRules

    sets = parse_sets(_read(name), _called(name))
    lines = rules.rules_with(_SET_WORDS) if isinstance(rules, SavedRules) else rules.rules()
    faults = [
        Fault(
            str(rule.origin.where if rule.origin else _called(name)),
            f"there is no set '{missing}' in {_called(name)}",
            "save the sets of the same host: ipset save > FILE",
        )
        for rule in lines
        for missing in sorted(rule.set_names - sets.keys())
    ]
    if faults:
        raise FactError(*faults)
    return tuple(sets.values())


def _called(name: str) -> str:
    return "<stdin>" if name == "-" else name


def _read(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except FileNotFoundError:
        raise FactError.at(name, "there is no such file") from None
    except OSError as error:
        raise FactError.at(name, f"cannot be read: {error.strerror}") from None
    for bad, what in _NO_TEXT.items():
        if bad in data:
            line = data[: data.index(bad)].count(b"\n") + 1
            raise FactError.at(f"{_called(name)}:{line}", what, _HINT)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        what = f"byte {data[error.start]:#04x} is not UTF-8"
        raise FactError.at(f"{_called(name)}:{line}", what, _HINT) from None


def _nonempty(rules: _Rules, name: str) -> _Rules:
    """The rules, if they are any: an empty file may be what is left of one."""
    if not rules.tables:
        hint = "iptables-save prints nothing where no table is in use"
        raise FactError.at(_called(name), "there is no table in it", hint)
    return rules
