"""What the collection makes of what netfw says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PLUGINS = Path(__file__).parents[2] / "playbooks" / "plugins"


def plugin(name: str) -> ModuleType:
    """A file of the collection as a module."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, PLUGINS / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("status", "errors", "said"),
    [
        (4, "netfw: writing\n/x: no room\n  hint: make some\n", "/x: no room; hint: make some"),
        (3, "a:1:1: one\n  hint: h\nb:2:2: two\n", "a:1:1: one; hint: h\nb:2:2: two"),
        (70, "", "netfw ended with exit code 70 and said nothing"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_with_its_hint(status: int, errors: str, said: str) -> None:
    assert plugin("module_utils/program.py").said_last(status, errors) == said


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [("0.9.0", "0.10.0", True), ("0.10.0", "0.9.0", False), ("1.0", "1.0", False)],
)
def test_versions_are_compared_by_their_numbers(version: str, than: str, older: bool) -> None:
    assert plugin("module_utils/program.py").is_older(version, than) is older


def test_files_of_a_policy_stay_below_their_folder(tmp_path: Path) -> None:
    write_files = plugin("module_utils/program.py").write_files
    write_files(str(tmp_path), {"common/a.yaml": "x"})
    assert (tmp_path / "common" / "a.yaml").read_text() == "x"
    with pytest.raises(ValueError, match="not below"):
        write_files(str(tmp_path), {"../a.yaml": "x"})


def test_a_report_has_hosts_that_could_not_be_looked_at() -> None:
    audit = plugin("filter/audit.py")
    well = {
        "status": {"well": True, "change": {"number": 4, "policy_hash": "abcdef0123456789"}},
        "findings": [],
        "ledger": {"uses": [], "bits": {"packet": [{"mask": "0x10000", "owners": ["netfw"]}]}},
    }
    results = {
        "up": well,
        "down": {"unreachable": True, "msg": "Task failed: ssh\nConnection timed out"},
        "bare": {"failed": True, "msg": "there is no netfw on this host"},
    }
    report = audit.audit_report(results, "2026-01-31T12:00:00Z")
    assert report["hosts"]["down"]["fault"] == "unreachable: Connection timed out"
    assert report["summary"] == "3 hosts: 2 not seen (bare, down)"
    assert report["has"] == ["drift", "findings"]
    assert report["marks"] == {"packet": {"0x10000": {"hosts": ["up"], "owners": ["netfw"]}}}
    table = audit.audit_table(report)
    assert table[3].split() == ["up", "4", "abcdef012345", "0", "0", "0", "0x10000"]
    assert "bare: there is no netfw on this host" in table
