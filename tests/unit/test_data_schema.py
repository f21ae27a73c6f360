"""What verbs print as data, and the schemas that say what that is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netfw.cli.main import main
from netfw.doctor.diagnosis import diagnose
from netfw.doctor.free_field import find_free
from netfw.doctor.ledger import make_ledger
from netfw.report.data_schema import DATA_SCHEMAS, data_schema
from netfw.report.doctor import diagnosis_data
from netfw.report.free_field import free_data
from netfw.report.ledger import ledger_data
from tests.data_schema import fitting, validator
from tests.unit.test_findings import by_mark, host

OVERWRITTEN = """\
mangle PREROUTING -j MARK --set-xmark 0x10000/0xf0000
mangle PREROUTING -j MARK --set-xmark 0x1/0xffffffff
filter FORWARD -m mark --mark 0x10000/0xf0000 -j ACCEPT"""


@pytest.mark.parametrize("name", DATA_SCHEMAS)
def test_every_schema_is_one_and_is_printed(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validator(name).schema["properties"]["schema"]["const"] == 1
    assert main(["schema", name]) == 0
    assert capsys.readouterr().out == data_schema(name)
    assert main(["schema", name, "--output", str(tmp_path / "x.json")]) == 0
    assert (tmp_path / "x.json").read_text() == data_schema(name)


@pytest.mark.parametrize("name", DATA_SCHEMAS)
def test_every_key_is_explained(name: str) -> None:
    keys = json.loads(data_schema(name))["properties"]
    assert [key for key, form in keys.items() if "description" not in form] == []


def test_what_is_printed_fits() -> None:
    state = host(OVERWRITTEN, by_mark(0x10000))
    found = fitting("doctor", diagnosis_data(diagnose(state)))
    assert found["findings"]
    assert fitting("marks", ledger_data(make_ledger(state)))["uses"]
    assert fitting("doctor-free", free_data(find_free(state)))["replaced_by"]


def test_packets_are_the_same_wherever_they_are_printed() -> None:
    doctor, trace = (json.loads(data_schema(name)) for name in ("doctor", "trace"))
    assert doctor["$defs"]["packet"] == trace["properties"]["packets"]["items"]
    assert {**doctor["$defs"], **trace["$defs"]} == doctor["$defs"]


def test_explanations_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain-finding", "--json"]) == 0
    assert len(fitting("explain-finding", json.loads(capsys.readouterr().out))["findings"]) > 20


def test_a_key_that_is_not_in_the_schema_does_not_fit() -> None:
    found = diagnosis_data(diagnose(host(OVERWRITTEN)))
    for spoilt in ({**found, "more": 1}, {**found, "schema": 2}, {**found, "errors": -1}):
        with pytest.raises(AssertionError):
            fitting("doctor", spoilt)
    del found["not_read"]
    with pytest.raises(AssertionError):
        fitting("doctor", found)
