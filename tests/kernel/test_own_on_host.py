"""What is loaded beside rules of others is read back as it was, and theirs stay as they are."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import netfw.host.run
from netfw.compiler.pipeline import compile_policy
from netfw.errors import CapabilityError, ConflictError
from netfw.host.iptables import restore
from netfw.host.loader import take
from netfw.host.namespace import Namespace
from netfw.host.own_host import read_counts, read_own
from netfw.host.run import run
from netfw.host.variant import Variant, host_variant, read_elsewhere
from netfw.ir.names import Backend, Family, TableName
from netfw.plan.count import Count
from netfw.plan.own import Own, OwnTable
from netfw.plan.own_of import own_of
from netfw.plan.plan import plan
from tests.golden.cases import CASES, policy_of
from tests.kernel.others import lines_of_others, settle_others
from tests.protocol_names import with_numbers
from tests.unit.test_corpus import CORPUS

pytestmark = pytest.mark.kernel
each_backend = pytest.mark.parametrize("backend", Backend, ids=str)

FILTER = (Family.IPV4, TableName.FILTER)
CALL = '-m comment --comment "netfw:hook/input" -j NETFW-INPUT'
OURS = f"""*filter
:NETFW-INPUT - [0:0]
-A INPUT {CALL}
-A NETFW-INPUT -p tcp -m comment --comment "netfw:public/web" -j ACCEPT
COMMIT
"""


@pytest.fixture
def host() -> Iterator[Namespace]:
    with Namespace("host") as made:
        yield made


def rules_of(own: Own) -> dict[tuple[Family, TableName], OwnTable]:
    """Its tables; protocols by their numbers, which older versions of iptables print by name."""

    def numbered(chains: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {
            chain: tuple(with_numbers(f" {text}")[1:] for text in texts)
            for chain, texts in chains.items()
        }

    return {
        place: OwnTable(numbered(dict(table.chains)), numbered(dict(table.calls)))
        for place, table in own.tables.items()
    }


def members_of(own: Own) -> dict[str, set[object]]:
    return {
        name: {(member.parts, member.nomatch, member.comment) for member in ipset.members}
        for name, ipset in own.sets.items()
    }


def apply(namespace: Namespace, backend: Backend, now: Own, wanted: Own) -> None:
    for step in plan(now, wanted).steps:
        take(step, backend, namespace)


@each_backend
@pytest.mark.parametrize("case", CASES)
def test_a_policy_beside_rules_of_others_is_read_back_and_goes_without_a_trace(
    case: str, backend: Backend, host: Namespace
) -> None:
    whole = own_of(compile_policy(policy_of(case)), {})
    wanted = Own(whole.tables, whole.sets)
    settle_others(host, backend)
    before = lines_of_others(host, backend)
    nothing, foreign = read_own(backend, host)
    assert nothing.is_empty
    apply(host, backend, nothing, wanted)
    found, foreign_then = read_own(backend, host)
    assert rules_of(found) == rules_of(wanted)
    assert members_of(found) == members_of(wanted)
    assert plan(found, wanted).steps == ()
    assert lines_of_others(host, backend) == before
    assert [table.lines for table in foreign_then.tables.values() if table.has_rules] == [
        table.lines for table in foreign.tables.values() if table.has_rules
    ]
    apply(host, backend, found, Own())
    assert read_own(backend, host)[0].is_empty
    left = run(["ipset", "save"], namespace=host).stdout
    left += "".join(
        run([f"{program}-{backend}-save"], namespace=host).stdout
        for program in ("iptables", "ip6tables")
    )
    assert "NETFW" not in left
    assert "netfw:" not in left
    assert lines_of_others(host, backend) == before


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of rulesets is absent")
@each_backend
@pytest.mark.parametrize("family", Family, ids=str)
def test_every_ruleset_of_docker_stays_as_it_was(
    family: Family, backend: Backend, host: Namespace
) -> None:
    wanted = own_of(compile_policy(policy_of("80-folded")), {})
    files = sorted((CORPUS / "rulesets" / "docker").glob(f"*.v{family.value}"))
    for path in files:
        restore(host, backend, family, path.read_text())
        before = lines_of_others(host, backend)
        apply(host, backend, read_own(backend, host)[0], wanted)
        found, _ = read_own(backend, host)
        assert rules_of(found) == rules_of(wanted), path.name
        assert lines_of_others(host, backend) == before, path.name
    assert files


@each_backend
def test_a_look_creates_no_table(backend: Backend, host: Namespace) -> None:
    own, foreign = read_own(backend, host)
    assert own.is_empty
    assert not foreign.tables
    assert run(["nft", "list", "tables"], namespace=host).stdout == ""
    names = host.call(lambda: Path("/proc/thread-self/net/ip_tables_names").read_text())
    assert names == ""


@each_backend
def test_what_the_kernel_counted_is_told_by_identity(backend: Backend, host: Namespace) -> None:
    restore(host, backend, Family.IPV4, OURS)
    run(["ip", "link", "set", "lo", "up"], namespace=host)
    assert read_counts(backend, host).rules[FILTER]["hook/input"] == Count()

    def send_to_itself() -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind(("127.0.0.1", 0))
            for _ in range(2):
                sender.sendto(b"ten bytes.", receiver.getsockname())
                receiver.recv(100)

    host.call(send_to_itself)
    # headers of 20 and 8 bytes
    counts = {"hook/input": Count(2, 76), "public/web": Count()}
    assert read_counts(backend, host).rules == {FILTER: counts}


@each_backend
def test_members_of_sets_are_counted_too(backend: Backend, host: Namespace) -> None:
    sets = """\
