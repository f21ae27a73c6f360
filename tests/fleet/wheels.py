"""Wheels of netfw and of what it needs, made from what is installed here, without a network."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def make_wheels(folder: Path) -> None:
    """Fill a folder."""
    argv = [sys.executable, str(ROOT / ".packaging" / "wheel.py"), str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    names = ["netfw"]
    for name in names:
        if name != "netfw":
            _pack(metadata.distribution(name), folder)
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            is_needed = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if is_needed and needed.name not in names:
                names.append(needed.name)


def _pack(found: metadata.Distribution, folder: Path) -> None:
    """A wheel holds what an installation of it has, programs and compiled Python apart."""
    text = found.read_text("WHEEL") or ""
    tags = [line.split()[1].split("-") for line in text.splitlines() if line.startswith("Tag: ")]
    tag = "-".join(".".join(dict.fromkeys(parts)) for parts in zip(*tags, strict=True))
    name = found.metadata["Name"].replace("-", "_")
    with zipfile.ZipFile(folder / f"{name}-{found.version}-{tag}.whl", "w") as packed:
        for file in found.files or ():
            path = Path(str(found.locate_file(file)))
            if not str(file).startswith("..") and path.suffix != ".pyc" and path.is_file():
                packed.write(path, str(file))
