"""One virtual machine: a kernel and a root tree in memory, a command, its output and its files.

Everything is in the initial RAM file system: no disk, no network, nothing of this machine that
could be changed. So ``request_module()`` finds modprobe and the modules without further ado.
The console is the first serial port; the second one carries out whatever the command has put
into ``/out``.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from tests.vm.cache import cache_folder
from tests.vm.cpio import Cpio
from tests.vm.kernel import Kernel
from tests.vm.unavailable import Unavailable

QEMU = "qemu-system-x86_64"
READY, STATUS = "NETFW-VM-READY", "NETFW-VM-STATUS="
PATIENCE = 600.0
"""Seconds for a command; software emulation is 11 to 15 times slower than the processor."""
PATIENCE_TO_BOOT = 150.0
MEMORY = 2048
"""MiB; half of it at most is the root tree."""
_ATTEMPTS = 2
"""A guest dies while it boots, though rarely; then it is started once more."""
_ACCELERATOR = "NETFW_VM_ACCELERATOR"

_INIT = """#!/bin/bash
export PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm /run /tmp /out
mount -t devpts devpts /dev/pts; mount -t tmpfs tmp /dev/shm; mount -t tmpfs run /run
chmod 1777 /tmp; ln -sf /proc/self/fd /dev/fd
mount -t cgroup2 cgroup /sys/fs/cgroup 2>/dev/null
stty -F /dev/ttyS0 raw -echo; stty -F /dev/ttyS1 raw -echo
ip link set lo up
echo "%(ready)s"
(. /vm-command) </dev/null
echo "%(status)s$?"
tar -C /out -czf /dev/ttyS1 .
sync; echo o >/proc/sysrq-trigger
while :; do sleep 1; done
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that came to its end in a virtual machine.

    ``output`` is the console, ``files`` what lay in ``/out``, by name. ``seconds`` is from the
    start of qemu to its end, ``boots`` how often it had to be started.
    """

    status: int
    output: str
    files: dict[str, bytes]
    seconds: float
    boots: int


@dataclass(frozen=True, slots=True)
class Accelerator:
    """How qemu runs the guest's code; ``reason`` says why it is this one."""

    name: str
    reason: str


def write_extra(path: Path, command: str) -> None:
    """The archive that makes a machine of a root tree: the first process, and its command."""
    with path.open("wb") as file:
        cpio = Cpio(file)
        cpio.device("dev/console", 5, 1)
        words = {"ready": READY, "status": STATUS}
        cpio.file("init", (_INIT % words).encode(), 0o755)
        cpio.file("vm-command", command.encode())
        for name in ("proc", "sys", "run", "tmp", "out", "root", "var/lib", "var/tmp"):
            cpio.folder(name)
        cpio.end()


def missing_program() -> str:
    """Why no virtual machine can be started; empty where one can."""
    if shutil.which(QEMU) is None:
        return f"no {QEMU} on this machine (the package qemu-system-x86)"
    if os.uname().machine != "x86_64":
        return f"virtual machines are for x86_64, and this is {os.uname().machine}"
    return ""


@functools.cache
def choose_accelerator(kernel: Kernel) -> Accelerator:
    """KVM only where a kernel really boots with it: ``/dev/kvm`` may open, and the guest hang.

    ``NETFW_VM_ACCELERATOR`` says ``kvm`` or ``tcg`` and is believed.
    """
    wished = os.environ.get(_ACCELERATOR, "")
    if wished in ("kvm", "tcg"):
        return Accelerator(wished, f"{_ACCELERATOR} says so")
    if wished not in ("", "auto"):
        raise Unavailable(f"{_ACCELERATOR}={wished}: it is kvm, tcg or auto")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Accelerator("tcg", "there is no /dev/kvm that we may use")
    boot = f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {kernel.release}"
    note = cache_folder() / "kvm-probe"
    if note.exists():
        kept = note.read_text().splitlines()
        if kept[:1] == [boot]:
            return Accelerator(kept[1], kept[2])
    found = _probe_kvm(kernel)
    note.write_text(f"{boot}\n{found.name}\n{found.reason}\n")
    return found


