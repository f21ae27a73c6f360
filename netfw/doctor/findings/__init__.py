"""One file for each kind of finding: adding a file adds the kind."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from netfw.doctor.finding import FindingKind


def _load() -> dict[str, FindingKind]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    kinds = [
        cast("FindingKind", importlib.import_module(f"{__name__}.{name}"))
        for name in names
        if not name.startswith("_")
    ]
    return {kind.CODE: kind for kind in kinds}


FINDINGS: Mapping[str, FindingKind] = _load()
"""Every kind by its code, in the order of the files' names."""