create NETFW-4-a hash:ip counters comment
add NETFW-4-a 192.0.2.1 packets 3 bytes 120 comment "netfw:public/web"
add NETFW-4-a 192.0.2.2 packets 4 bytes 160 comment "netfw:public/web"
create others hash:ip counters comment
add others 192.0.2.1 packets 9 bytes 999 comment "netfw:public/web"
"""
    run(["ipset", "restore"], stdin=sets, namespace=host)
    assert read_counts(backend, host).members == {"NETFW-4-a": {"public/web": Count(7, 280)}}


@each_backend
def test_a_rule_that_somebody_added_to_a_chain_of_ours_is_there(
    backend: Backend, host: Namespace
) -> None:
    restore(host, backend, Family.IPV4, OURS)
    program = f"iptables-{backend}"
    run([program, "-A", "NETFW-INPUT", "-j", "DROP"], namespace=host)
    run([program, "-I", "INPUT", "-i", "lo", "-j", "ACCEPT"], namespace=host)
    own, foreign = read_own(backend, host)
    assert own.tables[FILTER].chains["NETFW-INPUT"][-1] == "-j DROP"
    assert foreign.tables[FILTER].strangers == {"NETFW-INPUT": ("-j DROP",)}
    assert foreign.tables[FILTER].ahead == {"INPUT": 1}


def test_a_set_of_nftables_makes_inexact_what_others_have_but_not_ours(host: Namespace) -> None:
    restore(host, Backend.NFT, Family.IPV4, OURS)
    before, _ = read_own(Backend.NFT, host)
    rule = "add rule ip filter INPUT ip saddr { 192.0.2.1, 192.0.2.2 } drop"
    run(["nft", rule], namespace=host)
    own, foreign = read_own(Backend.NFT, host)
    assert own == before
    assert foreign.inexact == {FILTER}
    apply(host, Backend.NFT, own, Own())
    assert "192.0.2.2" in run(["nft", "list", "ruleset"], namespace=host).stdout


def test_a_table_that_iptables_does_not_show_is_told_if_nothing_of_ours_is_in_it(
    host: Namespace,
) -> None:
    restore(host, Backend.NFT, Family.IPV4, "*filter\n-A INPUT -j ACCEPT\nCOMMIT\n")
    run(["nft", "add rule ip filter INPUT ct state new accept"], namespace=host)
    own, foreign = read_own(Backend.NFT, host)
    assert own.is_empty
    assert foreign.unreadable == {FILTER}
    assert foreign.has_rules


def test_a_table_that_iptables_does_not_show_is_refused_if_something_of_ours_is_in_it(
    host: Namespace,
) -> None:
    restore(host, Backend.NFT, Family.IPV4, OURS)
    run(["nft", "add rule ip filter INPUT ct state new accept"], namespace=host)
    with pytest.raises(ConflictError) as caught:
        read_own(Backend.NFT, host)
    assert str(caught.value) == (
        "IPv4 table filter: somebody put rules of nftables beside netfw's, "
        "and iptables does not show them\n"
        "  hint: find them with 'nft list table ip filter' and take them out"
    )


@each_backend
def test_a_list_of_others_that_holds_a_set_of_ours_is_told(
    backend: Backend, host: Namespace
) -> None:
    for words in ("create NETFW-4-a hash:ip", "create all list:set", "add all NETFW-4-a"):
        run(["ipset", *words.split()], namespace=host)
    own, foreign = read_own(backend, host)
    assert list(own.sets) == ["NETFW-4-a"]
    assert foreign.lists == {"NETFW-4-a": ("all",)}


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Hide a program: the others are where they were."""

    def hide(program: str) -> None:
        for folder in ("/usr/sbin", "/sbin", "/usr/bin", "/bin"):
            for path in Path(folder).iterdir():
                link = tmp_path / path.name
                if path.name != program and not link.is_symlink():
                    link.symlink_to(path)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(netfw.host.run, "_SYSTEM_PATH", str(tmp_path))
        assert shutil.which(program) is None

    return hide


@each_backend
def test_a_program_that_is_missing_is_named(backend: Backend, host: Namespace, without) -> None:
    restore(host, backend, Family.IPV4, OURS)
    without(f"iptables-{backend}-save")
    with pytest.raises(CapabilityError, match=f"iptables-{backend}-save: this program is not"):
        read_own(backend, host)


@each_backend
def test_without_ipset_there_are_no_sets_unless_a_rule_of_ours_asks_one(
    backend: Backend, host: Namespace, without
) -> None:
    restore(host, backend, Family.IPV4, OURS)
    wanted = own_of(compile_policy(policy_of("80-folded")), {})
    with Namespace("with-sets") as with_sets:
        apply(with_sets, backend, Own(), wanted)
        without("ipset")
        assert read_own(backend, host)[0].sets == {}
        with pytest.raises(CapabilityError, match="ipset: this program is not installed"):
            read_own(backend, with_sets)


def test_the_backend_of_this_host_is_that_of_its_iptables() -> None:
    said = run(["iptables", "--version"]).stdout
    variant = host_variant()
    assert f"v{variant.version} " in said
    assert ("nf_tables" in said) is (variant.backend is Backend.NFT)


@each_backend
def test_rules_of_ours_in_the_other_backend_are_found(backend: Backend, host: Namespace) -> None:
    variant = Variant(backend, "1.8.9")
    assert read_elsewhere(variant, host).own.is_empty
    restore(host, variant.other, Family.IPV4, OURS)
    found = read_elsewhere(variant, host)
    assert found.own.tables[FILTER].calls == {"INPUT": (CALL,)}
    assert not found.has_others
    settle_others(host, variant.other)
    assert read_elsewhere(variant, host).has_others
    assert read_own(backend, host)[0].tables == {}
