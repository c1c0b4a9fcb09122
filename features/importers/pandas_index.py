"""The index of pandas in a Parquet file's metadata: a RangeIndex is only there, any other is a column too."""

import contextlib
import json
from typing import Any

import pyarrow as pa

_KEY = b"pandas"


def read_ranges(schema: pa.Schema, n_rows: int) -> dict[str, range]:
    """Return the named RangeIndexes that are no column and have `n_rows` values.

    >>> said = {"index_columns": [{"kind": "range", "name": "id", "start": 5, "stop": 8, "step": 1}]}
    >>> read_ranges(pa.schema([], metadata={"pandas": json.dumps(said)}), 3)
    {'id': range(5, 8)}
    """
    ranges = {str(one["name"]): _range(one) for one in _indexes(schema) if isinstance(one, dict) and one.get("name")}
    return {name: one for name, one in ranges.items() if name not in schema.names and len(one) == n_rows}


def describe_lost(schema: pa.Schema) -> str:
    """Return a note on a pandas index that the ids are not taken from; empty where there is none."""
    for one in _indexes(schema):
        name = one.get("name") if isinstance(one, dict) else one
        if name in schema.names:
            return f"ids are row numbers; the index of pandas is in the column {name}: --id {name} takes it"
        if isinstance(one, dict) and (name or (one.get("start"), one.get("step")) != (0, 1)):
            return f"ids are row numbers; the index of pandas, {_range(one)}, is not taken"
    return ""


def _indexes(schema: pa.Schema) -> list[Any]:
    """Return a column name or a range for each index; none where the file is not from pandas."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        indexes = json.loads((schema.metadata or {})[_KEY])["index_columns"]
        return [one for one in indexes if isinstance(one, str) or (isinstance(one, dict) and _is_range(one))]
    return []


def _is_range(one: dict[str, Any]) -> bool:
    bounds = [one.get(name) for name in ("start", "stop", "step")]
    return one.get("kind") == "range" and all(isinstance(bound, int) for bound in bounds) and bounds[2] != 0


def _range(one: dict[str, Any]) -> range:
    return range(one["start"], one["stop"], one["step"])