def _probe_kvm(kernel: Kernel) -> Accelerator:
    """Boot a kernel without any root tree: it must come as far as missing one."""
    argv = _command(kernel, Path(os.devnull), "kvm", MEMORY)
    argv = [word for word in argv if word not in ("-initrd", os.devnull)]
    with tempfile.TemporaryDirectory(prefix="vm-probe-") as scratch:
        second = Path(scratch, "second")
        try:
            done = subprocess.run(
                [*argv, "-serial", "stdio", "-serial", f"file:{second}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=10,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Accelerator("tcg", "a guest under KVM hangs on this machine")
    if b"Unable to mount root fs" in done.stdout:
        return Accelerator("kvm", "a guest boots with it")
    reason = done.stderr.decode(errors="replace").strip().splitlines()
    return Accelerator("tcg", reason[0] if reason else "a guest under KVM dies on this machine")


def _command(kernel: Kernel, initrd: Path, accelerator: str, memory: int) -> list[str]:
    # where the emulator gets no processor for a while, the kernel finds its timer broken, and dies
    line = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=0 random.trust_cpu=on"
    line += " no_timer_check"
    engine, processor = ("kvm", "host") if accelerator == "kvm" else ("tcg", "max")
    return [
        *(QEMU, "-accel", engine, "-cpu", processor, "-smp", "1", "-m", str(memory)),
        *("-M", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", str(kernel.image), "-initrd", str(initrd), "-append", line),
        *("-device", "virtio-rng-pci"),
    ]


def run_in(
    kernel: Kernel,
    roots: Sequence[Path],
    argv: Sequence[str] | str,
    *,
    patience: float = PATIENCE,
    memory: int = MEMORY,
) -> Ran:
    """Boot a kernel with root archives laid over each other, run a command (words, or a script of
    bash), and come back with what it said.

    Starts the machine once more where it never became ready. Raises Unavailable where it does not
    come to an end twice, or there is no qemu.
    """
    problem = missing_program()
    if problem:
        raise Unavailable(problem)
    command = argv if isinstance(argv, str) else shlex.join(argv)
    accelerator = choose_accelerator(kernel)
    with tempfile.TemporaryDirectory(prefix="vm-", dir=cache_folder()) as scratch:
        extra, initrd = Path(scratch, "extra.cpio"), Path(scratch, "initrd")
        write_extra(extra, command)
        with initrd.open("wb") as file:
            for part in (*roots, kernel.modules, extra):
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file, 1 << 20)
        words = _command(kernel, initrd, accelerator.name, memory)
        started = time.monotonic()
        boots = 0
        output = ""
        while READY not in output and boots < _ATTEMPTS:
            boots += 1
            console, second = Path(scratch, "console"), Path(scratch, "second")
            _start(words, console, second, patience)
            output = console.read_text(errors="replace").replace("\r", "")
        status = re.search(rf"^{STATUS}(\d+)$", output, re.MULTILINE)
        if READY not in output:
            raise Unavailable(f"{kernel.release} did not boot, {boots} times: {_last(output)}")
        if status is None:
            what = f"the command came to no end in {patience:.0f} s"
            raise Unavailable(f"{kernel.release}: {what}: {_last(output)}")
        seconds = time.monotonic() - started
        said = output[output.index(READY) + len(READY) : status.start()].lstrip("\n")
        return Ran(int(status[1]), said, archived_files(second.read_bytes()), seconds, boots)


def _start(words: list[str], console: Path, second: Path, patience: float) -> None:
    """Run qemu until it ends by itself, or is out of time."""
    argv = [*words, "-serial", f"file:{console}", "-serial", f"file:{second}"]
    console.write_bytes(b"")
    second.write_bytes(b"")
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + min(PATIENCE_TO_BOOT, patience)
        ready = False
        while True:
            try:
                process.wait(0.2)
                break
            except subprocess.TimeoutExpired:
                pass
            if not ready and READY.encode() in console.read_bytes():
                ready, deadline = True, time.monotonic() + patience
            if time.monotonic() > deadline:
                break
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
    if errors and process.returncode > 0:
        raise Unavailable(f"{QEMU}: {errors.decode(errors='replace').strip().splitlines()[0]}")


def archived_files(archive: bytes) -> dict[str, bytes]:
    """The files in a tar archive, by name."""
    found = {}
    if archive:
        with tarfile.open(fileobj=BytesIO(archive)) as tar:
            for member in tar.getmembers():
                content = tar.extractfile(member) if member.isfile() else None
                if content is not None:
                    found[member.name.removeprefix("./")] = content.read()
    return found


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
