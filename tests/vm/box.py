"""A Vagrant box built from packages of the distribution: ``make vm-box``.

The box is a whole disk with one file system and no boot loader: its kernel and initial RAM disk
lie beside it and are handed to qemu. A key of its own is made with it, so no well-known key opens
the machine. netfw's set-up has run in it: a guest under software emulation would take many
minutes for that.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.vm.archive import KEYRING, source_lines
from tests.vm.cache import cache_folder, one_at_a_time
from tests.vm.python_files import ROOT, copy_checkout
from tests.vm.unavailable import Unavailable

SUITE = "bookworm"
_PYTHON = "3.11"
"""Its Python, which need not be this machine's."""
NAME = f"netfw/{SUITE}"
SIZE = 4
"""GiB of the disk; what is not written takes no room."""
_PACKAGES = (
    *("linux-image-cloud-amd64", "systemd-sysv", "dbus", "udev", "openssh-server", "sudo"),
    *("rsync", "make", "python3", "python3-venv", "gcc", "libc6-dev", "ca-certificates"),
    *("iptables", "ipset", "nftables", "iproute2", "kmod", "procps", "netbase", "conntrack"),
    *("initramfs-tools", "busybox"),
)
_PATIENCE = 1800
_NETWORK = "[Match]\nName=eth* en*\n\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=ipv4\n"
_SETUP = """
set -e
echo netfw > $1/etc/hostname
echo '127.0.0.1 localhost netfw' > $1/etc/hosts
echo '/dev/vda / ext4 rw,noatime 0 1' > $1/etc/fstab
chroot $1 useradd --create-home --shell /bin/bash vagrant
install -d -m 700 $1/home/vagrant/.ssh
install -m 600 {key}.pub $1/home/vagrant/.ssh/authorized_keys
chroot $1 chown -R vagrant:vagrant /home/vagrant/.ssh
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' > $1/etc/sudoers.d/vagrant
install -m 644 {network} $1/etc/systemd/network/10-all.network
chroot $1 systemctl enable systemd-networkd ssh
chroot $1 systemctl disable apt-daily.timer apt-daily-upgrade.timer || true
chroot $1 systemctl mask systemd-networkd-wait-online.service
echo 'UseDNS no' > $1/etc/ssh/sshd_config.d/netfw.conf
mkdir -p $1/netfw $1/wheels
cp -a {wheels}/. $1/wheels/
cp -a {checkout}/. $1/netfw/
chroot $1 env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \\
  PIP_CONFIG_FILE=/dev/null PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels NETFW_NO_EMULATOR=1 \\
  bash /netfw/.ci/setup.sh
rm -rf $1/wheels $1/root/.cache
rm -rf $1/var/lib/apt/lists/* $1/var/cache/apt/*.bin $1/usr/share/doc $1/usr/share/locale
"""


@dataclass(frozen=True, slots=True)
class Box:
    """A folder with ``box``, ``vmlinuz``, ``initrd.img``, ``key`` and ``release``."""

    folder: Path

    @property
    def file(self) -> Path:
        """What ``vagrant box add`` takes."""
        return self.folder / "box"

    @property
    def release(self) -> str:
        """The release of its kernel."""
        return (self.folder / "release").read_text().strip()


def find_box() -> Box | None:
    """The box that was built, if any."""
    box = Box(cache_folder() / "box")
    return box if (box.folder / "release").exists() else None


def build_box() -> Box:
    """Build the box anew. Raises Unavailable."""
    for program, package in (
        ("mmdebstrap", "mmdebstrap"),
        ("mke2fs", "e2fsprogs"),
        ("qemu-img", "qemu-utils"),
        ("ssh-keygen", "openssh-client"),
    ):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            raise Unavailable(f"no {program} on this machine (the package {package})")
    if os.geteuid():
        raise Unavailable("a box can be built by root only")
    with one_at_a_time("box"):
        scratch = Path(tempfile.mkdtemp(prefix="box-", dir=cache_folder()))
        try:
            _build(scratch)
            target = cache_folder() / "box"
            shutil.rmtree(target, ignore_errors=True)
            (scratch / "made").rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return Box(target)


def _build(scratch: Path) -> None:
    made, root = scratch / "made", scratch / "root"
    made.mkdir()
    _call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "netfw", "-f", str(made / "key"))
    network, hook = scratch / "network", scratch / "hook"
    network.write_text(_NETWORK)
    wheels, checkout = scratch / "wheels", scratch / "checkout"
    _download_packages(wheels)
    copy_checkout(checkout)
    hook.write_text(
        _SETUP.format(key=made / "key", network=network, wheels=wheels, checkout=checkout)
    )
    words = [f"--include={','.join(_PACKAGES)}", "--variant=apt", "--quiet"]
    if KEYRING.exists():
        words.append(f"--keyring={KEYRING}")
    words += [f'--customize-hook=sh {hook} "$1"', "--aptopt=Acquire::Languages none"]
    words.append("--aptopt=Acquire::Check-Valid-Until false")
    lines = source_lines((SUITE, f"{SUITE}-security"))
    began = time.monotonic()
    _call("mmdebstrap", *words, SUITE, str(root), *lines)
    _say(f"root tree of {SUITE}, {time.monotonic() - began:.0f} s")
    kernel = next(iter(sorted((root / "boot").glob("vmlinuz-*"))), None)
    if kernel is None:
        raise Unavailable("the root tree holds no kernel")
    release = kernel.name.removeprefix("vmlinuz-")
    shutil.copyfile(kernel, made / "vmlinuz")
    shutil.copyfile(root / f"boot/initrd.img-{release}", made / "initrd.img")
    began = time.monotonic()
    raw, disk = scratch / "raw", scratch / "box.img"
    with raw.open("wb") as file:
        file.truncate(SIZE << 30)
    _call("mke2fs", "-q", "-t", "ext4", "-d", str(root), "-L", "netfw", str(raw))
    _call("qemu-img", "convert", "-O", "qcow2", str(raw), str(disk))
    raw.unlink()
    data = {"provider": "libvirt", "format": "qcow2", "virtual_size": SIZE}
    with tarfile.open(made / "box", "w") as tar:
        tar.add(disk, "box.img")
        for name, text in (("metadata.json", json.dumps(data)), ("Vagrantfile", "")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    (made / "release").write_text(f"{release}\n")
    size = (made / "box").stat().st_size
    _say(f"box with Linux {release}, {size >> 20} MiB, {time.monotonic() - began:.0f} s")


def _download_packages(wheels: Path) -> None:
    """What ``requirements.lock`` names, for a set-up without a network."""
    began = time.monotonic()
    _call(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-qq"),
        *("--no-deps", "--require-hashes", "--no-build-isolation", "--dest", str(wheels)),
        *("--python-version", _PYTHON),
        *("--requirement", str(ROOT / "requirements.lock")),
    )
    _say(f"Python packages, {time.monotonic() - began:.0f} s")


def _call(*argv: str) -> None:
    settings = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=_PATIENCE, env=settings
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{argv[0]} took more than {_PATIENCE} s") from None
    if done.returncode:
        raise Unavailable(f"{argv[0]}: {_reason(done.stderr.splitlines())}")


def _reason(lines: Sequence[str]) -> str:
    errors = [line for line in lines if line.startswith("E:")] or [*lines[-1:]]
    return errors[0] if errors else "no reason given"


def _say(text: str) -> None:
    print(f"vm-box: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Build it, and say where it is."""
    try:
        box = build_box()
    except Unavailable as error:
        _say(str(error))
        return 4
    _say(f"{NAME} is in {box.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
