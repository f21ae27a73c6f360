"""What others have that is in the way of a change."""

from __future__ import annotations

from netfw.facts.ipset_save import parse_sets
from netfw.ir.names import Family, TableName
from netfw.plan.foreign import Foreign
from netfw.plan.own import Own, OwnTable
from netfw.plan.own_saved import read_saved
from netfw.plan.plan import plan
from netfw.plan.refusal import refusals

FILTER = (Family.IPV4, TableName.FILTER)
CALL = '-m comment --comment "netfw:hook/input" -j NETFW-INPUT'
ASKS = '-m set --match-set NETFW-4-a src -m comment --comment "netfw:public/web" -j ACCEPT'
OURS = OwnTable({"NETFW-INPUT": (ASKS,)}, {"INPUT": (CALL,)})
SETS = parse_sets("create NETFW-4-a hash:ip family inet\nadd NETFW-4-a 192.0.2.1\n", "sets")
NOW = Own({FILTER: OURS}, SETS)


def others(*lines: str) -> Foreign:
    """A host with rules of others in the table filter."""
    text = "\n".join(("*filter", ":INPUT ACCEPT [0:0]", *lines, "COMMIT", ""))
    return Foreign({FILTER: read_saved(text, Family.IPV4, "saved")[TableName.FILTER].foreign})


def told(now: Own, wanted: Own, foreign: Foreign) -> list[str]:
    return [str(fault) for fault in refusals(now, wanted, foreign, plan(now, wanted))]


def test_rules_of_others_that_have_nothing_to_do_with_ours_are_in_nobodys_way():
    foreign = others(":DOCKER - [0:0]", "-A INPUT -j DOCKER", "-A DOCKER -j DROP")
    assert told(Own(), NOW, foreign) == []
    assert told(NOW, Own(), foreign) == []


def test_a_chain_of_others_with_a_name_like_ours_is_in_the_way():
    foreign = others(":NETFW-MINE - [0:0]", "-A NETFW-MINE -j DROP")
    assert told(Own(), NOW, foreign) == [
        "IPv4 table filter: chain NETFW-MINE has 1 rule that netfw did not make, "
        "and netfw's own chains begin like that\n"
        "  hint: rename it: iptables -t filter -E NETFW-MINE OTHER-NAME"
    ]


def test_such_a_chain_keeps_nobody_from_removing_what_is_ours():
    foreign = others(":NETFW-MINE - [0:0]", "-A NETFW-MINE -j DROP")
    assert told(NOW, Own(), foreign) == []


def test_a_rule_of_others_that_leads_to_a_chain_of_ours_is_in_the_way_when_that_goes():
    line = "-A DOCKER -j NETFW-INPUT"
    foreign = others(":DOCKER - [0:0]", line)
    assert told(Own(), NOW, foreign) == []
    assert told(NOW, Own(), foreign) == [
        "IPv4 table filter: a rule of others needs NETFW-INPUT, which would go: "
        f"{line}\n"
        "  hint: take that rule out first"
    ]


def test_a_rule_of_others_that_asks_a_set_of_ours_is_in_the_way_when_that_goes():
    line = "-A INPUT -m set --match-set NETFW-4-a src -j DROP"
    assert told(NOW, Own(), others(line)) == [
        f"IPv4 table filter: a rule of others needs NETFW-4-a, which would go: {line}\n"
        "  hint: take that rule out first"
    ]
    more = parse_sets("create NETFW-4-a hash:ip family inet\nadd NETFW-4-a 192.0.2.2\n", "sets")
    assert told(NOW, Own(NOW.tables, more), others(line)) == []


def test_a_list_of_others_that_holds_a_set_of_ours_is_in_the_way_when_that_goes():
    foreign = Foreign(lists={"NETFW-4-a": ("all",)})
    assert told(NOW, Own(), foreign) == [
        "set NETFW-4-a: sets of others hold it, and it would go: all\n"
        "  hint: take it out first: ipset del all NETFW-4-a"
    ]


def test_a_table_that_iptables_does_not_show_is_in_the_way_of_what_changes_it():
    foreign = Foreign(unreadable=frozenset({FILTER}))
    (fault,) = told(Own(), NOW, foreign)
    assert fault.startswith("IPv4 table filter: somebody put rules of nftables into it, which")
    assert told(NOW, NOW, foreign) == []
