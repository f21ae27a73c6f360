"""The configuration that the running kernel was built with, where it says so."""

from __future__ import annotations

import gzip
import platform
from pathlib import Path

from netfw.facts.kernel_config import missing_options


def read_missing_options() -> frozenset[str]:
    """What it was built without, of what rules about marks need; nothing where it does not say.
    Raises OSError where the file is broken."""
    packed = Path("/proc/config.gz")
    if packed.is_file():
        return missing_options(gzip.decompress(packed.read_bytes()).decode("ascii", "replace"))
    plain = Path(f"/boot/config-{platform.release()}")
    if plain.is_file():
        return missing_options(plain.read_text(encoding="ascii", errors="replace"))
    return frozenset()
