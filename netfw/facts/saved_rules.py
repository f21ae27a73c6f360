"""Saved rules as lines that are read when somebody asks for them.

A ruleset of ten thousand rules is read in full in half a second, and a packet meets a hundred of
them. Only the plain form is taken that ``iptables-save`` prints, in which each line is one rule.
Of a line that nobody asks for, only this is checked: that it stands in a table, that its chain is
declared, that its quotes are closed, that it begins with an option, that the chain which it goes
to is there, and that no chain leads back to itself. What else may be wrong with it is told when
it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from netfw.errors import FactError
from netfw.facts.iptables_save import declared_policy, made_rule, policy_of
from netfw.facts.parse_rule import parse_rule
from netfw.facts.table_name import table_of
from netfw.facts.target_names import may_be_target
from netfw.facts.words import split_words
from netfw.ir.calls import Calls
from netfw.ir.names import BUILTIN_CHAINS, ChainPolicy, Family, TableName
from netfw.ir.ruleset import Chain, Rule, Ruleset, Table

_COUNTERS = re.compile(r"\[(\d+):(\d+)\] ")
_NOT_ONE_RULE = re.compile(
    r"(?m)(?:^| )(?:-4|-6|--ipv4|--ipv6)(?: |$)"
    r"|(?:^| )(?:-[sd]|--(?:src|dst|source|destination)\b)[ =]?(?:! )?[^ \n]*,"
)
"""Where a line is several rules, or none: then the file is not read by lines."""
_OTHER_FAMILY = {
    Family.IPV4: re.compile(r" -[sd] [0-9a-f]*:"),
    Family.IPV6: re.compile(r" -[sd] [0-9]+\."),
}
"""An address of the other family, which ``parse_ruleset`` refuses with its line."""
_OPTION_STARTS = frozenset(("", "-", "!", '"', "\\"))
"""How a rule starts in which an option does not stand, or not as one."""
_CAME_BY = re.compile(r'(?:^| )(?:-i ?|--in-interface[ =]?)(?:! )?([^\s"]+)')


class SavedChain:
    """A chain of which each rule is read once, when it is first asked for.

    ``texts`` are the rules behind ``-A CHAIN``; rules count from 1.
    """

    __slots__ = ("_counters", "_parsed", "_places", "name", "policy", "table", "texts")

    def __init__(self, table: SavedTable, name: str, policy: ChainPolicy | None) -> None:
        self.table = table
        self.name = name
        self.policy = policy
        self.texts: list[str] = []
        self._places: list[int] = []
        self._counters: dict[int, tuple[int, int]] = {}
        self._parsed: dict[int, Rule] = {}

    def append(self, text: str, line_number: int, counters: tuple[int, int] | None) -> None:
        """Add a rule that stands at a line, with its counters if they are given."""
        self.texts.append(text)
        self._places.append(line_number)
        if counters is not None:
            self._counters[len(self.texts)] = counters

    def line_of(self, number: int) -> int:
        """The line of a rule in its file."""
        return self._places[number - 1]

    def rule(self, number: int) -> Rule:
        """The rule with this number; raises FactError where it cannot be understood."""
        found = self._parsed.get(number)
        if found is not None:
            return found
        rules = self.table.rules
        try:
            words = split_words(self.texts[number - 1])
            (parsed,) = parse_rule(words, rules.family, self.table.chains)
        except ValueError as error:
            place = f"{rules.file}:{self.line_of(number)}"
            raise FactError.at(place, f"not understood: {error}") from None
        packets, octets = self._counters.get(number, (0, 0))
        made = made_rule(parsed, rules.file, self.line_of(number), packets, octets)
        self._parsed[number] = made
        return made


class SavedTable:
    """A table's chains by name."""

    __slots__ = ("builtin", "chains", "name", "rules")

    def __init__(self, rules: SavedRules, name: TableName) -> None:
        self.rules = rules
        self.name = name
        self.builtin = {hook.value for hook in BUILTIN_CHAINS[name]}
        self.chains: dict[str, SavedChain] = {}

    def declare(self, name: str, policy: ChainPolicy | None) -> SavedChain:
        """A chain of this name; raises ValueError where there can be none."""
        chain = self.chains.get(name)
        policy = declared_policy(name, policy, self.builtin, is_known=chain is not None)
        if chain is None:
            chain = self.chains[name] = SavedChain(self, name, policy)
        chain.policy = policy
        return chain

    @property
    def is_sound(self) -> bool:
        """Whether each rule that goes to a chain goes to one that is there, and none in a circle.

        Comments may look like such rules: where in doubt it is not.
        """
        callees: dict[str, set[str]] = {}
        for chain in self.chains.values():
            called = set()
            for option in ("-j ", "-g "):
                for words in {text.rpartition(option)[2] for text in chain.texts}:
                    name, _, more = words.partition(" ")
                    if name in self.chains:
                        called.add(name)
                    elif name[:1] not in _OPTION_STARTS and (
                        option == "-g " or not may_be_target(name, has_options=bool(more))
                    ):
                        return False
            callees[chain.name] = called
        if any(name in self.builtin for called in callees.values() for name in called):
            return False
        return not Calls(callees).circle(self.builtin)

    def appended(self, name: str) -> SavedChain:
        """The chain that a rule is added to; a built-in one need not be declared."""
        chain = self.chains.get(name)
        if chain is not None:
            return chain
        if name not in self.builtin:
            raise ValueError(f"chain '{name}' has not been declared")
        return self.declare(name, None)


