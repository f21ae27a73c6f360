"""Packages of other releases of Debian, by an apt set-up of our own in the cache.

Where the packages come from is read from this machine's own package sources, which stay as they
are. ``NETFW_DEBIAN`` and ``NETFW_DEBIAN_SECURITY`` name other places, for a machine that is no
Debian.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.vm.cache import cache_folder, one_at_a_time
from tests.vm.unavailable import Unavailable

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PATIENCE = 300
"""Seconds that apt may take."""


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}


@functools.cache
def places() -> dict[str, str]:
    """Where Debian's archive (``main``) and its security updates (``security``) are.

    Raises Unavailable where this machine knows of none.
    """
    found = {}
    if shutil.which("apt-get") is None:
        raise Unavailable("no apt-get on this machine: kernels cannot be downloaded")
    listed = subprocess.run(
        ["apt-get", "indextargets", "Created-By: Packages", "Origin: Debian"],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
    for record in listed.stdout.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in record.splitlines() if ": " in line)
        label, place = fields.get("Label", ""), fields.get("Repo-URI", "")
        kind = "security" if label == "Debian-Security" else "main"
        if place:
            found.setdefault(kind, place)
    for kind, name in (("main", "NETFW_DEBIAN"), ("security", "NETFW_DEBIAN_SECURITY")):
        if os.environ.get(name):
            found[kind] = os.environ[name]
    if "main" not in found:
        raise Unavailable(
            "this machine's package sources name no archive of Debian (or its lists are missing: "
            "apt-get update); NETFW_DEBIAN=ADDRESS names one"
        )
    return found


def _line(place: str, suite: str) -> str:
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    return f"deb {signed}{place} {suite} main\n"


def source_lines(suites: Sequence[str]) -> list[str]:
    """Lines of a ``sources.list`` for some suites; those of security come from their own place,
    and are left out where that is not known."""
    known = places()
    lines = []
    for suite in suites:
        kind = "security" if suite.endswith("-security") else "main"
        if kind in known:
            lines.append(_line(known[kind], suite))
    return lines


class Archive:
    """Some suites of Debian, asked by apt without this machine's own lists and sources.

    Raises Unavailable, with apt's own reason.
    """

    def __init__(self, suites: Sequence[str]) -> None:
        lines = source_lines(suites)
        name = hashlib.sha256("".join(lines).encode()).hexdigest()[:12]
        self._folder = cache_folder("apt", name)
        self._suites = tuple(suites)
        for part in ("lists/partial", "archives/partial"):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        (self._folder / "sources.list").write_text("".join(lines))
        settings = {
            "Dir::Etc::sourcelist": self._folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::State::lists": self._folder / "lists",
            "Dir::State::status": self._folder / "status",
            "Dir::Cache": self._folder,
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "APT::Sandbox::User": "root",
        }
        self._options = [f"-o{key}={value}" for key, value in settings.items()]

    def _apt(self, program: str, *words: str, folder: Path | None = None) -> str:
        try:
            done = subprocess.run(
                [program, *self._options, *words],
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,
                timeout=PATIENCE,
                env=_environment(),
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{program} {words[0]} took more than {PATIENCE} s") from None
        if done.returncode:
            reasons = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:"))]
            what = "; ".join(reasons[:1]) or f"exit status {done.returncode}"
            said = " ".join(word for word in words if not word.startswith("-"))
            raise Unavailable(f"{program} {said} ({', '.join(self._suites)}): {what}")
        return done.stdout

    def update(self) -> None:
        """Read the archive's package lists anew."""
        # without this, a failure to download is a warning and no more
        self._apt("apt-get", "-q", "-oAPT::Update::Error-Mode=any", "update")

    def names(self, pattern: str) -> list[str]:
        """The names of all packages that a regular expression finds."""
        listed = self._apt("apt-cache", "search", "--names-only", pattern)
        return [line.partition(" ")[0] for line in listed.splitlines()]

    def download(self, packages: Sequence[str], folder: Path) -> list[Path]:
        """Put the newest version of packages into a folder as ``.deb`` files."""
        folder.mkdir(parents=True, exist_ok=True)
        self._apt("apt-get", "-q", "download", *packages, folder=folder)
        return sorted(folder.glob("*.deb"))


def unpack(packages: Sequence[Path], into: Path) -> None:
    """Unpack ``.deb`` files into a folder; none of their scripts is run."""
    into.mkdir(parents=True, exist_ok=True)
    for package in packages:
        done = subprocess.run(
            ["dpkg-deb", "-x", str(package), str(into)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"{package.name}: {done.stderr.strip()}")


__all__ = ["Archive", "one_at_a_time", "places", "source_lines", "unpack"]
