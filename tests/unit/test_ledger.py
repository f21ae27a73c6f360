"""The ledger: who writes and reads each bit, in the order of the way."""

from __future__ import annotations

from netfw.doctor.host_state import HeldRules, HostState
from netfw.doctor.ledger import Does, make_ledger
from netfw.doctor.mark_use import MarkEffect, MarkTest, Word
from netfw.doctor.observed import NftTable, RoutingRule, Socket
from netfw.doctor.place import Passage, Stage
from netfw.facts.iptables_save import parse_ruleset
from netfw.facts.nft_tables import parse_nft_table
from netfw.ir.mark import MaskedWord
from netfw.ir.names import Backend, Family
from netfw.report.glyphs import ASCII
from netfw.report.ledger import ledger_data, ledger_lines
from netfw.traverse.routing_tables import TableRule

RULES = """*mangle
:PREROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:nobody - [0:0]
-A PREROUTING -j KUBE-MARK-MASQ
-A PREROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A nobody -j MARK --set-xmark 0x80000000/0x80000000
COMMIT
"""
NATIVE = """{"nftables": [
{"table": {"family": "inet", "name": "mine", "handle": 1}},
{"chain": {"family": "inet", "table": "mine", "name": "early", "handle": 1, "type": "filter",
 "hook": "prerouting", "prio": -160, "policy": "accept"}},
{"rule": {"family": "inet", "table": "mine", "chain": "early", "handle": 4, "expr": [
 {"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 16384]}, "right": 16384}},
 {"mangle": {"key": {"meta": {"key": "mark"}},
  "value": {"|": [{"&": [{"meta": {"key": "mark"}}, 4294967040]}, 5]}}}]}}]}"""
LISTED = (
    "table inet mine { # handle 1\n\tchain early { # handle 1\n"
    "\t\tmeta mark & 0x4000 == 0x4000 meta mark set meta mark & 0xffffff00 | 0x5 # handle 4\n"
)


def _native() -> NftTable:
    return parse_nft_table(NATIVE, LISTED)


def _state() -> HostState:
    rule = TableRule(100, Family.IPV4, 7, mark=MaskedWord(0x5, 0xFF))
    return HostState(
        "a host",
        (HeldRules(Backend.LEGACY, parse_ruleset(RULES, Family.IPV4)),),
        (_native(),),
        (RoutingRule(rule, 0, "100: from all fwmark 0x5/0xff lookup 7"),),
        sockets=(Socket("udp", Family.IPV4, "*:51820", "*:*", "UNCONN", 0xCA6C, owner="wg[7]"),),
    )


def test_the_uses_come_in_the_order_of_the_way() -> None:
    entries = make_ledger(_state()).of(Word.PACKET)
    seen = [(str(entry.stage), entry.is_writer, entry.use.spot.chain) for entry in entries]
    assert seen == [
        ("socket", True, "wg[7]"),
        ("PREROUTING", False, "early"),
        ("PREROUTING", True, "early"),
        ("PREROUTING", True, "KUBE-MARK-MASQ"),
        ("PREROUTING", False, "PREROUTING"),
        ("routing", False, "preference 100"),
        ("None", True, "nobody"),
    ]


def test_each_bit_says_what_becomes_of_it() -> None:
    native = make_ledger(_state()).of(Word.PACKET)[2]
    assert [native.bits[bit] for bit in (0, 1, 2, 8)] == [
        Does.SETS,
        Does.CLEARS,
        Does.SETS,
        None,
    ]


def test_saving_a_mark_reads_one_word_and_writes_the_other() -> None:
    (saved,) = make_ledger(_state()).of(Word.CONNECTION)
    assert saved.is_writer
    assert saved.mask == 0xFF
    assert saved.bits[3] is Does.COPIES


def test_chains_and_programs_say_whose_a_bit_is() -> None:
    ledger = make_ledger(_state())
    (group,) = [one for one in ledger.groups(Word.PACKET) if one.low == 14]
    assert any("kube-proxy" in name for name in group.owners)
    assert "wg[7]" in group.owners
    untouched = ledger.untouched(Word.CONNECTION)
    assert untouched == 0xFFFFFF00


def test_all_bits_are_listed_once() -> None:
    for word in Word:
        groups = list(make_ledger(_state()).groups(word))
        assert sum(group.mask for group in groups) == 0xFFFFFFFF


def test_the_picture_has_a_row_for_each_use_and_signs_for_bits() -> None:
    lines = list(ledger_lines(make_ledger(_state()), ASCII))
    rows = [line for line in lines if " W " in line or " R " in line]
    kube = next(line for line in rows if "KUBE-MARK-MASQ" in line)
    assert "---- ----  ---- ----  -1-- ----  ---- ----" in kube
    assert any("never reached" in line for line in lines)


def test_the_data_names_uses_by_their_place() -> None:
    data = ledger_data(make_ledger(_state()))
    bit = data["bits"]["packet"][14]
    writers = [data["uses"][index]["place"]["chain"] for index in bit["writers"]]
    assert writers == ["wg[7]", "KUBE-MARK-MASQ"]
    assert data["schema"] == 1


def test_an_empty_host_says_so() -> None:
    lines = list(ledger_lines(make_ledger(HostState("a host")), ASCII))
    assert "packet mark: nobody on a host writes or reads it" in lines


def test_a_bit_of_each_kind_of_effect() -> None:
    effect = MarkEffect(Word.PACKET, keep=0b0111, xor=0b0101, mixed=0b0010)
    assert effect.applied(0b1111) == 0b0010
    assert effect.applied(0b1111, other=0b0010) == 0
    assert effect.toggles == 0b0101
    assert effect.clears == 0xFFFFFFF8
    assert effect.written == 0xFFFFFFFF


def test_routing_ignores_value_bits_outside_the_mask_and_iptables_does_not() -> None:
    assert MarkTest(Word.PACKET, 0x10000, 0x30000, ignores_outside=True).matches(0x10000)
    assert not MarkTest(Word.PACKET, 0x10000, 0x30000).matches(0x30000)
    assert not MarkTest(Word.PACKET, 0x10000, 0x30000).can_match


def test_routing_comes_between_prerouting_and_forward_and_after_mangle_output() -> None:
    prerouting = Passage(Stage.PREROUTING, 0, "a", (1,), (1,))
    forward = Passage(Stage.FORWARD, -150, "b", (1,), (1,))
    assert prerouting.surely_precedes(Passage(Stage.ROUTING))
    assert Passage(Stage.ROUTING).surely_precedes(forward)
    assert not forward.may_precede(prerouting)
    assert not Passage(Stage.OUTPUT).shares_way(forward)


def test_equal_priorities_of_two_chains_leave_the_order_open() -> None:
    one = Passage(Stage.PREROUTING, -150, "a", (1,), (1,))
    other = Passage(Stage.PREROUTING, -150, "b", (1,), (1,))
    assert one.may_precede(other)
    assert other.may_precede(one)
    assert not one.surely_precedes(other)
