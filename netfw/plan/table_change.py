"""From what is ours in a table to what shall be, as one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from netfw.ir.names import BUILTIN_CHAINS, Family, TableName
from netfw.plan.chain_edit import edits
from netfw.plan.change import Change, changed_lines, table_place
from netfw.plan.own import OwnTable
from netfw.plan.step import LoadTable
from netfw.plan.trend import plain_rule
from netfw.plan.wording import same_rules


@dataclass(frozen=True, slots=True)
class TableChange:
    """One table of one family, with the names that sets shall have in it."""

    family: Family
    table: TableName
    before: OwnTable
    after: OwnTable

    @property
    def chains(self) -> list[str]:
        """Our chains that are new, or whose rules differ."""
        return [
            name
            for name, rules in self.after.chains.items()
            if name not in self.before.chains
            or not same_rules(self.before.chains[name], rules, self.family)
        ]

    @property
    def gone(self) -> list[str]:
        """Our chains that shall not be there any longer."""
        return [name for name in self.before.chains if name not in self.after.chains]

    @property
    def is_needed(self) -> bool:
        """Whether anything differs."""
        return bool(self.chains or self.gone or [*self._calls()])

    def _calls(self) -> Iterator[str]:
        """Commands about the rules in built-in chains. Ours comes first when it is made, and
        stays where it is as long as it is the same."""
        for hook in BUILTIN_CHAINS[self.table]:
            before = self.before.calls.get(hook.value, ())
            after = self.after.calls.get(hook.value, ())
            if same_rules(before, after, self.family):
                continue
            yield from (f"-D {hook.value} {text}" for text in before)
            yield from (f"-I {hook.value} {number} {text}" for number, text in enumerate(after, 1))

    def step(self) -> LoadTable:
        """The transaction: whatever is the same is not named in it, and keeps its counters."""
        chains, gone = self.chains, self.gone
        edited = {name: self._edits(name) for name in chains}
        anew = [name for name, commands in edited.items() if commands is None]
        lines = [f"*{self.table}"]
        lines += (f":{name} - [0:0]" for name in (*anew, *gone))
        lines += (f"-A {name} {text}" for name in anew for text in self.after.chains[name])
        lines += (line for commands in edited.values() for line in commands or ())
        lines += self._calls()
        lines += (f"-X {name}" for name in gone)
        lines.append("COMMIT")
        return LoadTable(self.family, self.table, "".join(f"{line}\n" for line in lines))

    def _edits(self, chain: str) -> list[str] | None:
        """Commands that change a chain of ours that stays; None where it is written anew."""
        before = self.before.chains.get(chain)
        return None if before is None else edits(chain, before, self.after.chains[chain])

    def changes(self) -> Iterator[Change]:
        """What comes and goes, for people: sets have the names that the policy gives them."""
        for name in dict.fromkeys((*self.before.chains, *self.after.chains)):
            before = [plain_rule(text) for text in self.before.chains.get(name, ())]
            after = [plain_rule(text) for text in self.after.chains.get(name, ())]
            if not same_rules(before, after, self.family):
                place = table_place(self.table, name)
                yield from changed_lines(self.family, place, before, after)
        for hook in BUILTIN_CHAINS[self.table]:
            before = list(self.before.calls.get(hook.value, ()))
            after = list(self.after.calls.get(hook.value, ()))
            if not same_rules(before, after, self.family):
                place = table_place(self.table, hook.value)
                yield from changed_lines(self.family, place, before, after)
