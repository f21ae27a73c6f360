"""The legacy tables through python-iptables: the same lines as iptables-legacy-save, always."""

from __future__ import annotations

from pathlib import Path

import pytest

from netfw.errors import CapabilityError, HostError
from netfw.host import legacy_process
from netfw.host.iptables import restore, save
from netfw.host.legacy_tables import insert_trace, read_legacy, remove_trace
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.names import Backend, Family, Hook
from tests.protocol_names import with_numbers

pytestmark = pytest.mark.kernel

each = pytest.mark.parametrize("family", Family, ids=str)


RULES = {family: Path(__file__).with_name(f"legacy_rules.ipv{family.value}") for family in Family}
"""Rules of every kind that iptables knows, by family: a table's name, then its lines."""


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def load(namespace: Namespace, family: Family, rules: str, table: str = "filter") -> None:
    restore(namespace, Backend.LEGACY, family, f"*{table}\n{rules}\nCOMMIT\n", keep=True)


@pytest.mark.every_kernel
@each
def test_rules_are_read_as_iptables_saves_them(family):
    refused = []
    count, table = 0, ""
    with Namespace() as namespace:
        for line in RULES[family].read_text(encoding="utf-8").splitlines():
            if line.startswith("*"):
                table = line[1:]
                continue
            count += 1
            try:
                load(namespace, family, line, table)
            except HostError:
                # a module that this kernel lacks
                refused.append(line)
        saved = lines_of(with_numbers(save(namespace, Backend.LEGACY, family)))
        assert lines_of(read_legacy(namespace, family)) == saved
    assert len(refused) < count / 3, refused


@each
def test_counters_are_read_as_iptables_saves_them(family):
    text = """*filter
:INPUT ACCEPT [7:700]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [1:18446744073709551615]
:own - [0:0]
[3:4] -A INPUT -p tcp -m tcp --dport 22 -j own
[5:6] -A own -j DROP
COMMIT
"""
    with Namespace() as namespace:
        program = "iptables" if family is Family.IPV4 else "ip6tables"
        argv = [f"{program}-legacy-restore", "--counters"]
        run(argv, stdin=text, namespace=namespace)
        assert lines_of(read_legacy(namespace, family, counters=True)) == text.splitlines()
        assert "-A own -j DROP" in lines_of(read_legacy(namespace, family))


@each
def test_reading_creates_no_table(family):
    with Namespace() as namespace:
        assert read_legacy(namespace, family) == ""
        load(namespace, family, "-A INPUT -m comment --comment x -j LOG")
        read_legacy(namespace, family)
        read_legacy(namespace, Family.IPV4 if family is Family.IPV6 else Family.IPV6)
        name = "ip" if family is Family.IPV4 else "ip6"
        assert run(["cat", f"/proc/net/{name}_tables_names"], namespace=namespace).stdout == (
            "filter\n"
        )
        other = "ip6" if family is Family.IPV4 else "ip"
        assert run(["cat", f"/proc/net/{other}_tables_names"], namespace=namespace).stdout == ""


def test_each_namespace_has_its_own_rules():
    with Namespace() as one, Namespace() as other:
        load(one, Family.IPV4, "-A INPUT -s 192.0.2.1/32 -j DROP")
        load(other, Family.IPV4, "-A INPUT -s 192.0.2.2/32 -j DROP")
        for _ in range(2):
            assert "192.0.2.1" in read_legacy(one, Family.IPV4)
            assert "192.0.2.2" in read_legacy(other, Family.IPV4)


@each
def test_a_trace_rule_comes_and_goes(family):
    with Namespace() as namespace:
        load(namespace, family, "-A OUTPUT -j TRACE\n-A OUTPUT -j ACCEPT", "raw")
        before = read_legacy(namespace, family)
        insert_trace(namespace, family, Hook.OUTPUT, "netfw:trace now")
        insert_trace(namespace, family, Hook.PREROUTING, "netfw:trace now")
        saved = lines_of(with_numbers(save(namespace, Backend.LEGACY, family)))
        rules = [line for line in saved if line.startswith("-A OUTPUT")]
        assert rules == [
            '-A OUTPUT -m comment --comment "netfw:trace now" -j TRACE',
            "-A OUTPUT -j TRACE",
            "-A OUTPUT -j ACCEPT",
        ]
        assert remove_trace(namespace, family, Hook.OUTPUT, "netfw:trace now") == 1
        assert remove_trace(namespace, family, Hook.OUTPUT, "netfw:trace now") == 0
        assert remove_trace(namespace, family, Hook.PREROUTING, "netfw:trace now") == 1
        assert read_legacy(namespace, family) == before


def test_removing_a_trace_rule_creates_no_table():
    with Namespace() as namespace:
        assert remove_trace(namespace, Family.IPV4, Hook.OUTPUT, "netfw:trace") == 0
        assert read_legacy(namespace, Family.IPV4) == ""


def test_a_rule_of_an_older_revision_is_refused_and_not_guessed():
    """MARK has revision 2; a rule that says 1 is laid out in another way."""

    class Module:
        name = "MARK"
        size = 40

        class _module:
            revision = 2

    legacy_process._check_revision(Module, 2, 40)
    for revision, size in ((1, 40), (2, 48)):
        with pytest.raises(SystemExit) as ended:
            legacy_process._check_revision(Module, revision, size)
        assert ended.value.code == legacy_process.UNREADABLE


def test_without_python_iptables_the_error_says_so(monkeypatch):
    with Namespace() as namespace:
        load(namespace, Family.IPV4, "-A INPUT -j DROP")
        monkeypatch.setenv("PYTHON_IPTABLES_XTABLES_VERSION", "99")
        with pytest.raises(CapabilityError, match="python-iptables: it cannot be used") as refused:
            read_legacy(namespace, Family.IPV4)
    assert "Traceback" not in str(refused.value)
