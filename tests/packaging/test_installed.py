"""The wheel and the Debian package, installed in a minimal root tree, work and go again.

Rules, links and processes are those of namespaces that the tree has for itself.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from netfw import __version__
from tests.packaging.root_tree import Root, layered_root, minimal_tree
from tests.packaging.scripts import run_script

pytestmark = pytest.mark.kernel

ADMINISTRATORS_RULE = ("-A", "INPUT", "-p", "tcp", "-m", "tcp", "--dport", "5", "-j", "ACCEPT")
UNITS = ("netfw.service", "netfw-watch.service")
POLICY = """\
version: 1
endpoints:
  wan: {host: up0}
failsafes: {ingress: [{service: ssh}]}
policies:
  - name: public
    at: wan
    ingress:
      - allow: [http, https]
assert:
  - denied: {in: wan, to: host, service: tcp/8080}
"""


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """netfw and all it needs as wheels."""
    return made_once(tmp_path_factory, "wheelhouse", "wheelhouse.py")


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path) -> Path:
    """The Debian package, compressed little as that takes the most time."""
    if shutil.which("dh") is None:
        pytest.skip("debhelper is not installed")
    folder = made_once(tmp_path_factory, "deb", "deb.py", "--quick", "--wheels", wheelhouse)
    (found,) = folder.glob("*.deb")
    return found


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, script: str, *arguments: str | Path
) -> Path:
    """A folder that a script of .packaging has filled, for all processes of this run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    folder = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            run_script(script, *arguments, folder.with_suffix(".new"))
            folder.with_suffix(".new").rename(folder)
    return folder


@pytest.fixture
def root(package: Path) -> Iterator[Root]:
    """A minimal root tree, with a rule of the administrator's on its network."""
    with layered_root(minimal_tree(package)) as root:
        root.expect("iptables", *ADMINISTRATORS_RULE)
        yield root


def rules(root: Root) -> str:
    """All rules on the tree's network, without counters."""
    saved = root.expect("iptables-save") + root.expect("ip6tables-save")
    return "".join(line for line in saved.splitlines(True) if not line.startswith(("#", ":")))


def write_policy(root: Root) -> str:
    root.expect("sh", "-c", 'printf %s "$1" > /tmp/policy.yaml', "sh", POLICY)
    return "/tmp/policy.yaml"


def expect_netfw_works(root: Root, program: str) -> None:
    """It says its version, writes a policy for this host, proves one and sends packets."""
    assert root.expect(program, "--version") == f"netfw {__version__}\n"
    root.expect(program, "init", "--output", "/tmp/first.yaml")
    assert "up0" in root.expect("cat", "/tmp/first.yaml")
    assert "0 warnings" in root.expect(program, "check", write_policy(root))
    shown = root.expect(program, "verify", "--backend", "nft", "--family", "4")
    assert "agree" in shown


def test_the_debian_package_works_and_leaves_the_rules_of_this_host_alone(
    package: Path, root: Root
):
    before, rules_before = root.files(), rules(root)
    deb = root.put(package, "/tmp")

    root.expect("dpkg", "--install", deb)
    assert rules(root) == rules_before
    expect_netfw_works(root, "netfw")
    for unit in UNITS:
        assert "ExecStart=/usr/bin/netfw " in root.expect("cat", f"/lib/systemd/system/{unit}")
    assert root.expect("find", "/etc/systemd", "-name", "*netfw*") == ""
    for place in (
        "/usr/share/man/man1/netfw.1.gz",
        "/usr/share/man/man5/netfw-policy.5.gz",
        "/usr/share/bash-completion/completions/netfw",
        "/usr/share/zsh/vendor-completions/_netfw",
        "/usr/share/fish/vendor_completions.d/netfw.fish",
        "/usr/share/doc/netfw/docs/policy.md",
        "/usr/share/doc/netfw/examples/router.yaml",
    ):
        root.expect("test", "-s", place)

    # with rules in force: the program goes, they stay, and so does the record of what was before
    root.expect("netfw", "apply", "--yes", "--no-rehearse", write_policy(root))
    rules_applied = rules(root)
    assert "NETFW-" in rules_applied
    said = root.expect("dpkg", "--remove", "netfw")
    assert "stays in force" in said
    assert "netfw remove" in said
    assert rules(root) == rules_applied
    assert "/var/lib/netfw is kept" in root.expect("dpkg", "--purge", "netfw")
    assert rules(root) == rules_applied

    root.expect("rm", "-r", "/var/lib/netfw")
    assert sorted(root.files() - before) == []
    assert sorted(before - root.files()) == []


