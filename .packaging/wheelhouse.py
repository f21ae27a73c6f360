"""A folder of wheels from which netfw can be installed without a network.

python .packaging/wheelhouse.py [DIRECTORY]: fills DIRECTORY (dist/wheelhouse, unless it is named)
with netfw and everything that it needs, in the versions and with the hashes of requirements.lock.
Wheels are for this Python and this architecture: some hold compiled code.

    pip install --no-index --find-links dist/wheelhouse netfw
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from wheel import ROOT, build


def needed_packages(
    name: str, is_met: Callable[[Requirement], bool] = lambda requirement: False
) -> dict[str, Requirement]:
    """What this installed package needs, and what that needs, by name.

    What ``is_met`` says is there otherwise is left out, and so is what it alone needs.
    """
    found: dict[str, Requirement] = {}
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if (marker is None or marker.evaluate({"extra": ""})) and not is_met(requirement):
            needed = canonicalize_name(requirement.name)
            found |= {needed: requirement} | needed_packages(needed, is_met)
    return found


def locked(names: Iterable[str]) -> str:
    """The lines of requirements.lock for these packages, with their hashes."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.findall(r"^([\w.-]+)(==.*(?:\n    .*)*)", text, re.MULTILINE)
    wanted = set(names)
    missing = wanted - {canonicalize_name(name) for name, _ in blocks}
    if missing:
        sys.exit(f"requirements.lock: it lacks {', '.join(sorted(missing))}\n  hint: make lock")
    return "".join(f"{name}{rest}\n" for name, rest in blocks if canonicalize_name(name) in wanted)


def collect(names: Iterable[str], folder: Path) -> None:
    """Put wheels of these packages into ``folder``; what PyPI has only as source is compiled."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="netfw-wheelhouse-") as scratch:
        wanted = Path(scratch, "wanted.txt")
        wanted.write_text(locked(names), encoding="utf-8")
        common = ("--no-deps", "--no-build-isolation")
        got = Path(scratch, "got")
        _pip("download", *common, "--require-hashes", "--dest", got, "--requirement", wanted)
        for path in sorted(got.iterdir()):
            if path.suffix == ".whl":
                shutil.move(path, folder / path.name)
            else:
                _pip("wheel", *common, "--use-pep517", "--wheel-dir", folder, path)


def _pip(verb: str, *arguments: str | Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", verb)
    # a linker without the paths of this Python, which are nothing to whoever gets the wheel
    linker = f"{(sysconfig.get_config_var('CC') or 'cc').split()[0]} -shared"
    done = subprocess.run(
        [*pip, "--quiet", *map(str, arguments)],
        env={**os.environ, "LDSHARED": linker},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        sys.exit(f"wheelhouse: 'pip {verb}' failed\n  hint: its reason is above")


def main() -> None:
    """Fill the folder anew, and say what is in it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist" / "wheelhouse")
    for old in folder.glob("*.whl"):
        old.unlink()
    collect(needed_packages("netfw"), folder)
    wheel, sdist = build(folder)
    sdist.unlink()
    others = len(list(folder.glob("*.whl"))) - 1
    print(f"{folder}: {wheel.name}, and {others} that it needs")


if __name__ == "__main__":
    main()