class SavedRules:
    """All tables of a file, as lines."""

    __slots__ = ("family", "file", "tables")

    def __init__(self, family: Family, file: str) -> None:
        self.family = family
        self.file = file
        self.tables: dict[TableName, SavedTable] = {}

    @property
    def skeleton(self) -> Ruleset:
        """The tables and chains without any rule."""
        return Ruleset(
            self.family,
            tuple(
                Table(
                    table.name,
                    tuple(Chain(chain.name, (), chain.policy) for chain in table.chains.values()),
                )
                for table in self.tables.values()
            ),
        )

    def find_chain(self, table: TableName, name: str) -> SavedChain | None:
        """The chain of a table, or None."""
        found = self.tables.get(table)
        return None if found is None else found.chains.get(name)

    def chains(self) -> Iterator[SavedChain]:
        """All chains of all tables."""
        for table in self.tables.values():
            yield from table.chains.values()

    def interfaces(self) -> set[str]:
        """The names and patterns that ``-i`` speaks of, and perhaps more (out of comments)."""
        return {
            found
            for chain in self.chains()
            for text in chain.texts
            if "-i" in text
            for found in _CAME_BY.findall(text)
        }

    def rules_with(self, words: Iterable[str]) -> Iterator[Rule]:
        """The rules in whose text one of these words stands anywhere."""
        wanted = tuple(words)
        for chain in self.chains():
            for number, text in enumerate(chain.texts, start=1):
                if any(word in text for word in wanted):
                    yield chain.rule(number)


def index_rules(text: str, family: Family, file: str) -> SavedRules | None:
    """Find the rules in what ``iptables-save`` printed.

    None for other forms of ``iptables-restore`` input, and where anything is wrong:
    ``parse_ruleset`` reads the ones, and tells every fault of the others.
    """
    if _NOT_ONE_RULE.search(text) or _OTHER_FAMILY[family].search(text):
        return None
    found = SavedRules(family, file)
    table: SavedTable | None = None
    chain: SavedChain | None = None
    last = ""
    for line_number, line in enumerate(text.split("\n"), start=1):
        first = line[:1]
        counters = None
        if first == "[":
            counted = _COUNTERS.match(line)
            if counted is None:
                return None
            counters = int(counted[1]), int(counted[2])
            line = line[counted.end() :]
        try:
            if line.startswith("-A "):
                if table is None:
                    return None
                name, _, rest = line[3:].partition(" ")
                if name[:1] in ("", '"'):
                    return None
                if chain is None or name != last:
                    chain, last = table.appended(name), name
                if rest[:1] not in ("-", "!", ""):
                    # also blanks where iptables-save prints one
                    return None
                if '"' in rest:
                    split_words(rest)
                chain.append(rest, line_number, counters)
            elif not first or first == "#":
                continue
            elif first == ":":
                words = line[1:].split()
                if table is None or not words:
                    return None
                table.declare(words[0], policy_of(words[1]) if len(words) > 1 else None)
            elif first == "*" and table is None:
                of = table_of(line[1:])
                if of in found.tables:
                    return None
                table = found.tables[of] = SavedTable(found, of)
                chain = None
            elif line == "COMMIT":
                table = chain = None
            else:
                return None
        except ValueError:
            return None
    is_whole = table is None
    if is_whole and all(each.is_sound for each in found.tables.values()):
        return found
    return None
