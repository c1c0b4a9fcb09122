"""A CSV file of everything: the judges are pandas, DuckDB and the table itself."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import frieze
from frieze.api.exports import csv_file


@pytest.fixture
def opened(odd_table, odd_head, tmp_path):
    """`opened(**options)`: the exported table as pandas reads it, and what `export` said."""

    def export_and_open(**options):
        document = frieze.export(odd_table, out=tmp_path / "all.csv", format="csv", **options)
        return pd.read_csv(document["out"], keep_default_na=False, na_values={"year": ""}), document

    return export_and_open


def test_pandas_reads_the_columns(opened):
    """Every stored column but the vectors is there: text as it is, a list as JSON, a null as nothing."""
    frame, document = opened()
    assert frame["id"].tolist()[:4] == ["Bär.jpg", "=SUM(A1)", 'c,"d".jpg', "-5"]
    assert frame["label"].tolist()[:4] == ["bär", "", "owl", "owl"]
    assert frame["labels"].tolist()[:4] == ['["a", "b"]', "[]", "", '["c"]']
    assert frame["taken"].tolist()[1:3] == ["1970-01-02 00:00:00.000000", ""]
    assert np.isnan(frame["year"][1])
    assert (document["rows"], document["format"], document["stale"]) == (44, "csv", None)


def test_excel_knows_the_encoding(opened):
    """The file begins with the mark without which Excel reads UTF-8 as something else."""
    _, document = opened()
    assert Path(document["out"]).read_bytes()[:5] == b'\xef\xbb\xbf"i'


def test_duckdb_reads_it(opened):
    """DuckDB finds the same columns and values, without options."""
    duckdb = pytest.importorskip("duckdb")
    frame, document = opened()
    rows = duckdb.read_csv(document["out"]).project("id").fetchall()
    assert rows == [(name,) for name in frame["id"]]


def test_predictions(opened, odd_table, odd_head, tmp_path):
    """Predictions are those of `frieze predict`, and a user's column of that name gets another one."""
    frame, _ = opened(predictions=odd_head)
    frieze.predict(odd_head, odd_table, out=tmp_path / "p.csv")
    expected = pd.read_csv(tmp_path / "p.csv")
    for name in ("prediction", "probability", "abstained"):
        assert frame[name].tolist() == expected[name].tolist()
    assert frame["source_prediction"].tolist()[:4] == ["mine", "my own", "", "+49 30"]
    assert list(frame)[2:6] == ["label", "prediction", "probability", "abstained"]


def test_vectors(opened, odd_table):
    """With `vectors` each number has a column, exact to the last bit."""
    frame, _ = opened(vectors=True)
    numbers = frame.filter(like="embedding_").to_numpy(np.float32)
    assert np.array_equal(numbers, frieze.open_features(odd_table).embeddings())


def test_formulas_are_said(opened):
    """A note says how many texts Excel takes for formulas; a negative number is none."""
    _, document = opened()
    assert document["notes"] == [
        "Excel takes 1 text for formulas, since they begin with =, +, - or @: import these columns as text."
    ]


def test_more_than_excel_shows(monkeypatch):
    """A note says that a file has more rows or columns than a sheet."""
    assert csv_file._limits(1_048_575, 16_384) == []
    for size in ((1_048_576, 9), (9, 16_385)):
        assert "this one has more" in csv_file._limits(*size)[0]


def test_force_replaces_exports_only(opened, odd_table, tmp_path, run):
    """--force replaces an exported table, and no other CSV file."""
    opened()
    line = ("export", odd_table, "--format", "csv", "--out", tmp_path / "all.csv")
    assert [run(*line, *force).exit_code for force in ([], ["--force"])] == [1, 0]
    with (tmp_path / "all.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "label"], ["mine", "x"]])
    result = run(*line, "--force")
    assert (result.exit_code, "holds no exported table" in result.stderr) == (1, True)
    assert "mine" in (tmp_path / "all.csv").read_text()
