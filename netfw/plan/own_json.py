"""``Own`` as plain data for JSON, and back: what comes back equals what was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from netfw.errors import FactError, HostError
from netfw.facts.ipset_save import parse_sets
from netfw.ir.ipset import IpSet, PartKind, SetPort
from netfw.ir.names import Family, TableName
from netfw.ir.protocols import PRINTED_NAMES
from netfw.plan.own import Own, OwnTable
from netfw.render.ipset import render_sets


def own_data(own: Own) -> dict[str, object]:
    """Plain data for a JSON file. Sets are the text of ``ipset save``."""
    return {
        "tables": [
            {
                "family": family.value,
                "table": table.value,
                "chains": {name: list(rules) for name, rules in each.chains.items()},
                "calls": {name: list(rules) for name, rules in each.calls.items()},
            }
            for (family, table), each in own.tables.items()
        ],
        # what a list names has to come before it
        "sets": render_sets(sorted(own.sets.values(), key=_is_list)),
        "routing": {str(family.value): list(lines) for family, lines in own.routing.items()},
        "settings": dict(own.settings),
    }


def own_from(data: object) -> Own:
    """Read back what ``own_data`` gave; raises ValueError for anything else."""
    match data:
        case {
            "tables": list(tables),
            "sets": str(sets),
            "routing": dict(routing),
            "settings": dict(settings),
            **rest,
        } if not rest:
            return Own(
                dict(map(_table, tables)),
                _RecordedSets(sets),
                {_family(family): _lines(lines) for family, lines in routing.items()},
                {_text(name): _text(value) for name, value in settings.items()},
            )
        case _:
            raise ValueError("this is not what a host holds of netfw's")


def _table(data: object) -> tuple[tuple[Family, TableName], OwnTable]:
    match data:
        case {
            "family": int(family),
            "table": str(table),
            "chains": dict(chains),
            "calls": dict(calls),
            **rest,
        } if not rest:
            return (Family(family), TableName(table)), OwnTable(_rules(chains), _rules(calls))
        case _:
            raise ValueError("a table is not understood")


def _rules(data: Mapping[object, object]) -> dict[str, tuple[str, ...]]:
    return {_text(chain): _lines(rules) for chain, rules in data.items()}


class _RecordedSets(Mapping[str, IpSet]):
    """Sets that are read when somebody asks for them: most of those who read an entry do not.

    Raises HostError then for a text that is none of sets.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._read: dict[str, IpSet] | None = None

    def _sets(self) -> dict[str, IpSet]:
        if self._read is None:
            try:
                sets = parse_sets(self._text, "sets")
            except FactError as error:
                raise HostError.of(error.faults) from None
            self._read = {name: _in_own_words(ipset) for name, ipset in sets.items()}
        return self._read

    def __getitem__(self, name: str) -> IpSet:
        return self._sets()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sets())

    def __len__(self) -> int:
        return len(self._sets())

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._sets() == dict(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._sets())


def _in_own_words(ipset: IpSet) -> IpSet:
    """A set whose protocols are not spelled as in the file, where they are numbers: what a host
    prints is compared with it word by word."""
    if PartKind.PORT not in ipset.parts:
        return ipset
    members = (
        replace(
            member,
            parts=tuple(
                SetPort(part.protocol, part.number)
                if isinstance(part, SetPort) and part.protocol in PRINTED_NAMES
                else part
                for part in member.parts
            ),
        )
        for member in ipset.members
    )
    return replace(ipset, members=tuple(members))


def _family(text: object) -> Family:
    return Family(int(_text(text)))


def _lines(data: object) -> tuple[str, ...]:
    if not isinstance(data, list):
        raise ValueError("a list of lines is not understood")
    return tuple(map(_text, data))


def _text(data: object) -> str:
    if not isinstance(data, str):
        raise ValueError(f"{data!r} is no text")
    return data


def _is_list(ipset: IpSet) -> bool:
    return ipset.parts == (PartKind.SET,)
