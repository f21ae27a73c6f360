"""A root tree of this machine's own programs: only what netfw, its tests and a shell need.

So a virtual machine differs from this one by its kernel and by nothing else, and nothing has to
be downloaded for it. The files are those of a few packages (by dpkg), and the shared libraries
that they load (by ldd).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.vm.cpio import Cpio
from tests.vm.unavailable import Unavailable

PACKAGES = (
    *("bash", "dash", "coreutils", "util-linux", "mount", "kmod", "procps", "sed", "grep"),
    *("findutils", "tar", "gzip", "hostname", "libc-bin", "mawk", "netbase", "iproute2"),
    *("iptables", "ipset", "nftables", "conntrack"),
)
_OPTIONAL = {"conntrack", "mawk", "hostname"}
_LEFT_OUT = re.compile(r"/usr/share/(doc|man|locale|info|bash-completion|lintian|perl5)/")
_TOP_LINKS = ("bin", "sbin", "lib", "lib64", "lib32")
_ETC = (
    *("passwd", "group", "nsswitch.conf", "protocols", "services", "ethertypes", "hosts"),
    *("ld.so.conf", "ld.so.conf.d", "ld.so.cache", "iproute2", "alternatives", "xtables.conf"),
)


def _files_of_packages() -> list[Path]:
    listed = subprocess.run(
        ["dpkg-query", "-L", *PACKAGES], capture_output=True, text=True, check=False
    )
    missing = set(re.findall(r"package '(\S+)' is not installed", listed.stderr)) - _OPTIONAL
    if missing:
        raise Unavailable(f"not installed on this machine: {', '.join(sorted(missing))}")
    names = {line for line in listed.stdout.splitlines() if line.startswith("/")} - {"/."}
    return [Path(name) for name in sorted(names) if not _LEFT_OUT.match(name)]


def shared_libraries(files: Iterable[Path]) -> set[Path]:
    """The libraries that programs load, as the dynamic linker of this machine names them."""
    wanted = [str(path) for path in files if _is_elf(path)]
    if not wanted:
        return set()
    listed = subprocess.run(["ldd", *wanted], capture_output=True, text=True, check=False)
    return {Path(name) for name in re.findall(r"(/\S+)(?: \(0x)", listed.stdout)}


def _is_elf(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _inside(path: Path) -> str:
    """A path with the links at the top (``/lib`` to ``usr/lib``) followed, and no others."""
    parts = path.parts
    top = Path("/", parts[1])
    if len(parts) > 2 and top.is_symlink():
        path = top.resolve().joinpath(*parts[2:])
    return str(path).lstrip("/")


def add_with_targets(cpio: Cpio, path: Path) -> None:
    """A file, and where it is a link, what it leads to."""
    for _ in range(10):
        cpio.copy(path, _inside(path))
        if not path.is_symlink():
            return
        path = Path(path.parent, path.readlink())


def add_own_root(cpio: Cpio, programs: Iterable[Path] = ()) -> None:
    """This machine's own tools, with the libraries that they and ``programs`` need."""
    for name in _TOP_LINKS:
        if Path("/", name).is_symlink():
            cpio.copy(Path("/", name), name)
    files = _files_of_packages()
    for path in files:
        if path.is_dir() and not path.is_symlink():
            cpio.folder(_inside(path))
        elif path.exists():
            add_with_targets(cpio, path)
    # what dpkg does not list: the links of update-alternatives, of which iptables is one
    for path in Path("/etc/alternatives").iterdir():
        if re.match(r"(ip6?tables|arptables|ebtables|awk$|nawk$|xtables)", path.name):
            add_with_targets(cpio, path)
    for folder in ("/usr/sbin", "/usr/bin"):
        for path in Path(folder).iterdir():
            if path.is_symlink() and str(path.readlink()).startswith("/etc/alternatives/ip"):
                add_with_targets(cpio, path)
    for path in sorted(shared_libraries([*files, *programs])):
        add_with_targets(cpio, path)
    for name in _ETC:
        path = Path("/etc", name)
        if name == "alternatives" or not path.exists():
            continue
        if path.is_dir():
            cpio.tree(path, f"etc/{name}")
        else:
            cpio.file(f"etc/{name}", path.read_bytes())
    # the C library loads these by name
    for path in Path("/").glob("lib/*/libnss_files.so*"):
        add_with_targets(cpio, path)
