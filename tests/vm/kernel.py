"""Stock kernels of Debian: which there are, and what of them a virtual machine boots from."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vm.archive import Archive, unpack
from tests.vm.cache import cache_folder, one_at_a_time
from tests.vm.cpio import Cpio
from tests.vm.unavailable import Unavailable

NEWEST = "newest"
SUITES = {
    "5.10": ("bullseye", "bullseye-security"),
    "6.1": ("bookworm", "bookworm-security"),
    "6.12": ("trixie", "trixie-security"),
    NEWEST: ("trixie-backports", "sid"),
}
"""Which suites have a series of kernels; any other series is looked for in the last ones."""
_NAME = re.compile(r"linux-(?:image|binary)-((\d+)\.(\d+)(?:\.(\d+))?\S*)-cloud-amd64")
_NET_FOLDERS_LEFT_OUT = {
    *("wireless", "mac80211", "bluetooth", "sunrpc", "batman-adv", "tipc", "ceph", "rds"),
    *("smc", "sctp", "can", "nfc", "9p", "dccp", "rxrpc", "l2tp", "openvswitch"),
}
_DRIVERS = {"veth", "dummy", "tun", "ifb", "bonding", "vxlan", "macvlan", "vrf", "wireguard"}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that can be booted: ``image`` is its vmlinuz, ``modules`` an archive of those that
    have to do with networks. ``series`` is what was asked for."""

    series: str
    release: str
    image: Path
    modules: Path

    @property
    def version(self) -> str:
        """Its number as people say it: ``6.1``."""
        return ".".join(self.release.split(".")[:2])


def fetch_kernel(series: str) -> Kernel:
    """The newest stock kernel of a series (``6.1``), or of all (``newest``), from the cache or
    downloaded. Raises Unavailable."""
    with one_at_a_time("kernels"):
        kept = _kept(series)
        return kept if kept is not None else _download(series)


def _folder(series: str) -> Path:
    return cache_folder("kernels") / series


def _kept(series: str) -> Kernel | None:
    folder = _folder(series)
    if not (folder / "release").exists():
        return None
    release = (folder / "release").read_text().strip()
    return Kernel(series, release, folder / "vmlinuz", folder / "modules.cpio")


def _download(series: str) -> Kernel:
    archive = Archive(SUITES.get(series, SUITES[NEWEST]))
    archive.update()
    wanted = None if series == NEWEST else tuple(int(part) for part in series.split("."))
    found = []
    for name in archive.names("^linux-(image|binary)-[0-9].*-cloud-amd64$"):
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        numbers = tuple(int(part) for part in re.findall(r"\d+", match[1]))
        if wanted is None or numbers[:2] == wanted:
            found.append((numbers, match[1]))
    if not found:
        raise Unavailable(f"no stock kernel {series} is in Debian's archive")
    release = f"{max(found)[1]}-cloud-amd64"
    kinds = "|".join(("image", "binary", "modules"))
    packages = archive.names(f"^linux-({kinds})-{re.escape(release)}$")
    scratch = Path(tempfile.mkdtemp(prefix="kernel-", dir=cache_folder()))
    try:
        tree = scratch / "tree"
        unpack(archive.download(packages, scratch), tree)
        images = (f"boot/vmlinuz-{release}", f"**/lib/modules/{release}/vmlinuz")
        image = next((path for name in images for path in tree.glob(name)), None)
        modules = next(iter(tree.glob(f"**/lib/modules/{release}")), None)
        if image is None or modules is None:
            raise Unavailable(f"the packages {', '.join(packages)} hold no whole kernel")
        made = scratch / "made"
        made.mkdir()
        shutil.copyfile(image, made / "vmlinuz")
        _write_modules(modules, release, scratch / "some", made / "modules.cpio")
        (made / "release").write_text(f"{release}\n")
        shutil.rmtree(_folder(series), ignore_errors=True)
        made.rename(_folder(series))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    kernel = _kept(series)
    assert kernel is not None
    return kernel


def _wanted_modules(modules: Path) -> Iterator[Path]:
    for path in sorted(modules.glob("kernel/**/*.ko*")):
        parts = path.relative_to(modules).parts
        name = path.name.partition(".")[0]
        if parts[1] == "net":
            if parts[2] not in _NET_FOLDERS_LEFT_OUT:
                yield path
        elif parts[1:3] == ("drivers", "net"):
            if name in _DRIVERS:
                yield path
        elif parts[1] in ("lib", "crypto") or "overlayfs" in parts:
            yield path


def _write_modules(modules: Path, release: str, scratch: Path, archive: Path) -> None:
    """Modules unpacked, with an index of those that are there; the others are as good as none."""
    target = scratch / "usr/lib/modules" / release
    for path in _wanted_modules(modules):
        copied = target / path.relative_to(modules)
        copied.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".xz":
            copied.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
        else:
            shutil.copyfile(path, copied)
    for index in modules.glob("modules.*"):
        if index.name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            shutil.copyfile(index, target / index.name)
    (scratch / "lib").symlink_to("usr/lib")
    done = subprocess.run(
        ["depmod", "-b", str(scratch), release], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unavailable(f"depmod for {release}: {done.stderr.strip()}")
    with archive.open("wb") as file:
        cpio = Cpio(file)
        cpio.tree(scratch / "usr", "usr")
        cpio.end()
