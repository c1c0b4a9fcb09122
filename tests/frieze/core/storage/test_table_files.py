import csv
import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import FeatureFileError, check_table_file, write_table_file

FORMS = pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl", "CSV"])


@pytest.fixture(scope="module")
def table():
    """Two rows of every kind of column that a table of ours may have."""
    columns = {
        "id": pa.array(['a,"b"\nc', None]),
        "score": pa.array([0.1, float("nan")], pa.float32()),
        "big": pa.array([2**63, 1], pa.uint64()),
        "half": pa.array(np.array([0.5, 2], np.float16)),
        "flag": pa.array([True, None]),
        "list": pa.array([["x", "y"], []]),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array([1.5, 2, 3, 4], pa.float32()), 2),
        "struct": pa.array([{"a": 1, "b": None}, None]),
        "bytes": pa.array([b"\xff\x00", None]),
        "time": pa.array([dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC), None]),
        "label": pa.array(["cat", "cat"]).dictionary_encode(),
    }
    return pa.table(columns)


def test_parquet_keeps_all(table, tmp_path):
    """A .parquet file has the columns as they are."""
    write_table_file(tmp_path / "new" / "t.parquet", table.schema, [table])
    assert pq.read_table(tmp_path / "new" / "t.parquet").schema.equals(table.schema)


def test_csv_is_text(table, tmp_path):
    """A .csv file has a line of names and a line a row; lists, vectors, structs and bytes are JSON text."""
    write_table_file(tmp_path / "t.csv", table.schema, [table[:1], table[1:]])
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["id"], first["score"], first["big"], first["label"]) == ('a,"b"\nc', "0.1", str(2**63), "cat")
    message = {name: json.loads(first[name]) for name in ("list", "vector", "struct", "bytes")}
    assert message == {"list": ["x", "y"], "vector": [1.5, 2.0], "struct": {"a": 1, "b": None}, "bytes": "/wA="}
    assert (second["id"], second["flag"], second["struct"], second["list"]) == ("", "", "", "[]")


def test_json_lines_are_objects(table, tmp_path):
    """A .jsonl file has an object a line, valid JSON whatever the values are."""
    write_table_file(tmp_path / "t.jsonl", table.schema, [table[:1], table[1:]])
    lines = (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()
    first, second = (json.loads(line, parse_constant=pytest.fail) for line in lines)
    assert list(first) == table.column_names
    assert (first["big"], first["vector"], first["time"][:19]) == (2**63, [1.5, 2.0], "2024-05-06T07:08:09")
    assert (second["id"], second["score"], second["label"]) == (None, None, "cat")


@FORMS
def test_force_replaces_what_is_ours(suffix, table, tmp_path):
    """A table is known by its columns in each form, also one of no rows; another one stays."""
    path, names = tmp_path / f"t.{suffix}", table.column_names
    for rows in (table, table[:0]):
        write_table_file(path, rows.schema, [rows])
        check_table_file(path, lambda actual: actual == names, "things", force=True)
        with pytest.raises(FeatureFileError, match="already exists"):
            check_table_file(path, lambda actual: actual == names, "things", force=False)
    write_table_file(path, table.schema, [table])
    with pytest.raises(FeatureFileError, match="holds no things"):
        check_table_file(path, lambda actual: actual == ["id"], "things", force=True)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b'"text"', b"1"])
@FORMS
def test_force_replaces_no_other_file(suffix, content, tmp_path):
    """A file that is no table stays."""
    (tmp_path / f"t.{suffix}").write_bytes(content)
    with pytest.raises(FeatureFileError, match="holds no things"):
        check_table_file(tmp_path / f"t.{suffix}", lambda actual: actual == ["id"], "things", force=True)
