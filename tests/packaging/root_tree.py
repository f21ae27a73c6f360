"""A minimal root tree of this distribution, in which packages are installed and netfw runs.

mmdebstrap makes it once, into the user's cache, where it may be removed at any time.
Each test gets a layer of its own above it, in memory, with namespaces of its own for mounts,
processes and the network: nothing of it is left when the test ends, and rules are loaded there
and nowhere else.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCES = Path("/etc/apt/sources.list.d"), Path("/etc/apt/sources.list")
BEGIN = """\
mount -t tmpfs netfw-root "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay netfw-root -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mkdir -p proc sys dev run tmp
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs run run
mount --rbind /dev dev
ip link set lo up
ip link add up0 type veth peer name far0
ip link set up0 up
ip link set far0 up
ip address add 192.0.2.5/24 dev up0
ip route add default via 192.0.2.1 dev up0
echo ready
exec chroot . sh -c 'read -r end'
"""


class Root:
    """A root tree with a network of its own, in which programs are run."""

    def __init__(self, path: Path, process: int) -> None:
        self.path = path
        self._process = process

    def run(self, *argv: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
        """Run a program; its exit code, and what it printed anywhere."""
        enter = (
            "nsenter",
            f"--target={self._process}",
            "--mount",
            "--net",
            "--pid",
            "--root",
            "--wd",
        )
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            [*enter, *argv],
            env={"PATH": path, "HOME": "/root", "LC_ALL": "C.UTF-8", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def expect(self, *argv: str, environment: dict[str, str] | None = None) -> str:
        """Run a program that must succeed; what it printed."""
        code, printed = self.run(*argv, environment=environment)
        assert code == 0, f"$ {' '.join(argv)}\n{printed}"
        return printed

    def put(self, path: Path, folder: str) -> str:
        """Copy a file or a folder into a folder of the tree; its path there."""
        place = f"{folder}/{path.name}"
        pack = subprocess.Popen(
            ["tar", "-c", "-C", path.parent, path.name], stdout=subprocess.PIPE
        )
        with pack:
            enter = ("nsenter", f"--target={self._process}", "--mount", "--root", "--wd")
            subprocess.run([*enter, "tar", "-x", "-C", folder], stdin=pack.stdout, check=True)
        assert pack.returncode == 0
        return place

    def files(self) -> set[str]:
        """All that a package could leave behind; not what dpkg notes for itself, nor what a
        program keeps in the home of its user."""
        own = ("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/tmp/", "/root/")
        found = self.expect("find", "/", "-xdev", "-not", "-type", "s").splitlines()
        return {name for name in found if not name.startswith(own)}


@contextmanager
def layered_root(tree: Path) -> Iterator[Root]:
    """A layer of one's own above a tree."""
    with tempfile.TemporaryDirectory(prefix="netfw-root-") as place:
        argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        with subprocess.Popen(
            [*argv, "sh", "-ec", BEGIN, "sh", place, str(tree)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            try:
                assert holder.stdout is not None
                assert holder.stdout.readline() == "ready\n"
                yield Root(Path(place, "root"), _child_of(holder.pid))
            finally:
                holder.kill()


def _child_of(process: int) -> int:
    """unshare waits; what it has started is in the namespaces."""
    return int(Path(f"/proc/{process}/task/{process}/children").read_text().split()[0])


def minimal_tree(package: Path) -> Path:
    """A tree with what a Debian package depends on and no more, from the cache or made now; skips
    the test where it cannot be had."""
    for program in ("mmdebstrap", "unshare", "nsenter"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    sources = _sources()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(base, "netfw", "packaging")
    cache.mkdir(parents=True, exist_ok=True)
    codename = platform.freedesktop_os_release()["VERSION_CODENAME"]
    wanted = _dependencies(package)
    made_from = [*wanted, *(path.read_text() for path in sources)]
    digest = hashlib.sha256("\n".join(made_from).encode()).hexdigest()
    tree = cache / f"{codename}-{digest[:12]}"
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            _make(tree, codename, sources, wanted)
    return tree


def _sources() -> list[Path]:
    """Where apt of this machine gets the distribution from, whatever else it knows."""
    release = platform.freedesktop_os_release()
    codename = release.get("VERSION_CODENAME", "")
    folder, single = SOURCES
    listed = [path for path in (*sorted(folder.glob("*.*")), single) if path.is_file()]
    found = [path for path in listed if codename and f"{codename}" in path.read_text()]
    if release.get("ID") not in ("debian", "ubuntu") or not found:
        pytest.skip("this machine's apt names no sources of a Debian or Ubuntu")
    own = [path for path in found if release["ID"] in path.read_text().lower()]
    return [path for path in own if "components: main" in path.read_text().lower()] or own


def _dependencies(package: Path) -> list[str]:
    asked = ("dpkg-deb", "--field", str(package), "Depends")
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return sorted({dependency.split()[0] for dependency in said.split(",")})


def _make(tree: Path, codename: str, sources: Sequence[Path], wanted: Sequence[str]) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=tree.parent))
    try:
        done = subprocess.run(
            [
                *("mmdebstrap", "--quiet", "--variant=essential", "--format=directory"),
                *(f"--include={','.join(wanted)}", codename),
                *(str(scratch / "root"), *map(str, sources)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("E:")]
            pytest.skip(f"mmdebstrap: {'; '.join(said[:1]) or 'no reason given'}")
        (scratch / "root").rename(tree)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
