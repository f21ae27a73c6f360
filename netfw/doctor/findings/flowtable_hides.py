"""A flowtable takes packets past the rules that mark them."""

from __future__ import annotations

from collections.abc import Iterator

from netfw.doctor.asked import RULES, set_by
from netfw.doctor.finding import Finding, Severity
from netfw.doctor.host_state import HostState
from netfw.doctor.mark_use import Word
from netfw.doctor.nft_uses import nft_spot
from netfw.doctor.place import Stage
from netfw.doctor.probing import NoProbing

CODE = "flowtable-hides"
TITLE = "established flows pass no rule, and so are not marked"
EXPLANATION = """\
'flow add @NAME' hands a connection to a flowtable: its later packets go from interface to
interface without any hook. Rules that mark, classify or route by mark see the first packets
alone.

Leave marked connections out of 'flow add' (for example with 'ct mark 0').
"""
_SKIPPED = frozenset({Stage.PREROUTING, Stage.FORWARD, Stage.POSTROUTING})


def find(state: HostState) -> Iterator[Finding]:
    """Each rule that fills a flowtable without asking for a mark, beside rules that mark."""
    marking = next(
        (
            use
            for use in state.writers(Word.PACKET)
            if use.spot.system in RULES
            and set_by(use, Word.PACKET)
            and any(where.stage in _SKIPPED for where in use.passages)
        ),
        None,
    )
    if marking is None:
        return
    for table in state.tables:
        for chain in table.chains:
            for number, rule in enumerate(chain.rules, start=1):
                if "flow add" in rule.text and "mark" not in rule.text:
                    spot = nft_spot(table, chain, number)
                    yield Finding(
                        CODE,
                        Severity.WARNING,
                        f"{spot} hands connections to a flowtable, and {marking.spot} marks "
                        "packets of connections, which then do not come by",
                        (spot, marking.spot),
                        "only the first packets of a connection are marked; the others pass no "
                        "rule at all",
                        ("leave marked connections out: ct mark 0 flow add @NAME",),
                    )


def probe(finding: Finding, state: HostState) -> NoProbing:
    """No packet shows it."""
    return NoProbing("packets that pass a flowtable make no event at all that a trace could show")
