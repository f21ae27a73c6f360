"""netfw as a Debian package, for the distribution on which this runs.

python .packaging/deb.py [--wheels DIRECTORY] [--quick] [DIRECTORY]: writes the package into
DIRECTORY (dist, unless it is named). Wheels are those of a wheelhouse, or are fetched.

What netfw needs comes from the distribution where that has it new enough; the rest lies beside
netfw in /usr/lib/netfw, which no other program looks into: the very versions of requirements.lock.
Who maintains the package is taken from DEBFULLNAME and DEBEMAIL, as Debian's own tools do.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from email.utils import formatdate
from importlib import metadata
from pathlib import Path

import completions
import man_pages
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from wheel import ROOT, build, date_of_sources
from wheelhouse import collect, needed_packages

from netfw import __version__

DISTRIBUTIONS_PYTHON = "/usr/bin/python3"
PRIVATE = "usr/lib/netfw"
LAUNCHER = f"""\
#!{DISTRIBUTIONS_PYTHON} -I
import sys

sys.path.insert(0, "/{PRIVATE}")

from netfw.cli.main import main

sys.exit(main())
"""
DEBIAN_NAMES = {"pyyaml": "yaml", "python-iptables": "iptables", "attrs": "attr"}
"""Where it is not simply python3- and the name."""
NOT_NEEDED = {"networkx", "setuptools"}
"""dd asks for these to draw diagrams and to be compiled; netfw does neither."""
NOTES_OF_PIP = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
"""What pip needs to uninstall, which is dpkg's part here."""
ONLY_TO_COMPILE = (".c", ".h", ".pyx", ".pxd")


class FromDistribution:
    """Knows which requirements the distribution meets; ``packages`` are those asked for that it
    does, with their versions."""

    def __init__(self, names: Iterable[str]) -> None:
        """Asks apt about packages for all these ``names`` at once: each question takes time."""
        self.packages: dict[str, str] = {}
        asked = ("apt-cache", "policy", *map(_debian_name, names))
        answer = _run(*asked, env={**os.environ, "LC_ALL": "C"})
        # the version that would be installed, without what Debian adds to it
        self._versions: dict[str, str] = dict(
            re.findall(r"^(\S+):\n.*\n  Candidate: (?:\d+:)?([\w.]+)", answer, re.MULTILINE)
        )

    def __call__(self, requirement: Requirement) -> bool:
        name = canonicalize_name(requirement.name)
        if name in NOT_NEEDED:
            return True
        package = _debian_name(name)
        version = self._versions.get(package, "")
        try:
            is_met = requirement.specifier.contains(Version(version), prereleases=True)
        except InvalidVersion:
            return False
        if is_met:
            self.packages[package] = version
        return is_met


def _debian_name(name: str) -> str:
    return f"python3-{DEBIAN_NAMES.get(name, name)}"


