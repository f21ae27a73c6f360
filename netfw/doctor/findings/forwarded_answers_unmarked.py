"""Answers of a server behind this host leave by the default uplink instead of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netfw.doctor.asked import conditions_of
from netfw.doctor.conditions import exclude
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.iptables_uses import spot_of as rule_spot
from netfw.doctor.mark_use import MarkUse, Word
from netfw.doctor.nft_conditions import conditions
from netfw.doctor.nft_uses import nft_spot
from netfw.doctor.observed import RoutingRule
from netfw.doctor.place import Spot, Stage
from netfw.doctor.place import Way as PacketWay
from netfw.doctor.probe_packets import Wanted, conversations
from netfw.doctor.probing import NoProbing, Probing, Turn
from netfw.doctor.steering import bits_of, may_obey, rule_at, spot_of, steering_rules
from netfw.doctor.way_back import comes_by, is_way_back
from netfw.doctor.way_symptoms import UnmarkedAnswer
from netfw.ir.match import InterfaceMatch, Way
from netfw.ir.names import Family, TableName
from netfw.ir.target import Dnat

CODE = "forwarded-answers-unmarked"
TITLE = "answers of a server behind this host do not carry the mark of what they answer"
EXPLANATION = """\
A connection from outside comes in by a second uplink and is marked there; DNAT hands it to a
server behind this host. The answers come from the server's side, by another interface: no rule
marks those, and they leave by the default uplink, where the translated source does not belong.

Save the mark to the connection where it is set (CONNMARK --save-mark), and restore it in mangle
PREROUTING for what comes in by the other interfaces.
"""


def find(state: HostState) -> Iterator[Finding]:
    """Each uplink's mark with a translation to a server, and nobody who marks the answers."""
    for one in steering_rules(state):
        if one.rule.invert or one.rule.in_interface:
            continue
        for writer in state.writers(Word.PACKET):
            name = comes_by(writer)
            if not name or not may_obey(writer, one) or not is_way_back(state, one, name):
                continue
            translation = _translation(state, one.rule.family, name)
            if translation is not None and not _are_marked(state, one, name):
                yield _finding(one, writer, name, translation)
                break


def _are_marked(state: HostState, one: RoutingRule, name: str) -> bool:
    """Whether some rule gives packets of other interfaces the mark, restored or anew."""
    elsewhere = (InterfaceMatch(Way.IN, name, negate=True),)
    return any(
        may_obey(use, one)
        and any(where.stage is Stage.PREROUTING for where in use.passages)
        and not exclude(conditions_of(use), elsewhere)
        for use in state.writers(Word.PACKET)
    )


def _translation(state: HostState, family: Family, name: str) -> Spot | None:
    """A rule that gives packets of the uplink another destination."""
    here = (InterfaceMatch(Way.IN, name),)
    for held in state.rules:
        table = held.ruleset.table(TableName.NAT) if held.family is family else None
        for chain in () if table is None else table.chains:
            entries = held.reach.entries(TableName.NAT, chain.name)
            if not any(entry.stage is Stage.PREROUTING for entry in entries):
                continue
            for number, rule in enumerate(chain.rules, start=1):
                asked = (*rule.matches, *entries[0].calls)
                if isinstance(rule.target, Dnat) and not exclude(asked, here):
                    return rule_spot(held, TableName.NAT, chain.name, number)
    for native in state.tables:
        if native.family not in ("inet", "ip" if family is Family.IPV4 else "ip6"):
            continue
        for of in native.chains:
            for number, each in enumerate(of.rules, start=1):
                if _translates(each.expressions) and not exclude(
                    conditions(each.expressions), here
                ):
                    return nft_spot(native, of, number)
    return None


def _translates(expressions: tuple[Any, ...]) -> bool:
    return any(isinstance(one, dict) and "dnat" in one for one in expressions)


def _finding(one: RoutingRule, writer: MarkUse, name: str, translation: Spot) -> Finding:
    mask = bits_of(one) if one.rule.mark is None else one.rule.mark.mask
    program = "ip6tables" if one.rule.family is Family.IPV6 else "iptables"
    return Finding(
        CODE,
        Severity.WARNING,
        f"what comes in by {name} gets mark {bits_of(one):#x} ({writer.spot}) and may be "
        f"translated to a server ({translation}), whose answers nothing marks",
        (writer.spot, translation, spot_of(one)),
        f"answers of the server leave by the default route, and not by {name}",
        (
            f"{program} -t mangle -A PREROUTING -i {name} -j CONNMARK --save-mark --mask "
            f"{mask:#x}",
            f"{program} -t mangle -A PREROUTING ! -i {name} -j CONNMARK --restore-mark --mask "
            f"{mask:#x}",
        ),
    )


def probe(finding: Finding, state: HostState) -> Probing | NoProbing:
    """A packet that is translated to the server, and what the server answers."""
    spot, translation, reader = finding.evidence
    writer, one = state.use_at(spot), rule_at(state, reader)
    if writer is None or one is None:
        return NoProbing("its rules are not there any more")
    wanted = Wanted(
        (spot, translation),
        ways=frozenset({PacketWay.TO_HOST}),
        family=one.rule.family,
        is_afar=True,
    )
    found = conversations(state, wanted, Turn.ANSWER)
    return Probing(found, UnmarkedAnswer(comes_by(writer), bits_of(one)))