@pytest.mark.long
def test_a_purge_takes_the_record_away_where_nothing_is_in_force(package: Path, root: Root):
    before, rules_before = root.files(), rules(root)
    root.expect("dpkg", "--install", root.put(package, "/tmp"))
    root.expect("netfw", "apply", "--yes", "--no-rehearse", write_policy(root))
    root.expect("netfw", "remove", "--yes", "--no-rehearse")
    assert "stays in force" not in root.expect("dpkg", "--purge", "netfw")
    assert sorted(root.files() - before) == []
    assert rules(root) == rules_before


@pytest.mark.long
def test_an_upgrade_keeps_the_rules_and_what_is_enabled(package: Path, root: Root):
    deb = root.put(package, "/tmp")
    root.expect("dpkg", "--install", deb)
    root.expect("netfw", "apply", "--confirm", "5m", "--no-rehearse", write_policy(root))
    for how in (("--install", deb), ("--remove", "netfw")):
        code, said = root.run("dpkg", *how)
        assert code != 0
        assert "waits to be confirmed\n  hint: 'netfw confirm' keeps it" in said
    root.expect("netfw", "confirm")
    root.expect(
        *("deb-systemd-helper", "enable", "netfw.service"),
        environment={"DPKG_MAINTSCRIPT_PACKAGE": "netfw"},
    )
    links = root.expect("find", "/etc/systemd", "-name", "netfw*")
    assert "sysinit.target.wants/netfw.service" in links
    rules_applied = rules(root)

    root.expect("dpkg", "--install", deb)
    assert rules(root) == rules_applied
    assert root.expect("find", "/etc/systemd", "-name", "netfw*") == links
    assert "change 1" in root.expect("netfw", "status")

    root.expect("dpkg", "--purge", "netfw")
    assert root.expect("find", "/etc/systemd", "-name", "netfw*") == ""
    assert rules(root) == rules_applied


@pytest.mark.long
def test_the_installed_program_agrees_with_the_kernel_on_all_backends(package: Path, root: Root):
    root.expect("dpkg", "--install", root.put(package, "/tmp"))
    root.expect("netfw", "verify", write_policy(root))


@pytest.mark.long
def test_lintian_finds_nothing(wheelhouse: Path, tmp_path: Path):
    if shutil.which("lintian") is None or shutil.which("dh") is None:
        pytest.skip("lintian or debhelper is not installed")
    run_script("deb.py", "--wheels", wheelhouse, tmp_path)
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on=error,warning", *tmp_path.glob("*.deb")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_wheel_is_installed_without_a_network_and_works(wheelhouse: Path, root: Root):
    wheels = root.put(wheelhouse, "/tmp")
    # pip itself is not part of so small a tree
    pip = Path(str(metadata.distribution("pip").locate_file("pip")))
    bring = {"PYTHONPATH": root.put(pip, "/tmp").removesuffix("/pip")}
    root.expect("python3", "-m", "venv", "--without-pip", "/opt/netfw")
    root.expect(
        *("/opt/netfw/bin/python", "-m", "pip", "install", "--quiet", "--no-compile"),
        *("--no-index", "--find-links", wheels, "netfw"),
        environment=bring,
    )
    expect_netfw_works(root, "/opt/netfw/bin/netfw")
    printed = root.expect("/opt/netfw/bin/netfw", "boot", "--unit")
    assert "ExecStart=/opt/netfw/bin/netfw boot" in printed
