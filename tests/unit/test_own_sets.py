"""Saved sets taken apart: what is ours, and who else holds it."""

from __future__ import annotations

import pytest

from netfw.errors import FactError
from netfw.facts.ipset_save import parse_sets
from netfw.plan.own_sets import read_saved_sets

SAVED = """\
create theirs hash:of,the,future
add theirs whatever comment " NETFW-4-a"
create NETFW-4-a hash:net,port family inet maxelem 65536 counters comment initval 0x1
add NETFW-4-a 192.0.2.0/24,tcp:80 packets 7 bytes 420 comment "netfw:public/web"
add NETFW-4-a 192.0.2.1,udp:53 nomatch packets 0 bytes 0 comment "netfw:public/dns"
create NETFW-6-a hash:net family inet6
add NETFW-6-a 2001:db8::/32
create all of them list:set size 8
add all of them NETFW-4-a
add all of them theirs
"""
PLAIN = """\
create NETFW-4-a hash:net,port family inet maxelem 65536 counters comment initval 0x1
add NETFW-4-a 192.0.2.0/24,tcp:80 comment "netfw:public/web"
add NETFW-4-a 192.0.2.1,udp:53 nomatch comment "netfw:public/dns"
create NETFW-6-a hash:net family inet6
add NETFW-6-a 2001:db8::/32
"""


def test_only_ours_are_read_and_without_what_they_counted():
    assert read_saved_sets(SAVED, "saved").own == parse_sets(PLAIN, "plain")


def test_a_list_of_others_that_holds_one_of_ours_is_told():
    assert read_saved_sets(SAVED, "saved").lists == {"NETFW-4-a": ("all of them",)}


def test_members_that_were_recorded_are_the_recorded_ones():
    recorded = parse_sets(PLAIN, "plain")
    found = read_saved_sets(SAVED, "saved", recorded.values()).own
    assert found == recorded
    pairs = zip(found["NETFW-4-a"].members, recorded["NETFW-4-a"].members, strict=True)
    assert all(one is other for one, other in pairs)


def test_members_that_were_not_recorded_are_read():
    less = parse_sets(PLAIN.replace("add NETFW-6-a 2001:db8::/32\n", ""), "plain")
    found = read_saved_sets(SAVED, "saved", less.values()).own
    assert found == parse_sets(PLAIN, "plain")


def test_a_recorded_member_of_another_kind_of_set_does_not_count():
    """The same words mean another thing there."""
    other = parse_sets("create NETFW-4-b hash:ip\nadd NETFW-4-b 192.0.2.7\n", "other")
    text = "create NETFW-4-b hash:net\nadd NETFW-4-b 192.0.2.7\n"
    assert read_saved_sets(text, "saved", other.values()).own == parse_sets(text, "text")


@pytest.mark.parametrize("line", ["add NETFW-4-a", "add NETFW-4-a 192.0.2.1/99,tcp:1"])
def test_a_fault_is_told_with_its_line(line: str):
    with pytest.raises(FactError, match="saved:12: "):
        read_saved_sets(f"{SAVED.rstrip()}\n\n{line}\n", "saved")
