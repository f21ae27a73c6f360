"""Root trees for guests: this machine's own programs, or those of other releases of Debian.

All of them hold this machine's Python with netfw and its tests, so that guests differ by kernel
and by iptables and by nothing else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.vm.archive import KEYRING, source_lines
from tests.vm.cache import cache_folder, one_at_a_time
from tests.vm.cpio import Cpio
from tests.vm.own_root import add_own_root, add_with_targets, shared_libraries
from tests.vm.python_files import add_checkout, add_packages, add_python
from tests.vm.unavailable import Unavailable

OWN = "own"
_INCLUDED = "mount,util-linux,iptables,ipset,nftables,iproute2,kmod,procps,netbase,conntrack"
_PATIENCE = 900
"""Seconds for mmdebstrap."""


def root_archive(name: str) -> Path:
    """A root tree as an archive in the cache, which the caller removes. Raises Unavailable."""
    handle, path = tempfile.mkstemp(prefix=f"root-{name}-", suffix=".cpio", dir=cache_folder())
    try:
        with os.fdopen(handle, "wb") as file:
            cpio = Cpio(file)
            ROOTS[name](cpio)
            cpio.end()
    except BaseException:
        Path(path).unlink()
        raise
    return Path(path)


def _own(cpio: Cpio) -> None:
    add_own_root(cpio, [*add_python(cpio), *add_packages(cpio)])
    add_checkout(cpio)


def _with_tree(cpio: Cpio, tree: Path) -> None:
    """This machine's Python over a tree, whose own libraries are kept."""
    cpio.tree(tree)
    for path in sorted(shared_libraries([*add_python(cpio), *add_packages(cpio)])):
        add_with_targets(cpio, path)
    add_checkout(cpio)


def _bullseye(cpio: Cpio) -> None:
    """iptables 1.8.7 of Debian 11 on Debian 12, the oldest with a Python that is new enough."""
    pin = "Package: iptables libxtables12 libip4tc2 libip6tc2\nPin: release n=bullseye\n"
    _with_tree(cpio, _tree("bullseye", ("bookworm", "bullseye"), f"{pin}Pin-Priority: 1001\n"))


def _bookworm(cpio: Cpio) -> None:
    _with_tree(cpio, _tree("bookworm", ("bookworm",)))


def _trixie(cpio: Cpio) -> None:
    _with_tree(cpio, _tree("trixie", ("trixie",)))


def _sid(cpio: Cpio) -> None:
    _with_tree(cpio, _tree("sid", ("sid",)))


ROOTS: dict[str, Callable[[Cpio], None]] = {
    OWN: _own,
    "bullseye": _bullseye,
    "bookworm": _bookworm,
    "trixie": _trixie,
    "sid": _sid,
}
"""Whose iptables: this machine's, or a release's."""


def _tree(name: str, suites: tuple[str, ...], preferences: str = "") -> Path:
    """A root tree of a release, from the cache or made by mmdebstrap."""
    folder = cache_folder("trees") / name
    with one_at_a_time("trees"):
        if folder.exists():
            return folder
        if shutil.which("mmdebstrap") is None:
            raise Unavailable("no mmdebstrap on this machine (the package mmdebstrap)")
        scratch = Path(tempfile.mkdtemp(prefix="tree-", dir=cache_folder()))
        try:
            _make_tree(scratch / "root", suites, preferences)
            (scratch / "root").rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _make_tree(target: Path, suites: tuple[str, ...], preferences: str) -> None:
    pins = target.with_name("pins")
    pins.write_text(preferences)
    words = ["--variant=apt", f"--include={_INCLUDED}", "--mode=auto", "--quiet"]
    if preferences:
        words.append(f'--setup-hook=cp {pins} "$1"/etc/apt/preferences')
    words.append("--customize-hook=rm -rf $1/var/lib/apt/lists $1/var/cache/apt $1/usr/share/doc")
    words.append("--customize-hook=rm -rf $1/usr/share/locale $1/usr/share/man")
    if KEYRING.exists():
        words.append(f"--keyring={KEYRING}")
    words += ["--aptopt=Acquire::Check-Valid-Until false", "--aptopt=Acquire::Languages none"]
    argv = ["mmdebstrap", *words, suites[0], str(target), *source_lines(suites)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"mmdebstrap {suites[0]} took more than {_PATIENCE} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        raise Unavailable(f"mmdebstrap {suites[0]}: {'; '.join(lines[:1]) or 'no reason given'}")
