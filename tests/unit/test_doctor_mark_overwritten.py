"""mark-overwritten: who takes bits away that somebody asks for later."""

from __future__ import annotations

from netfw.doctor.findings import mark_overwritten
from netfw.doctor.host_state import HeldRules, HostState
from netfw.facts.iptables_save import parse_ruleset
from netfw.ir.names import Backend, Family


def _state(text: str) -> HostState:
    return HostState(rules=(HeldRules(Backend.NFT, parse_ruleset(text, Family.IPV4)),))


def _rules(first: str, second: str) -> str:
    return f"""*mangle
:PREROUTING ACCEPT [0:0]
-A PREROUTING {first}
-A PREROUTING {second}
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m mark --mark 0x10000/0xf0000 -j ACCEPT
COMMIT
"""


ACCEPT_BIT = "-i lan -j MARK --set-xmark 0x10000/0xf0000"


def test_a_set_mark_without_a_mask_behind_the_bit_is_to_blame() -> None:
    text = _rules(ACCEPT_BIT, "-p tcp -j MARK --set-xmark 0x1/0xffffffff")
    (found,) = mark_overwritten.find(_state(text))
    guilty, before, reader = found.evidence
    assert (guilty.table, guilty.chain, guilty.number, guilty.line) == (
        "mangle",
        "PREROUTING",
        2,
        4,
    )
    assert (before.number, reader.chain) == (1, "FORWARD")
    assert "0x10000" in found.problem
    assert "--set-xmark 0x1/0x1" in found.fix[0]


def test_with_a_mask_nothing_is_wrong() -> None:
    assert not list(
        mark_overwritten.find(_state(_rules(ACCEPT_BIT, "-j MARK --set-xmark 0x1/0xff")))
    )


def test_before_the_bit_is_set_a_clean_sheet_is_no_fault() -> None:
    text = _rules("-j MARK --set-xmark 0x0/0xffffffff", ACCEPT_BIT)
    assert not list(mark_overwritten.find(_state(text)))


def test_a_chain_that_is_called_before_and_behind_the_writer_may_come_first() -> None:
    text = """*mangle
:PREROUTING ACCEPT [0:0]
:wipe - [0:0]
-A PREROUTING -i a -j wipe
-A PREROUTING -i lan -j MARK --set-xmark 0x10000/0xf0000
-A PREROUTING -i b -j wipe
-A wipe -j MARK --set-xmark 0x0/0xffffffff
COMMIT
*filter
:INPUT DROP [0:0]
-A INPUT -m mark --mark 0x10000/0xf0000 -j ACCEPT
COMMIT
"""
    (found,) = mark_overwritten.find(_state(text))
    assert found.evidence[0].chain == "wipe"
