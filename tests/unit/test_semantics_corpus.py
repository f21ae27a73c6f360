"""Real rulesets whose meaning others have worked out: the sets must lie between their bounds.

Beside each ruleset stand two simpler ones, made by a verified tool of others: ``.lower`` accepts
only what the ruleset accepts by some interfaces, ``.upper`` accepts whatever it accepts by all of
them. Both hold for first packets of connections.
"""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.match import ConnectionState
from netfw.ir.names import Family, Hook, TableName
from netfw.ir.net import Net
from netfw.ir.protocols import protocol_number
from netfw.prove.chains import named_mark_bits
from netfw.prove.interfaces import Interfaces, patterns_of_ruleset
from netfw.prove.path import PathKind, Paths, Stop
from netfw.prove.space import NOTRACK, Bdd, Field, Space
from netfw.traverse.packet import ACK, FIN, RST, SYN

SEMANTICS = Path(__file__).parents[3] / "shared" / "corpus" / "semantics"
CHAINS = {"FWD": Hook.FORWARD, "INP": Hook.INPUT}
PORTS = re.compile(r"([sd])pts?:(\d+)(?::(\d+))?")
pytestmark = pytest.mark.skipif(
    not SEMANTICS.is_dir(), reason="the corpus of rulesets with known meaning is absent"
)


class Case(NamedTuple):
    """A ruleset's file, the chain that is meant, and the files of its bounds."""

    rules: Path
    hook: Hook
    lower: Path
    upper: Path


def cases() -> list[Case]:
    found = []
    for lower in sorted(SEMANTICS.glob("*/*.lower")):
        code = lower.stem.rpartition(".")[2]
        rules = [
            path
            for path in lower.parent.iterdir()
            if path.suffix not in (".lower", ".upper") and "*filter" in path.read_text()
        ]
        if code in CHAINS and len(rules) == 1 and "Ln" in lower.name:
            found.append(Case(rules[0], CHAINS[code], lower, lower.with_suffix(".upper")))
    return found


def accepted_by_listing(space: Space, text: str, chain: str) -> Bdd:
    """What a chain accepts whose rules stand as ``iptables -L -n`` prints them."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"Chain {chain} "))
    accepted = space.true if "ACCEPT" in lines[start] else space.false
    rules = []
    for line in lines[start + 2 :]:
        if not line.strip():
            break
        target, protocol, _, source, destination, *others = line.split()
        those = within(space, Field.SOURCE, source) & within(space, Field.DESTINATION, destination)
        number = protocol_number(protocol)
        if protocol != "all":
            assert number is not None, line
            those &= space.equal(Field.PROTOCOL, number)
        for word in others:
            found = PORTS.fullmatch(word)
            if found:
                field = Field.SOURCE_PORT if found[1] == "s" else Field.DESTINATION_PORT
                those &= space.between(field, int(found[2]), int(found[3] or found[2]))
            else:
                assert word in ("tcp", "udp"), line
        rules.append((target, those))
    for target, those in reversed(rules):
        accepted = accepted | those if target == "ACCEPT" else accepted & ~those
    return accepted


def within(space: Space, field: Field, text: str) -> Bdd:
    inside = space.in_net(field, Net.parse(text.lstrip("!")))
    return ~inside if text.startswith("!") else inside


def first_packets(space: Space, paths: Paths, kind: PathKind) -> Bdd:
    """TCP begins with SYN; fragments and what is not tracked begin nothing."""
    found = paths.domain(kind) & space.in_state(ConnectionState.NEW)
    found &= ~space.flag(Field.FRAGMENT) & ~space.state_variables[NOTRACK]
    syn = space.masked(Field.TCP_FLAGS, SYN, SYN | ACK | RST | FIN)
    return found & (syn | ~space.equal(Field.PROTOCOL, 6))


def test_there_are_rulesets_with_known_meaning() -> None:
    assert len(cases()) >= 7


@pytest.mark.parametrize(
    "case", cases(), ids=lambda case: f"{case.rules.parent.name}-{case.hook.value}"
)
def test_what_is_accepted_lies_between_the_known_bounds(case: Case) -> None:
    ruleset = parse_ruleset(case.rules.read_text(), Family.IPV4, case.rules.name)
    mark, connmark = named_mark_bits(ruleset.rules())
    space = Space(ruleset.family, Interfaces(patterns_of_ruleset(ruleset)), mark, connmark)
    paths = Paths(space, ruleset)
    table = ruleset.table(TableName.FILTER)
    assert table is not None
    accepted = ~paths.at_stop(Stop(case.hook, table)).leaves(space)
    kind = PathKind.FORWARD if case.hook is Hook.FORWARD else PathKind.IN
    everything = first_packets(space, paths, kind)
    interfaces = [
        name
        for field in (Field.IN_INTERFACE, Field.OUT_INTERFACE)
        for name in space.names_of(field)
    ]
    by_some = space.without(everything & accepted, interfaces)
    by_all = ~space.without(everything & ~accepted, interfaces)
    lower, upper = (
        everything & accepted_by_listing(space, path.read_text(), case.hook.value)
        for path in (case.lower, case.upper)
    )
    assert lower & ~by_some == space.false
    assert everything & by_all & ~upper == space.false
    assert lower & ~upper == space.false
