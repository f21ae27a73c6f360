"""Packs a folder of wheels into an archive for a host, with a pip that installs them there.

pack_wheels.py FOLDER ARCHIVE NETFW_VERSION: a wheel of pip comes from the folder, or else from
what Python or the distribution keep for new environments.
"""

from __future__ import annotations

import ensurepip
import os
import sys
import tarfile
from glob import glob

_PLACES = (
    os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"),
    "/usr/share/python-wheels",
)


def main(folder: str, archive: str, version: str) -> str:
    """Write the archive; what is wrong with the folder, or nothing."""
    wheels = glob(os.path.join(folder, "*.whl"))
    if not os.path.isdir(folder):
        return f"{folder}: there is no such folder; hint: netfw_wheels names it"
    if not any(os.path.basename(one).startswith(f"netfw-{version}-") for one in wheels):
        return f"{folder}: it has no wheel of netfw {version}; hint: 'make wheelhouse' fills one"
    pips = [pip for place in (folder, *_PLACES) for pip in glob(os.path.join(place, "pip-*.whl"))]
    if not pips:
        return f"{folder}: it has no wheel of pip; hint: pip download --dest {folder} pip"
    with tarfile.open(archive, "w") as packed:
        # Python runs a wheel of pip as it is, whatever the name
        packed.add(pips[0], "wheels/run/pip.whl")
        for path in wheels:
            packed.add(path, os.path.join("wheels", os.path.basename(path)))
    return ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
