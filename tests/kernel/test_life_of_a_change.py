"""A change of a host from the first look to the last trace of it, as an administrator makes it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netfw.ir.names import Backend, Family
from tests.kernel.changed_host import POLICY, ChangedHost, only_counted_on

pytestmark = pytest.mark.kernel
MORE = POLICY.replace("[http, https]", "[http, https, smtp]")
FAIL2BAN = """\
*filter
:f2b-sshd - [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A f2b-sshd -s 203.0.113.9/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -j RETURN
COMMIT
"""


@pytest.fixture(params=Backend, ids=str)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ChangedHost]:
    with ChangedHost(request.param, tmp_path) as made:
        yield made


def test_a_policy_is_planned_applied_and_then_there_is_nothing_to_do(host: ChangedHost) -> None:
    path = host.write_policy(POLICY)
    planned = host.netfw("plan", path, status=1).stdout
    assert "public/allow-" in planned
    assert "newly denied: IPv4 to this host" in planned
    assert "change 1 is kept" in host.apply(POLICY, "-m", "the first one")
    assert "nothing to do" in host.netfw("plan", path).stdout
    before = host.saved(counters=True)
    assert "nothing to do" in host.apply(POLICY)
    assert only_counted_on(before, host.saved(counters=True))
    assert "the first one" in host.netfw("history").stdout
    assert host.status()["well"] is True


def test_what_others_have_stays_byte_for_byte_through_the_whole_life(host: ChangedHost) -> None:
    host.add_docker(host.backend)
    host.load(host.backend, FAIL2BAN, families=[Family.IPV4])
    others = host.others()
    assert "DOCKER-USER" in others
    assert "f2b-sshd" in others
    host.apply(POLICY)
    assert host.others() == others
    host.apply(MORE)
    assert host.others() == others
    host.netfw("rollback", "--yes")
    assert host.others() == others
    host.netfw("remove", "--yes")
    assert host.others() == others
    assert "NETFW" not in host.saved()


def test_counters_of_chains_that_do_not_change_survive(host: ChangedHost) -> None:
    host.apply(POLICY)
    host.sh("bash -c 'echo x > /dev/udp/127.0.0.1/9'")

    def counted() -> list[str]:
        # of IPv4: the kernel sends packets of IPv6 by itself
        lines = host.sh(f"iptables-{host.backend}-save -c").splitlines()
        return [line for line in lines if " -A NETFW-OUTPUT " in line]

    before = counted()
    assert before
    assert not all(line.startswith("[0:0]") for line in before)
    host.apply(MORE)
    assert counted() == before


def test_counters_survive_beside_the_rule_that_changes(host: ChangedHost) -> None:
    rules = ", ".join(
        f"{{{action}: udp/{port}}}" for port, action in enumerate(("allow", "deny") * 6, start=9)
    )
    first = (
        "version: 1\nendpoints: {lo: {host: lo}}\npolicies:\n"
        f"  - {{name: local, at: lo, ingress: [{rules}]}}\n"
    )
    host.apply(first)
    host.sh("bash -c 'for port in 9 11 13; do echo x > /dev/udp/127.0.0.1/$port; done'")

    def counted() -> dict[str, str]:
        lines = host.sh(f"iptables-{host.backend}-save -c").splitlines()
        ours = (line.partition(" ") for line in lines if "netfw:local/" in line)
        return {text: counts for counts, _, text in ours}

    before = counted()
    assert len({counts for counts in before.values()}) > 1
    host.apply(first.replace("{allow: udp/13}", "{allow: tcp/13}"))
    after = counted()
    assert len(after) == len(before) == 12
    assert len(before.keys() - after.keys()) == 1
    assert {text: after[text] for text in before if text in after}.items() <= before.items()


REHEARSED = """
import subprocess, sys
from netfw.apply.application import apply_wish
from netfw.apply.wish_of import wish_of
from netfw.compiler.pipeline import compile_policy
from netfw.errors import ConflictError
from netfw.policy.read import load
_, path, *command = sys.argv
compiled = compile_policy(load(open(path).read(), path))
wish = lambda history: wish_of(compiled, path, history)
try:
    apply_wish(wish, print, rehearse=lambda intention: command and subprocess.check_call(command))
except ConflictError as error:
    print("refused:", error)
"""


def test_what_changes_while_it_is_rehearsed_is_noticed_before_the_first_write(
    host: ChangedHost,
) -> None:
    host.apply(POLICY)
    more = host.write_policy(MORE, "more.yaml")

    def apply(*meanwhile: str) -> str:
        argv = ["nsenter", f"--net={host.box.path}", sys.executable, "-c", REHEARSED, more]
        done = subprocess.run(
            [*argv, *meanwhile], stdout=subprocess.PIPE, env=host.environment, check=True
        )
        return done.stdout.decode()

    before = host.saved().splitlines()
    said = apply("iptables", "-I", "NETFW-IN-wan", "1", "-p", "udp", "-j", "DROP")
    assert "refused: netfw: somebody changed netfw's rules" in said
    after = host.saved().splitlines()
    after.remove("-A NETFW-IN-wan -p udp -j DROP")
    assert after == before
    assert "refused" not in apply()
    assert "--dports 25,80,443" in host.saved()


def test_what_somebody_changed_by_hand_is_told_and_repaired(host: ChangedHost) -> None:
    host.apply(POLICY)
    good = host.saved()
    program = f"iptables-{host.backend}"
    host.sh(f"{program} -D NETFW-IN-wan 1; {program} -A NETFW-IN-wan -p udp -j ACCEPT")
    found = host.status()
    assert found["well"] is False
    missing = {line["missing"] for line in found["drift"]}
    assert missing == {True, False}
    assert host.netfw("status", status=1).stdout.count("NETFW-IN-wan") >= 2
    host.netfw("apply", "--repair")
    assert host.saved() == good
    assert host.status()["well"] is True


def test_what_nobody_confirms_is_undone_exactly(host: ChangedHost) -> None:
    host.apply(POLICY)
    before = host.saved()
    said = host.apply(MORE, "--confirm", "2s")
    assert "netfw confirm" in said
    assert host.saved() != before
    wait_for(lambda: host.saved() == before, 15)
    assert host.netfw("confirm", status=4).stderr.startswith(str(host.state))
    assert host.status()["change"]["number"] == 1


def test_what_is_confirmed_in_time_stays(host: ChangedHost) -> None:
    host.apply(POLICY, "--confirm", "20s")
    held = host.saved()
    assert "change 1 is kept" in host.netfw("confirm").stdout
    assert host.saved() == held
    assert host.status()["well"] is True


def test_only_the_change_that_is_meant_is_confirmed(host: ChangedHost) -> None:
    words = ("apply", host.write_policy(POLICY), "--no-rehearse", "--json")
    said = json.loads(host.netfw(*words, "--confirm", "20s").stdout)
    assert (said["change"], said["waits"]) == (1, 20)
    assert any(line["rule"].startswith("public/") for line in said["plan"]["changes"])
    refused = host.netfw("confirm", "2", status=4).stderr
    assert "change 1 waits to be confirmed, not 2" in refused
    assert "change 1 is kept" in host.netfw("confirm", "1").stdout
    assert "change 1 does not wait" in host.netfw("confirm", "1", status=4).stderr
    assert json.loads(host.netfw(*words).stdout)["change"] is None


def test_rollback_goes_back_and_remove_takes_everything_away(host: ChangedHost) -> None:
    host.apply(POLICY)
    first = host.saved()
    host.apply(MORE)
    host.netfw("rollback", "--yes")
    assert host.saved() == first
    host.netfw("rollback", "2", "--yes")
    assert "25" in host.saved()
    host.netfw("remove", "--yes")
    assert "NETFW" not in host.saved()
    assert host.status()["change"]["policy"] is None


def test_an_interface_that_is_not_there_is_refused_unless_it_is_optional(
    host: ChangedHost,
) -> None:
    before = host.saved()
    said = host.apply(POLICY.replace("eth1", "eth7"), status=4)
    assert "policy.yaml:4:3: this host has no interface 'eth7' (endpoint 'lan')" in said
    assert host.saved() == before
    host.apply(POLICY.replace("{host: eth1}", "{host: eth7, optional: true}"))


def test_chains_of_others_that_look_like_ours_and_rules_that_need_ours_are_refused(
    host: ChangedHost,
) -> None:
    program = f"iptables-{host.backend}"
    host.sh(f"{program} -N NETFW-MINE; {program} -A NETFW-MINE -j ACCEPT")
    before = host.saved()
    said = host.apply(POLICY, status=4)
    assert "chain NETFW-MINE has 1 rule that netfw did not make" in said
    assert host.saved() == before
    host.sh(f"{program} -F NETFW-MINE; {program} -X NETFW-MINE")
    host.apply(POLICY)
    host.sh(f"{program} -A INPUT -p sctp -j NETFW-IN-wan")
    before = host.saved()
    said = host.netfw("remove", "--yes", status=4).stderr
    assert "a rule of others needs NETFW-IN-wan, which would go: -A INPUT -p sctp" in said
    assert host.saved() == before


def test_rules_in_the_backend_that_the_host_uses_no_longer_are_told_and_moved(
    host: ChangedHost,
) -> None:
    old = host.backend
    host.apply(POLICY)
    host.choose(Backend.LEGACY if old is Backend.NFT else Backend.NFT)
    assert host.status()["elsewhere"] is True
    host.apply(POLICY)
    assert "NETFW-IN-wan" in host.saved()
    assert host.status()["well"] is True
    assert "NETFW" not in host.sh(f"iptables-{old}-save; ip6tables-{old}-save")


def test_a_move_to_another_backend_that_nobody_confirms_is_undone_exactly(
    host: ChangedHost,
) -> None:
    old, new = host.backend, Backend.LEGACY if host.backend is Backend.NFT else Backend.NFT
    rules = "".join(
        f"      - {{allow: tcp/{8000 + number}, from: 192.0.2.{number}}}\n" for number in range(12)
    )
    with_sets = POLICY.replace("ingress:\n", f"ingress:\n{rules}", 1)
    host.apply(with_sets)
    assert host.status()["well"] is True
    before = host.saved()
    host.choose(new)
    host.apply(with_sets, "--confirm", "2s")
    assert "NETFW" in host.saved()
    host.choose(old)
    wait_for(lambda: host.saved() == before, 20)
    assert "NETFW" not in host.sh(f"iptables-{new}-save; ip6tables-{new}-save")


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it has not come about in time"
        time.sleep(0.2)


def test_where_the_history_was_changed_it_can_be_moved_away(
    host: ChangedHost, tmp_path: Path
) -> None:
    host.apply(POLICY)
    file = host.state / "history" / "000001.json"
    file.write_text(file.read_text().replace("443", "444"))
    before = host.saved()
    said = host.apply(MORE, status=4)
    assert "this was changed since netfw wrote it" in said
    assert "With the state folder moved away" in said
    assert host.saved() == before
    host.state.rename(tmp_path / "aside")
    assert "change 1 is kept" in host.apply(MORE)
    assert host.status()["well"] is True
