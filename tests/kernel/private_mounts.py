"""Whether a test may mount something where nobody else sees it."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def _may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return done.returncode == 0


needs_private_mounts = pytest.mark.skipif(
    not _may_mount(),
    reason="no mounts of one's own here: not root, or this root is no mount point (a chroot)",
)
