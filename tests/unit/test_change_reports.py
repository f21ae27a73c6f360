"""What plan, history and status say, in lines and as data."""

from __future__ import annotations

from dataclasses import replace

from netfw.compiler.pipeline import compile_policy
from netfw.ir.names import Backend, Family
from netfw.plan.change import Change
from netfw.plan.condition import Condition
from netfw.plan.entry import Caller, Entry
from netfw.plan.own import Own
from netfw.plan.own_of import own_of
from netfw.plan.plan import Plan, plan
from netfw.policy.read import load
from netfw.report.glyphs import ASCII
from netfw.report.history import history_data, history_lines
from netfw.report.plan import plan_data, plan_lines
from netfw.report.status import status_data, status_lines

TEXT = """\
version: 1
endpoints: {wan: {host: eth0}}
policies:
  - {name: public, at: wan, ingress: [{allow: ssh, name: for-us}]}
"""
ENTRY = Entry(
    "2026-01-31T12:00:00Z",
    Caller("ann", "192.0.2.7 port 50122"),
    "ticket 4711",
    "policy.yaml",
    "abcdef" * 10,
    Backend.NFT,
    Own(),
    number=2,
)
GONE = Change(True, Family.IPV4, "filter NETFW-IN-wan", "-p tcp -j ACCEPT", "public/for-us")
ADDED = Change(False, Family.IPV6, "filter NETFW-IN-wan", "-p udp -j ACCEPT")


def first_load() -> tuple[Plan, dict[str, str]]:
    compiled = compile_policy(load(TEXT, "policy.yaml"))
    places = {origin.identity: str(origin.where) for origin in compiled.source_map}
    return plan(Own(), own_of(compiled, {})), places


def test_a_plan_lists_rules_of_the_policy_with_their_places_and_counts_netfws_own() -> None:
    found, places = first_load()
    lines = list(plan_lines(found, places, None, ASCII))
    assert f"public/for-us  {places['public/for-us']}" in lines
    assert places["public/for-us"].startswith("policy.yaml:4:")
    assert sum("netfw:public/for-us" in line for line in lines) == 2, "one for each family"
    assert not [line for line in lines if "netfw:hook/" in line]
    at = lines.index("netfw's own rules, sets, routing")
    # failsafes are the administrator's own, also where the policy says nothing of them
    listed = ("public/for-us", "failsafe/ingress-ssh")
    ours = sum(change.identity not in listed for change in found.changes)
    assert lines[at + 1] == f"  {ours} lines to come, 0 to go (--json has them)"


def test_the_data_of_a_plan_hold_every_line_that_comes_or_goes() -> None:
    found, places = first_load()
    changes = plan_data(found, places, None)["changes"]
    assert len(changes) == len(found.changes)
    hooks = [change for change in changes if change["rule"] == "hook/input"]
    assert {change["family"] for change in hooks} == {4, 6}
    assert all(change["comes"] for change in changes)


def test_nothing_to_do_is_one_line() -> None:
    (line,) = plan_lines(Plan(), {}, None, ASCII)
    assert "nothing to do" in line


def test_the_history_begins_with_the_newest_and_marks_the_one_that_counts() -> None:
    older = replace(ENTRY, number=1, why="", who=Caller("bob"))
    first, _, second, _ = history_lines([older, ENTRY], {1: "confirmed", 2: "undone"}, 1)
    assert first.split()[:3] == ["2", ENTRY.time, "undone"]
    assert first.endswith("  ann from 192.0.2.7 port 50122")
    assert second.startswith("*    1 ")
    data = history_data([older, ENTRY], {1: "confirmed"}, 1)
    assert data["confirmed"] == 1


def test_what_would_come_back_is_missing_and_what_would_go_is_too_much() -> None:
    found = Condition(Backend.NFT, ENTRY, drift=(GONE, ADDED))
    lines = "\n".join(status_lines(found, ASCII))
    assert "missing: IPv4 filter NETFW-IN-wan: -p tcp -j ACCEPT" in lines
    assert "too many: IPv6 filter NETFW-IN-wan: -p udp -j ACCEPT" in lines
    assert "the host holds what was applied" not in lines
    drift = status_data(found)["drift"]
    assert isinstance(drift, list)
    assert [line["missing"] for line in drift] == [True, False]
    assert drift[0]["rule"] == "public/for-us"


def test_a_host_that_holds_what_was_applied_is_well() -> None:
    found = Condition(Backend.NFT, ENTRY)
    assert found.is_well
    assert any("the host holds what was applied" in line for line in status_lines(found, ASCII))
