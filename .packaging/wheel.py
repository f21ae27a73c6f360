"""netfw as a wheel and a source distribution, made without a network.

python .packaging/wheel.py [DIRECTORY]: writes both into DIRECTORY (dist, unless it is named).

The source distribution is made from a clean copy of what git knows, and the wheel from the source
distribution: nothing that lies about in the working tree gets in, and what is missing in the
one cannot hide in the other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_SOURCES = {".git", ".venv", ".hypothesis", ".vagrant", "build", "dist", "__pycache__"}
"""What is left aside where there is no git to ask."""


def source_files() -> list[Path]:
    """The files of this tree, relative to it; those not committed yet are among them."""
    known = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if known is not None:
        found = (Path(name) for name in set(known.split("\0")) if name)
    else:
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
    return sorted(
        path
        for path in found
        if (ROOT / path).is_file()
        and not NOT_SOURCES & {*path.parts}
        and not path.parts[0].endswith((".egg-info", "_cache"))
    )


def date_of_sources() -> str:
    """When the last change was committed, in seconds since 1970; the same sources give the same
    packages."""
    if said := os.environ.get("SOURCE_DATE_EPOCH"):
        return said
    committed = (_git("log", "-1", "--format=%ct") or "").strip()
    return committed or str(int((ROOT / "CHANGELOG.md").stat().st_mtime))


def _git(*words: str) -> str | None:
    """What git says of this tree; None where it knows nothing of it, or is not here."""
    asked = ("git", "-c", "safe.directory=*", *words)
    try:
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def build(folder: Path) -> tuple[Path, Path]:
    """Write both into ``folder``; returns the wheel's path and the source distribution's."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="netfw-wheel-") as scratch:
        tree = Path(scratch, "tree")
        names = source_files()
        date = int(date_of_sources())
        for name in names:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
            os.utime(tree / name, (date, date))
        (tree / "MANIFEST.in").write_text("".join(f"include {name}\n" for name in names))
        sdist = folder / _run_backend("build_sdist", tree, folder)
        with tarfile.open(sdist) as archive:
            # the archive is ours; Python before 3.11.4 knows no filters
            if hasattr(tarfile, "data_filter"):
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(scratch)
        unpacked = Path(scratch, sdist.name.removesuffix(".tar.gz"))
        return folder / _run_backend("build_wheel", unpacked, folder), sdist


def _run_backend(hook: str, tree: Path, folder: Path) -> str:
    """A hook of PEP 517, with the setuptools of this environment; returns the file's name."""
    program = (
        "import sys, setuptools.build_meta as backend;"
        "print(getattr(backend, sys.argv[1])(sys.argv[2]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, hook, str(folder.resolve())],
        cwd=tree,
        env={**os.environ, "SOURCE_DATE_EPOCH": date_of_sources()},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"wheel: setuptools failed\n{done.stdout}{done.stderr}")
    return done.stderr.strip().splitlines()[-1]


def main() -> None:
    """Build, and say what was written."""
    for path in build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist")):
        print(path)


if __name__ == "__main__":
    main()
