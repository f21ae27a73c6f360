"""``make vm-test``: a machine by Vagrant from nothing, netfw in it, its reports out, and gone.

libvirtd, virtlogd, dnsmasq and qemu run in network, mount and process namespaces of their own:
bridges and chains of libvirt stay away from this machine, its own libvirt is never asked, and
whatever happens all of them end with the process that holds the namespaces.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.child import unwind_when_ended
from tests.vm.box import NAME, Box, build_box, find_box
from tests.vm.cache import cache_folder
from tests.vm.findings import read_findings
from tests.vm.kernel import fetch_kernel
from tests.vm.machine import archived_files, choose_accelerator
from tests.vm.python_files import ROOT
from tests.vm.unavailable import Unavailable

OUT = ROOT / "tests/out/vm"
REPORTS = ("order.json", "router.json", "tests.xml", "before.xml", "after.xml")
_BOOT = "sudo NETFW_GUEST=1 .venv/bin/python -m pytest -q tests/vm/guest_boot.py"
_PATIENCE = 3600.0
"""Seconds for any one step; a few minutes with software emulation."""
_WAIT_FOR_LIBVIRT = 60.0
_NEEDED = {
    "vagrant": "vagrant and vagrant-libvirt",
    "libvirtd": "libvirt-daemon-system",
    "virtlogd": "libvirt-daemon",
    "virsh": "libvirt-clients",
    "dnsmasq": "dnsmasq-base",
    "rsync": "rsync",
    "unshare": "util-linux",
}
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def main() -> int:
    """0: all of it was run and agreed; 1: something differed; 4: there is no machine here, or
    something is inconclusive."""
    parser = argparse.ArgumentParser(prog="make vm-test", description=__doc__)
    parser.add_argument("--all", action="store_true", help="all kernel tests, not a selection")
    parser.add_argument(
        "--keep-box", action="store_true", help="use the box that was built before"
    )
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unwind_when_ended()
    if options.inside:
        return _inside(Path(options.inside), everything=options.all)
    try:
        return _outside(options)
    except Unavailable as error:
        _say(f"skipped: {error}")
        return 4


def _outside(options: argparse.Namespace) -> int:
    for program, package in _NEEDED.items():
        if shutil.which(program, path=_PATH) is None:
            raise Unavailable(f"no {program} on this machine (the package {package})")
    if os.geteuid():
        raise Unavailable("libvirt in namespaces of its own needs root")
    accelerator = choose_accelerator(fetch_kernel("6.1"))
    _say(f"accelerator {accelerator.name}: {accelerator.reason}")
    everything = options.all or accelerator.name == "kvm"
    if not everything:
        _say(
            "not run: kernel tests other than trace readers and facts about the kernel, since "
            "software emulation is 11 to 15 times slower (--all runs them, make kernels some)"
        )
    box = find_box() if options.keep_box else None
    box = box or build_box()
    scratch = Path(tempfile.mkdtemp(prefix="vagrant-", dir=cache_folder()))
    try:
        _prepare(scratch, box, "kvm" if accelerator.name == "kvm" else "qemu")
        argv = ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork"]
        argv += ["--mount-proc", "--kill-child=SIGKILL"]
        argv += [sys.executable, "-m", "tests.vm.vagrant", "--inside", str(scratch)]
        process = subprocess.Popen([*argv, *(["--all"] if everything else [])], cwd=ROOT)
        try:
            status = process.wait()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
        return _judge(scratch, status)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _prepare(scratch: Path, box: Box, driver: str) -> None:
    """What the inside needs: folders for libvirt's state, and what to boot."""
    for name in ("run", "lib", "log", "cache", "home", "dot"):
        (scratch / name).mkdir()
    (scratch / "box").write_text(str(box.folder))
    (scratch / "driver").write_text(driver)


def _judge(scratch: Path, status: int) -> int:
    files: dict[str, bytes] = {}
    for archive in scratch.glob("reports-*"):
        files |= archived_files(archive.read_bytes())
    OUT.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (OUT / name).write_bytes(content)
    if status and not files:
        _say(f"no reports: the machine ended with status {status}")
        return 4
    found = read_findings(files, REPORTS)
    good = sum(agree for agree, _ in found.runs.values())
    every = sum(packets for _, packets in found.runs.values())
    _say(f"kernel {found.kernel}, iptables {found.iptables}: {good} of {every} packets agree")
    _say("tests: " + ", ".join(f"{count} {what}" for what, count in sorted(found.tests.items())))
    for reason, count in found.skipped.items():
        _say(f"skipped in the guest: {count} x {reason}")
    for line in (*found.problems, *found.unknown):
        _say(line)
    _say(f"reports: {OUT}")
    return found.status or (1 if status else 0)


# --- inside the namespaces ---


