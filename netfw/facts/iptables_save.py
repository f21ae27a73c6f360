"""What ``iptables-save`` and ``iptables -S`` print, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator, Sequence

from netfw.errors import FactError, Fault, Where
from netfw.facts.faults import few
from netfw.facts.options import number
from netfw.facts.parse_rule import ParsedRule, parse_rule
from netfw.facts.table_name import table_of
from netfw.facts.target_names import STANDARD_TARGETS
from netfw.facts.words import split_words
from netfw.ir.calls import Calls, called_by
from netfw.ir.names import (
    BUILTIN_CHAINS,
    MAX_CHAIN_NAME,
    OWN_COMMENT_PREFIX,
    ChainPolicy,
    Family,
    TableName,
)
from netfw.ir.origin import Origin
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table

_HINT = "rules are text as iptables-save prints them"
_COUNTERS = re.compile(r"\[(\d+):(\d+)\]")


class _TableDraft:
    """A table that is still being read."""

    def __init__(self, name: TableName) -> None:
        self.name = name
        self.policies: dict[str, ChainPolicy | None] = {}
        """Of each chain that is declared."""
        self.rules: dict[str, list[Rule]] = {}
        self.builtin = {hook.value for hook in BUILTIN_CHAINS[name]}

    def declare(self, chain: str, policy: ChainPolicy | None) -> None:
        """Make a chain, or give a built-in one its policy."""
        is_known = chain in self.policies
        # rules that speak of a chain with a fault have none themselves
        self.policies[chain] = policy
        self.rules.setdefault(chain, [])
        self.policies[chain] = declared_policy(chain, policy, self.builtin, is_known=is_known)

    def rules_of(self, chain: str) -> list[Rule]:
        """The rules of a chain so far; a built-in chain need not be declared."""
        if chain not in self.rules:
            if chain not in self.builtin:
                raise ValueError(f"chain '{chain}' has not been declared")
            self.declare(chain, ChainPolicy.ACCEPT)
        return self.rules[chain]

    def circle(self) -> tuple[str, ...]:
        """Chains that call each other in a circle to which a hook leads."""
        callees = {
            chain: {called for rule in rules if (called := called_by(rule)) is not None}
            for chain, rules in self.rules.items()
        }
        return Calls(callees).circle(self.builtin)

    def table(self) -> Table:
        """The table as it is after the last line."""
        return Table(
            self.name,
            tuple(
                Chain(chain, tuple(self.rules[chain]), policy)
                for chain, policy in self.policies.items()
            ),
        )


class _Reader:
    """A file while it is read, line by line."""

    def __init__(self, family: Family, file: str) -> None:
        self.family = family
        self.file = file
        self.drafts: dict[TableName, _TableDraft] = {}
        self.open_table: _TableDraft | None = None
        self.has_tables = False

    def read_line(self, line: str, line_number: int) -> None:
        """Take in one line; raises ValueError with what is wrong with it."""
        first = line[0]
        if first == "*":
            if self.open_table is not None:
                raise ValueError(f"table '{self.open_table.name}' has not been committed")
            self.has_tables = True
            name = table_of(line[1:])
            is_second = name in self.drafts
            self.open_table = self._draft(name)
            if is_second:
                raise ValueError(f"table '{name}' comes a second time, and replaces the first")
        elif line == "COMMIT":
            self.open_table = None
        elif first == ":":
            words = line[1:].split()
            if not words:
                raise ValueError("':' stands before no chain")
            self._table().declare(words[0], policy_of(words[1]) if len(words) > 1 else None)
        else:
            self._read_command(line, line_number)

    def _draft(self, name: TableName) -> _TableDraft:
        return self.drafts.setdefault(name, _TableDraft(name))

    def _table(self) -> _TableDraft:
        if self.open_table is not None:
            return self.open_table
        if self.has_tables:
            raise ValueError("this line stands in no table")
        # iptables -S prints no table line: it speaks of the filter table
        return self._draft(TableName.FILTER)

    def _read_command(self, line: str, line_number: int) -> None:
        packets = octets = 0
        counters = _COUNTERS.match(line) if line[0] == "[" else None
        if counters is not None:
            packets, octets = int(counters[1]), int(counters[2])
            line = line[counters.end() :]
        table = self._table()
        words = split_words(line)
        command = words[0] if words else ""
        if command in ("-A", "--append") and len(words) > 1:
            for rule in self._rules(table, words[2:], packets, octets, line_number):
                table.rules_of(words[1]).append(rule)
            return
        other = _COMMANDS.get(command)
        if other is None:
            raise ValueError(f"'{command}' is not a command of a saved ruleset")
        if other is _insert and len(words) > 1:
            at, rest = 1, words[2:]
            if rest and rest[0].isdigit():
                at, rest = int(rest[0]), rest[1:]
            rules = self._rules(table, rest, packets, octets, line_number)
            other(table, [words[1], str(at)], rules)
        else:
            other(table, words[1:], [])

    def _rules(
        self,
        table: _TableDraft,
        words: Sequence[str],
        packets: int,
        octets: int,
        line_number: int,
    ) -> list[Rule]:
        parsed = parse_rule(words, self.family, table.policies)
        return [made_rule(one, self.file, line_number, packets, octets) for one in parsed]

    def circles(self) -> Iterator[Fault]:
        """A fault for each table whose chains call each other in a circle."""
        for draft in self.drafts.values():
            circle = draft.circle()
            if not circle:
                continue
            closing = next(
                rule for rule in draft.rules[circle[-1]] if called_by(rule) == circle[0]
            )
            assert closing.origin is not None
            names = " -> ".join([*circle, circle[0]])
            yield Fault(
                str(closing.origin.where),
                f"chains of table {draft.name} call each other in a circle: {names}",
            )


def declared_policy(
    chain: str, policy: ChainPolicy | None, builtin: Container[str], *, is_known: bool
) -> ChainPolicy | None:
    """The policy of a chain that is declared; raises ValueError where it cannot be."""
    if chain in builtin:
        return policy or ChainPolicy.ACCEPT
    if policy is not None:
        raise ValueError(f"chain '{chain}' is not built-in and has no policy")
    if is_known:
        raise ValueError(f"chain '{chain}' is declared a second time")
    if chain in STANDARD_TARGETS:
        raise ValueError(f"no chain can be called '{chain}', which is a target")
    if len(chain.encode()) > MAX_CHAIN_NAME:
        raise ValueError(f"chain name '{chain}' is longer than {MAX_CHAIN_NAME} bytes")
    return None


def made_rule(parsed: ParsedRule, file: str, line_number: int, packets: int, octets: int) -> Rule:
    """A rule that knows where it stands, and its counters where the line begins with some."""
    rule = Rule(parsed.matches, parsed.target)
    comment = rule.comment or ""
    identity = ""
    if comment.startswith(OWN_COMMENT_PREFIX):
        identity = comment.removeprefix(OWN_COMMENT_PREFIX)
    return Rule(
        parsed.matches,
        parsed.target,
        Origin(Where(file, line_number), identity),
        packets or parsed.packets,
        octets or parsed.octets,
    )


def parse_ruleset(text: str, family: Family, file: str = "<text>") -> Ruleset:
    """Read all tables; every rule knows its file and line, and its counters if they are given.

    Understands saved rules with or without counters, the spellings that ``iptables-restore``
    takes for what the types of ``ir`` hold, and lines of ``iptables -S`` (as the filter table).
    Matches and targets that netfw does not know are kept verbatim. A rule for several addresses
    is one rule for each, and rules marked for the other family (``-4``, ``-6``) are left out.
    Raises FactError with one fault for each line that cannot be understood.
    """
    reader = _Reader(family, file)
    faults: list[Fault] = []
    line_number = 0
    # only a line feed ends a line: a comment may hold any other character
    for line_number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip(" \t")
        if not bare or bare[0] == "#":
            continue
        try:
            reader.read_line(bare, line_number)
        except ValueError as error:
            hint = "" if faults or reader.has_tables else _HINT
            faults.append(Fault(f"{file}:{line_number}", f"not understood: {error}", hint))
    if reader.open_table is not None and not faults:
        faults.append(
            Fault(
                f"{file}:{line_number}",
                f"table '{reader.open_table.name}' is never committed",
                "the file seems to be cut off: save it again",
            )
        )
    faults += reader.circles()
    if faults:
        raise FactError.of(few(faults, file))
    return Ruleset(family, tuple(draft.table() for draft in reader.drafts.values()))


def policy_of(text: str) -> ChainPolicy | None:
    """The policy of a line ``:INPUT ACCEPT``, None for ``-``; raises ValueError."""
    if text == "-":
        return None
    try:
        return ChainPolicy(text)
    except ValueError:
        raise ValueError(f"chain policy '{text}' is neither ACCEPT nor DROP") from None


def _new(table: _TableDraft, words: Sequence[str], _rules: list[Rule]) -> None:
    table.declare(_first(words), None)


def _set_policy(table: _TableDraft, words: Sequence[str], _rules: list[Rule]) -> None:
    table.declare(_first(words), policy_of(words[1] if len(words) > 1 else ""))


def _insert(table: _TableDraft, words: Sequence[str], rules: list[Rule]) -> None:
    before = table.rules_of(_first(words))
    at = number(words[1])
    if not 1 <= at <= len(before) + 1:
        raise ValueError(f"there is no place {at} in chain '{words[0]}'")
    before[at - 1 : at - 1] = rules


def _flush(table: _TableDraft, words: Sequence[str], _rules: list[Rule]) -> None:
    for chain in words[:1] or list(table.rules):
        table.rules_of(chain).clear()


def _keep(_table: _TableDraft, _words: Sequence[str], _rules: list[Rule]) -> None:
    """``-Z`` changes no rule."""


def _first(words: Sequence[str]) -> str:
    if not words:
        raise ValueError("the chain's name is missing")
    return words[0]


_COMMANDS: dict[str, Callable[[_TableDraft, Sequence[str], list[Rule]], None]] = {
    "-N": _new,
    "--new-chain": _new,
    "-P": _set_policy,
    "--policy": _set_policy,
    "-I": _insert,
    "--insert": _insert,
    "-F": _flush,
    "--flush": _flush,
    "-Z": _keep,
    "--zero": _keep,
}
"""Commands besides -A that a file for iptables-restore may hold and that netfw follows."""
