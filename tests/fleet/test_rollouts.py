"""The normal life of policies on three hosts; each test goes on where the last one ended."""

from __future__ import annotations

import json

import pytest

from tests.fleet.lab import Lab, needs_lab
from tests.fleet.repository import GATEWAYS, Repository

pytestmark = [pytest.mark.kernel, pytest.mark.xdist_group("fleet"), needs_lab]
WITH_MAIL = GATEWAYS.replace("https]}", "https, smtp]}")


def test_check_and_diff_show_every_line_and_change_nothing(
    lab: Lab, repository: Repository
) -> None:
    before = {name: host.saved() for name, host in lab.hosts.items()}
    played = lab.play("apply", "--check", "--diff")
    assert played.status == 0, played.output
    assert played.changed() == {"h1": 1, "h2": 1, "h3": 1}
    assert "gateways/web  groups/gateways/web.yaml:6:15" in played.output
    assert "+ IPv4 filter NETFW-IN-wan: -p tcp -m multiport --dports 80,443" in played.output
    plan = played.of("h2", "Apply the policy")["plan"]
    (web,) = [rule for rule in plan["rules"] if rule["rule"] == "gateways/web"]
    assert {line["family"] for line in web["lines"]} == {4, 6}
    assert {name: host.saved() for name, host in lab.hosts.items()} == before
    assert lab.hosts["h1"].history() == []


def test_all_hosts_hold_their_policies_and_a_second_run_changes_nothing(
    lab: Lab, repository: Repository
) -> None:
    played = lab.play("apply", netfw_message="the first one")
    assert played.status == 0, played.output
    for host in lab.hosts.values():
        (entry,) = host.history()
        assert entry["outcome"] == "confirmed"
        assert entry["from"].startswith("10.77.255.254 ")
        assert entry["why"].endswith(": the first one")
        assert "--dports 80,443" in host.saved()
    before = {name: host.saved() for name, host in lab.hosts.items()}
    again = lab.play("apply")
    assert again.status == 0, again.output
    assert again.changed() == {"h1": 0, "h2": 0, "h3": 0}
    assert {name: host.saved() for name, host in lab.hosts.items()} == before
    assert [len(host.history()) for host in lab.hosts.values()] == [1, 1, 1]


def test_a_changed_rule_reaches_every_host_that_has_it_and_a_rollback_takes_it_back(
    lab: Lab, repository: Repository
) -> None:
    before = {name: host.saved() for name, host in lab.hosts.items()}
    repository.write("groups/gateways/web.yaml", WITH_MAIL)
    lab.write_inventory(
        {"netfw_repository": str(repository.folder)}, h3={"netfw_var_open": ["http", "https"]}
    )
    played = lab.play("apply")
    assert played.status == 0, played.output
    assert "--dports 25,80,443" in lab.hosts["h1"].saved()
    assert "--dports 25,80,443" in lab.hosts["h2"].saved()
    # what the inventory says of it counts more
    assert played.changed()["h3"] == 0
    assert lab.hosts["h3"].saved() == before["h3"]
    back = lab.play("rollback")
    assert back.status == 0, back.output
    assert {name: host.saved() for name, host in lab.hosts.items()} == before
    # h3 was not in that rollout: it keeps what it held
    assert [len(host.history()) for host in lab.hosts.values()] == [3, 3, 1]
    again = lab.play("rollback")
    assert again.status == 0, again.output
    assert sum(again.changed().values()) == 0


def test_an_audit_tells_what_an_administrator_changed_by_hand(
    lab: Lab, repository: Repository
) -> None:
    lab.hosts["h2"].sh("iptables -I NETFW-IN-wan -p tcp --dport 8080 -j ACCEPT")
    lab.hosts["h3"].sh("iptables -t mangle -A PREROUTING -j MARK --set-mark 0x10000")
    report = lab.folder / "report.json"
    played = lab.play("audit", netfw_audit_report=str(report), netfw_audit_fail_on="drift")
    assert played.status == 2, played.output
    found = json.loads(report.read_text())
    assert [host["well"] for host in found["hosts"].values()] == [True, False, True]
    (line,) = found["hosts"]["h2"]["drift"]
    assert (line["missing"], line["place"]) == (False, "filter NETFW-IN-wan")
    assert "--dport 8080" in line["text"]
    assert found["hosts"]["h3"]["findings"]
    assert found["hosts"]["h1"]["findings"] == []
    assert found["marks"]["packet"]["0x10000"]["hosts"] == ["h1", "h2", "h3"]
    table = played.of("h1", "Show it")["msg"]
    assert table[0].split()[:4] == ["host", "change", "policy", "drift"]
    assert any("h2: too many: IPv4 filter NETFW-IN-wan" in row for row in table)
    assert lab.hosts["h2"].status()["well"] is False
    lab.hosts["h3"].sh("iptables -t mangle -F PREROUTING")
    repository.write("groups/gateways/web.yaml", GATEWAYS)
    # the next rollout brings it back
    repaired = lab.play("apply")
    assert repaired.status == 0, repaired.output
    assert repaired.changed()["h1"] == 0
    assert lab.hosts["h2"].status()["well"] is True


def test_a_verification_runs_on_the_kernel_of_the_host(lab: Lab, repository: Repository) -> None:
    played = lab.play("verify", "--limit", "h1")
    assert played.status == 0, played.output
    result = played.of("h1", "Send packets through the kernel")
    assert result["verdict"] == "agree"
    assert {run["backend"] for run in result["verification"]} == {"nft"}
