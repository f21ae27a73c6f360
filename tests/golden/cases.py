"""Golden policies with all that lies beside them: further files, lists, facts, a lock file."""

from __future__ import annotations

from pathlib import Path

from netfw.policy.host_names import parse_host_names
from netfw.policy.library import Texts
from netfw.policy.lock import parse_lock
from netfw.policy.model import Policy
from netfw.policy.read import load_files
from netfw.policy.surroundings import Known

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/policy.yaml"))


def policy_of(case: str) -> Policy:
    """The policy of a case, whose other files are those beside it."""
    folder = HERE / case
    texts = {
        str(path.relative_to(folder)): path.read_text()
        for pattern in ("*.yaml", "*.txt")
        for path in folder.rglob(pattern)
    }
    facts, lock = folder / "facts.json", folder / "policy.yaml.lock"
    around = Known(
        parse_host_names(facts.read_text(), "facts.json") if facts.exists() else None,
        parse_lock(lock.read_text(), lock.name) if lock.exists() else {},
    )
    return load_files(("policy.yaml",), Texts(texts), surroundings=around)
