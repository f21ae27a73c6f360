"""Whether data is as the schema says that goes with it."""

from __future__ import annotations

import functools
import json
from typing import Any

from jsonschema import Draft202012Validator

from netfw.report.data_schema import data_schema


@functools.cache
def validator(name: str) -> Draft202012Validator:
    """What checks the data of a verb."""
    schema = json.loads(data_schema(name))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def fitting(name: str, data: Any) -> Any:
    """The data again, which fits its schema; fails where it does not."""
    faults = [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(data)]
    assert faults == []
    return data