def _inside(scratch: Path, *, everything: bool) -> int:
    folder = Path((scratch / "box").read_text())
    environment = {
        **os.environ,
        "PATH": _PATH,
        "LC_ALL": "C.UTF-8",
        "HOME": str(scratch / "home"),
        "VAGRANT_HOME": str(scratch / "home/vagrant"),
        "VAGRANT_DOTFILE_PATH": str(scratch / "dot"),
        "VAGRANT_NO_COLOR": "1",
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "NETFW_BOX": NAME,
        "NETFW_BOX_FOLDER": str(folder),
        "NETFW_VM_DRIVER": (scratch / "driver").read_text(),
    }
    _own_places(scratch, environment)
    daemons = [_start("virtlogd", scratch, environment), _start("libvirtd", scratch, environment)]
    vagrant = _Vagrant(environment)
    try:
        _wait_for_libvirt(environment)
        vagrant("box", "add", "--name", NAME, str(folder / "box"))
        try:
            vagrant("up", "--provider=libvirt")
            status = _test(vagrant, scratch, everything=everything)
        finally:
            vagrant("destroy", "-f", check=False)
    except Unavailable as error:
        _say(str(error))
        return 4
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
    return status


def _own_places(scratch: Path, environment: dict[str, str]) -> None:
    """Mount over whatever libvirt writes to, in this mount namespace alone."""
    configuration = scratch / "etc"
    shutil.copytree("/etc/libvirt", configuration)
    # as root, so that nothing has to be given away to another user, and nothing is asked again
    settings = 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\ncgroup_controllers = []\n'
    (configuration / "qemu.conf").write_text(f"{settings}namespaces = []\n")
    (configuration / "libvirtd.conf").write_text(
        'auth_unix_rw = "none"\nunix_sock_rw_perms = "0777"\n'
    )
    shutil.rmtree(configuration / "qemu/networks/autostart", ignore_errors=True)
    (scratch / "run/libvirt").mkdir()
    places = {
        configuration: "/etc/libvirt",
        scratch / "run": "/run",
        scratch / "lib": "/var/lib/libvirt",
        scratch / "log": "/var/log/libvirt",
        scratch / "cache": "/var/cache/libvirt",
    }
    for name in ("images", "dnsmasq", "qemu", "boot", "network"):
        (scratch / "lib" / name).mkdir()
    for source, target in places.items():
        _call(environment, "mount", "--bind", str(source), target)
    _call(environment, "ip", "link", "set", "lo", "up")
    # mounted anew so that it shows this network namespace
    _call(environment, "mount", "-t", "sysfs", "sysfs", "/sys")


def _call(environment: dict[str, str], *argv: str) -> None:
    subprocess.run(argv, env=environment, check=True, timeout=_PATIENCE)


def _start(program: str, scratch: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    log = (scratch / f"{program}.txt").open("wb")
    return subprocess.Popen([program], env=environment, stdout=log, stderr=log)


def _wait_for_libvirt(environment: dict[str, str]) -> None:
    deadline = time.monotonic() + _WAIT_FOR_LIBVIRT
    argv = ["virsh", "-q", "-c", "qemu:///system", "list"]
    while True:
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            lines = done.stderr.strip().splitlines()
            raise Unavailable(f"libvirtd does not answer: {lines[0] if lines else 'no reason'}")
        time.sleep(0.2)


class _Vagrant:
    """Runs vagrant in the folder of its file, and says how long it took."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, *words: str, check: bool = True, stdout: int | None = None) -> bytes:
        began = time.monotonic()
        try:
            done = subprocess.run(
                ["vagrant", "--no-tty", *words],
                cwd=ROOT / "vagrant",
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                check=False,
                timeout=_PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"vagrant {words[0]} took more than {_PATIENCE:.0f} s") from None
        _say(f"vagrant {shlex.join(words)[:60]}: {time.monotonic() - began:.0f} s")
        if done.returncode and check:
            raise Unavailable(f"vagrant {words[0]} ended with status {done.returncode}")
        return done.stdout or b""


def _test(vagrant: _Vagrant, scratch: Path, *, everything: bool) -> int:
    """``make verify`` and the kernel tests in the guest, then a restart that systemd has to bring
    rules through; the reports come out as archives."""
    words = " --all" if everything else " --few"
    steps = (
        "cd /netfw; mkdir -p /tmp/out",
        "sudo NETFW_NO_EMULATOR=1 make verify REPORTS=/tmp/out",
        f"sudo .venv/bin/python -m tests.vm.guest --tests /tmp/out{words}",
        f"{_BOOT} -k before --junit-xml=/tmp/out/before.xml",
    )
    vagrant("ssh", "-c", "; ".join(steps), check=False)
    _fetch(vagrant, scratch / "reports-before")
    vagrant("reload", check=False)
    steps = ("cd /netfw; mkdir -p /tmp/out", f"{_BOOT} -k after --junit-xml=/tmp/out/after.xml")
    vagrant("ssh", "-c", "; ".join(steps), check=False)
    _fetch(vagrant, scratch / "reports-after")
    return 0


def _fetch(vagrant: _Vagrant, archive: Path) -> None:
    archive.write_bytes(vagrant("ssh", "-c", "tar -C /tmp/out -cz .", stdout=subprocess.PIPE))


def _say(text: str) -> None:
    print(f"vm-test: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