def main() -> None:
    """Build the package, and say what is in it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--quick", action="store_true", help="compress little")
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    python = _python_of_distribution()
    with tempfile.TemporaryDirectory(prefix="netfw-deb-") as scratch:
        tree = Path(scratch, f"netfw-{__version__}")
        there = FromDistribution(needed_packages("netfw"))
        vendored = sorted(needed_packages("netfw", there))
        wheels = arguments.wheels or Path(scratch, "wheels")
        if arguments.wheels is None:
            collect(vendored, wheels)
            build(wheels)
        _stage_modules(tree / "stage" / PRIVATE, ["netfw", *vendored], wheels)
        _stage_rest(tree / "stage" / "usr")
        _write_debian(tree, python, there.packages, vendored)
        shutil.copy2(ROOT / "CHANGELOG.md", tree)
        _build_package(tree, "-Zgzip -z1" if arguments.quick else "-Zxz")
        for package in Path(scratch).glob("*.deb"):
            print(shutil.move(package, folder / package.name))
    print(f"from the distribution: {', '.join(sorted(there.packages)) or 'nothing'}")
    print(f"in /{PRIVATE}: {', '.join(vendored) or 'nothing'}")


def _python_of_distribution() -> tuple[int, int]:
    """Its version, which must be that of this Python: compiled modules are for one alone."""
    asked = "import sys; print(*sys.version_info[:2])"
    major, minor = map(int, _run(DISTRIBUTIONS_PYTHON, "-c", asked).split())
    if (major, minor) != sys.version_info[:2]:
        sys.exit(
            f"deb: {DISTRIBUTIONS_PYTHON} is Python {major}.{minor}, and .venv has "
            f"{sys.version_info[0]}.{sys.version_info[1]}\n"
            f"  hint: make clean, then make PYTHON={DISTRIBUTIONS_PYTHON} deb"
        )
    return major, minor


def _stage_modules(target: Path, names: list[str], wheels: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install")
    how = ("--quiet", "--no-index", "--no-deps", "--no-compile", "--root-user-action=ignore")
    _run(*pip, *how, "--find-links", str(wheels), "--target", str(target), *names)
    for of_others in ("bin", "share"):
        shutil.rmtree(target / of_others, ignore_errors=True)
    for path in sorted(target.rglob("*")):
        if path.is_file():
            if path.suffix in ONLY_TO_COMPILE or path.name in NOTES_OF_PIP:
                path.unlink()
            elif path.suffix != ".so":
                path.chmod(0o644)


def _stage_rest(usr: Path) -> None:
    program = usr / "bin" / "netfw"
    program.parent.mkdir(parents=True)
    program.write_text(LAUNCHER)
    program.chmod(0o755)
    man_pages.main(usr / "share" / "man", int(date_of_sources()))
    for page in (usr / "share" / "man").glob("*.[15]"):
        section = page.parent / f"man{page.suffix[1:]}"
        section.mkdir()
        page.rename(section / page.name)
    completions.main(usr / "share")
    for name, place in (
        ("netfw.bash", "bash-completion/completions/netfw"),
        ("_netfw", "zsh/vendor-completions/_netfw"),
        ("netfw.fish", "fish/vendor_completions.d/netfw.fish"),
    ):
        (usr / "share" / place).parent.mkdir(parents=True)
        (usr / "share" / name).rename(usr / "share" / place)


def _write_debian(
    tree: Path, python: tuple[int, int], packages: dict[str, str], vendored: list[str]
) -> None:
    debian = tree / "debian"
    shutil.copytree(ROOT / ".packaging" / "debian", debian)
    maintainer = _maintainer()
    major, minor = python
    wanted = [f"python3 (>= {major}.{minor})", f"python3 (<< {major}.{minor + 1})"]
    wanted += [f"{package} (>= {version})" for package, version in sorted(packages.items())]
    control = (debian / "control.in").read_text()
    (debian / "control.in").unlink()
    (debian / "control").write_text(
        control.replace("@maintainer@", maintainer).replace("@python@", ", ".join(wanted))
    )
    (debian / "changelog").write_text(
        f"netfw ({_version()}) unstable; urgency=medium\n\n"
        "  * What has changed is told in changelog.gz.\n\n"
        f" -- {maintainer}  {formatdate(int(date_of_sources()))}\n"
    )
    (debian / "copyright").write_text(_copyright(vendored))
    for name, unit in (("netfw", "boot"), ("netfw-watch", "watch")):
        file = f"{'' if name == 'netfw' else 'netfw.'}{name}.service"
        (debian / file).write_text(_unit(unit))


def _version() -> str:
    """Ours, and the distribution for which it is made."""
    said = dict(
        line.rstrip().split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    distribution = "".join(said.get(key, "").strip('"') for key in ("ID", "VERSION_ID"))
    return f"{__version__}-1~{re.sub(r'[^a-z0-9.]', '', distribution)}"


def _maintainer() -> str:
    name = os.environ.get("DEBFULLNAME") or "netfw contributors"
    return f"{name} <{os.environ.get('DEBEMAIL') or 'netfw@example.org'}>"


def _unit(verb: str) -> str:
    """The unit as the installed program prints it."""
    from netfw.cli.main import main as run_netfw

    before, sys.argv[0] = sys.argv[0], "/usr/bin/netfw"
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            run_netfw([verb, "--unit"])
    finally:
        sys.argv[0] = before
    return printed.getvalue()


def _copyright(vendored: list[str]) -> str:
    """Ours, and of each package that comes with it whose it is and where its licence stands."""
    parts = [(ROOT / "LICENSE").read_text()]
    if vendored:
        parts.append(f"Below /{PRIVATE} lie, unchanged, programs of others:\n\n")
    for name in vendored:
        said = metadata.metadata(name).json
        author = said.get("author") or said.get("author_email") or "its authors"
        # what older packages have there may be the licence itself
        terms = str(said.get("license_expression") or said.get("license") or "").partition("\n")[0]
        classes = [
            line.rpartition(":: ")[2]
            for line in said.get("classifier", ())
            if line.startswith("License ::")
        ]
        parts.append(
            f"{said['name']} {said['version']}, by {author}: {terms or ', '.join(classes)};\n"
            f" see /{PRIVATE}/{name.replace('-', '_')}-{said['version']}.dist-info\n"
        )
    parts.append(
        "\nThe texts of the GNU General Public License, version 2, and of the Apache License,\n"
        "version 2.0, are in /usr/share/common-licenses/GPL-2 and\n"
        "/usr/share/common-licenses/Apache-2.0.\n"
    )
    return "".join(parts)


def _build_package(tree: Path, compression: str) -> None:
    if shutil.which("dh") is None:
        sys.exit(
            "deb: this machine lacks dh\n"
            "  hint: apt-get install --no-install-recommends debhelper, or make deb"
        )
    # without the records of dpkg-buildpackage, which are for an archive that takes uploads
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        "SOURCE_DATE_EPOCH": date_of_sources(),
    }
    _run("debian/rules", "binary", f"COMPRESSION={compression}", cwd=tree, env=environment)


def _run(*argv: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"deb: '{' '.join(argv[:4])} …' failed\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


if __name__ == "__main__":
    main()
