"""What is wrong with policies, inventories and hosts: one clear line, and nothing half done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fleet.lab import USER, Lab, Played, needs_lab
from tests.fleet.repository import GATEWAYS, Repository

pytestmark = [pytest.mark.kernel, needs_lab]


@pytest.fixture(autouse=True)
def _nothing_is_half_done(lab: Lab, repository: Repository) -> Iterator[None]:
    lab.write_inventory({"netfw_repository": str(repository.folder)})
    yield
    for host in lab.hosts.values():
        if host.is_up:
            assert host.history() == []
            assert "NETFW" not in host.saved()


def touched(played: Played) -> set[str]:
    """Hosts on which anything ran."""
    return {one.host for one in played.answers if "Look at the host" in one.task}


def test_a_bad_policy_is_refused_on_the_controller(lab: Lab, repository: Repository) -> None:
    repository.write(
        "hosts/h2/bad.yaml",
        "version: 1\npolicies: [{name: x, at: wan, ingress: [{allow: any, from: nowhere}]}]\n",
    )
    played = lab.play("apply")
    repository.remove("hosts/h2/bad.yaml")
    assert played.status == 2, played.output
    (said,) = played.said("h1")
    assert said.startswith("h2: hosts/h2/bad.yaml:2:")
    assert "nowhere" in said
    assert touched(played) == set()


def test_a_wrong_variable_of_the_inventory_is_told_with_the_right_one(
    lab: Lab, repository: Repository
) -> None:
    settings = {"netfw_repository": str(repository.folder)}
    lab.write_inventory(settings, h1={"netfw_var_opne": "http"}, h3={"netfw_var_open": True})
    played = lab.play("apply")
    assert played.status == 2, played.output
    said = played.of("h1", "Compile and check")["msg"].splitlines()
    assert said == [
        "h3: netfw_var_open: true is neither a word nor a list of words; hint: put it into quotes",
        "h1: inventory:1:1: the policy has no variable 'opne'; hint: did you mean 'open'?",
    ]
    assert touched(played) == set()


def test_a_host_that_is_down_stops_the_rollout_before_it_begins(
    lab: Lab, repository: Repository
) -> None:
    lab.hosts["h3"].stop()
    played = lab.play("apply")
    lab.hosts["h3"].start()
    lab.hosts["h3"].wait_for_sshd()
    assert played.status != 0
    (why,) = played.said("h3")
    assert "connect to host 10.77.0.4 port 22" in why
    assert played.said("h1") == [
        "nothing has been changed on any host, because of h3; hint: the lines above say why; "
        "--limit '!h3' leaves it out"
    ]


def test_without_root_and_with_an_old_netfw_it_says_so(lab: Lab, repository: Repository) -> None:
    settings = {"netfw_repository": str(repository.folder), "netfw_apply_install": False}
    old = "printf '#!/bin/sh\\necho netfw 0.0.9\\n' > /opt/old; chmod 755 /opt/old"
    lab.hosts["h2"].sh(old)
    lab.write_inventory(
        settings,
        h1={"ansible_user": USER},
        h2={"netfw_program": "/opt/old"},
        h3={"netfw_program": "/opt/none"},
    )
    played = lab.play("apply")
    assert played.status == 2, played.output
    assert played.said("h1") == [
        "root is needed on this host, and this is user number 4711; hint: set ansible_become (and "
        "ansible_become_password) for it, or log in as root"
    ]
    (old,) = played.said("h2")
    assert old.startswith("netfw 0.0.9 on this host is older than ")
    assert played.said("h3") == [
        "there is no netfw on this host ('/opt/none'); hint: the role netfw_install installs it, "
        "netfw_program names another one"
    ]


def test_a_repository_that_is_not_there_or_has_a_stray_file_is_told(
    lab: Lab, repository: Repository
) -> None:
    played = lab.play("apply", netfw_repository="/nowhere")
    assert played.said("h1") == [
        "/nowhere: there is no such policy repository; hint: set netfw_repository"
    ]
    repository.write("groups/gateways.yaml", GATEWAYS)
    played = lab.play("apply")
    repository.remove("groups/gateways.yaml")
    assert played.said("h1") == [
        "groups/gateways.yaml: this would not be read; hint: groups have a folder each, such as "
        "groups/gateways/gateways.yaml"
    ]
