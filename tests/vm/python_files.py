"""This machine's Python with the packages that netfw and its tests need, and this checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from tests.vm.cpio import Cpio

ROOT = Path(__file__).resolve().parent.parent.parent
DISTRIBUTIONS = ("netfw", "pytest", "pytest-xdist", "hypothesis", "jsonschema")
_NOT_OF_THE_STANDARD_LIBRARY = {
    *("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "distutils"),
    *("pydoc_data", "site-packages", "dist-packages"),
}
_NOT_OF_PACKAGES = ("setuptools", "networkx/algorithms/tests", "pkg_resources", "_distutils_hack")


def _needed_distributions() -> Iterator[metadata.Distribution]:
    """Whatever those above need, and what that needs; no extras."""
    wanted, seen = list(DISTRIBUTIONS), set()
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        yield found
        for requirement in found.requires or ():
            words, _, condition = requirement.partition(";")
            if "extra" not in condition:
                wanted.append(re.split(r"[^\w.-]", words.strip())[0])


def add_packages(cpio: Cpio) -> list[Path]:
    """The packages, where they are on this machine; netfw itself is the checkout. Returns the
    files whose shared libraries they need."""
    compiled = []
    for distribution in _needed_distributions():
        for file in distribution.files or ():
            path = Path(str(distribution.locate_file(file))).absolute()
            if str(file).startswith(_NOT_OF_PACKAGES):
                continue
            if path.is_file() and "__editable__" not in path.name and path.suffix != ".pth":
                cpio.copy(path, str(path.resolve()).lstrip("/"))
                if path.suffix == ".so":
                    compiled.append(path)
    return compiled


def add_python(cpio: Cpio) -> list[Path]:
    """The interpreter, its standard library, and the environment that runs this, where they are
    on this machine. Returns the files whose shared libraries it needs."""
    interpreter = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib")).resolve()
    cpio.copy(interpreter, str(interpreter).lstrip("/"))
    for path in sorted(library.rglob("*")):
        first = path.relative_to(library).parts[0]
        if first in _NOT_OF_THE_STANDARD_LIBRARY or first.startswith("config-"):
            continue
        if path.suffix == ".a" or ".opt-" in path.name or path.name.startswith("_tkinter"):
            continue
        cpio.copy(path, str(path).lstrip("/"))
    if sys.prefix != sys.base_prefix:
        environment = Path(sys.prefix).resolve()
        inside = str(environment).lstrip("/")
        cpio.file(f"{inside}/pyvenv.cfg", (environment / "pyvenv.cfg").read_bytes())
        cpio.link(f"{inside}/bin/python", str(interpreter))
    modules = library.glob("lib-dynload/*.so")
    return [interpreter, *(path for path in modules if not path.name.startswith("_tkinter"))]


def checkout_files() -> list[str]:
    """What git knows of this checkout, and new files that it does not ignore."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-zco", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = sorted(set(filter(None, listed.stdout.split("\0"))))
    return [name for name in names if (ROOT / name).is_file()]


def add_checkout(cpio: Cpio) -> None:
    """This checkout, where it is on this machine."""
    for name in checkout_files():
        cpio.copy(ROOT / name, f"{ROOT}/{name}".lstrip("/"))


def copy_checkout(folder: Path) -> None:
    """This checkout into a folder."""
    for name in checkout_files():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def python_in_guest() -> Path:
    """The path of the interpreter that sees these packages."""
    if sys.prefix == sys.base_prefix:
        return Path(sys.executable).resolve()
    return Path(sys.prefix).resolve() / "bin/python"
