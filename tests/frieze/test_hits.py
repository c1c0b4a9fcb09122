"""Search hits of imported vectors: columns of any name and type, queries of zeros."""

import csv
import datetime as dt
import decimal
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frieze
from frieze.core import InputError

N = 40
USER_COLUMNS = {
    "score": pa.array([row * 100.0 for row in range(N)]),
    "rank": pa.array([row * 1000 for row in range(N)]),
    "query": pa.array([f"q{row}" for row in range(N)]),
    "source_rank": pa.array([f"s{row}" for row in range(N)]),
    "phash": pa.array([2**64 - 1 - row for row in range(N)], pa.uint64()),
    "taken": pa.array([dt.datetime(2024, 1, 1) + dt.timedelta(hours=row) for row in range(N)]),  # noqa: DTZ001
    "price": pa.array([decimal.Decimal(row) / 10 for row in range(N)], pa.decimal128(10, 2)),
    "raw": pa.array([bytes([row]) for row in range(N)]),
    "sharp": pa.array([float("nan")] * N),
    "nothing": pa.nulls(N),
}
IN_TABLES = {"score": "source_score", "rank": "source_source_rank", "query": "source_query"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An index of 40 images, named a0 to a39, with columns whose names hits need and whose types JSON lacks."""
    folder = tmp_path_factory.mktemp("hits")
    vectors = np.random.default_rng(0).normal(size=(N, 8)).astype(np.float32)
    columns = {"id": [f"a{row}" for row in range(N)], "embedding": vectors.tolist(), **USER_COLUMNS}
    pq.write_table(pa.table(columns), folder / "vectors.parquet")
    frieze.import_vectors(folder / "vectors.parquet", out=folder / "t.features")
    frieze.index(folder / "t.features", out=folder / "t.index")
    return folder


def test_a_column_named_score_is_beside_the_hits_score(world, run):
    """No column of the user is lost in a hit: `score` becomes `source_score`, with a note."""
    result = run("search", world / "t.index", "id:a5", "-k", 2, "--json")
    document = json.loads(result.stdout)
    (hit, _) = document["queries"][0]["hits"]
    assert (hit["score"], hit["source_score"]) == (pytest.approx(1), 500)
    assert (hit["rank"], hit["query"], hit["source_rank"]) == (5000, "q5", "s5")
    assert document["renamed"] == {"score": "source_score"}
    assert "column score is source_score" in result.stderr


def test_filters_take_the_names_of_hits(world):
    """A filter asks for a renamed column by either name; a name that stands for itself stays that column's."""
    for where in (
        "score > 3750",
        "source_score > 3750",
        "source_source_rank > 37500",
        "source_query in ('q38', 'q39')",
    ):
        actual = frieze.search(world / "t.index", "id:a5", where=where)["queries"][0]["hits"]
        assert {hit["id"] for hit in actual} == {"a38", "a39"}, where
    (hit,) = frieze.search(world / "t.index", "id:a5", where="source_rank = 's7'")["queries"][0]["hits"]
    assert hit["id"] == "a7"


def test_a_table_of_hits_has_the_types_of_the_index(world, tmp_path):
    """In Parquet every column of the user keeps its type and values, whatever JSON makes of them."""
    document = frieze.search(world / "t.index", ["id:a5", "id:a6"], k=3, out=tmp_path / "h.parquet")
    table = pq.read_table(tmp_path / "h.parquet")
    rows = [int(hit["id"][1:]) for actual in document["queries"] for hit in actual["hits"]]
    assert document["renamed"] == IN_TABLES
    assert table["rank"].to_pylist() == [1, 2, 3] * 2
    for name, values in USER_COLUMNS.items():
        column = table[IN_TABLES.get(name, name)]
        assert (column.type, str(column.to_pylist())) == (values.type, str(values.take(rows).to_pylist())), name


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_large_whole_numbers_in_every_form(suffix, world, tmp_path):
    """A perceptual hash of 64 bits is written digit by digit."""
    frieze.search(world / "t.index", "id:a5", k=1, out=tmp_path / f"h.{suffix}")
    assert "18446744073709551610" in (tmp_path / f"h.{suffix}").read_text()


def test_text_in_csv_is_not_quoted(world, tmp_path):
    """Decimals, which CSV has no form for, are text as it is."""
    frieze.search(world / "t.index", "id:a5", k=1, out=tmp_path / "h.csv")
    with (tmp_path / "h.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["price"], row["taken"][:19], row["source_query"]) == ("0.50", "2024-01-01 05:00:00", "q5")


def test_no_hits_are_a_table_too(world, tmp_path):
    """Where nothing passes the filter the table has all its columns and no row."""
    frieze.search(world / "t.index", "id:a5", where="score < 0", out=tmp_path / "h.parquet")
    table = pq.read_table(tmp_path / "h.parquet")
    assert (len(table), "source_score" in table.column_names) == (0, True)


def test_a_query_of_zeros_is_reported(world, run, tmp_path):
    """Whoever asks with a vector of zeros is reported that it is similar to nothing; by l2 it is a vector as any."""
    np.save(tmp_path / "q.npy", np.vstack([np.zeros((1, 8)), np.ones((1, 8))]).astype("f4"))
    result = run("search", world / "t.index", tmp_path / "q.npy", "-k", 1, "--json")
    assert json.loads(result.stdout)["zero_queries"] == [f"{tmp_path}/q.npy[0]"]
    assert "score 0 with every image" in result.stderr
    frieze.index(world / "t.features", out=tmp_path / "l2.index", metric="l2")
    assert frieze.search(tmp_path / "l2.index", tmp_path / "q.npy", k=1)["zero_queries"] == []


@pytest.mark.parametrize("query", [np.ones(7, np.float32), np.ones((2, 9), np.float32)])
def test_vectors_of_another_width_are_to_be_made_as_the_stored(query, world):
    """An index of imported vectors asks for vectors made as they were, not for `embed` with a file for a backbone."""
    with pytest.raises(InputError, match="of width 8") as caught:
        frieze.search(world / "t.index", query)
    assert "were computed: 8 numbers each" in caught.value.hint
    assert "frieze embed" not in caught.value.hint


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_stored_vectors_of_zeros_are_reported(metric, run, tmp_path):
    """An index says how many of its vectors are all zeros, and a search that finds such; by l2 these are as any."""
    vectors = np.random.default_rng(0).normal(size=(20, 8)).astype("f4")
    vectors[8:] = 0
    np.save(tmp_path / "v.npy", vectors)
    frieze.import_vectors(tmp_path / "v.npy", out=tmp_path / "t")
    result = run("index", tmp_path / "t", "--out", tmp_path / "i", "--metric", metric, "--json")
    assert json.loads(result.stdout)["n_zero"] == 12
    assert frieze.index(tmp_path / "t", out=tmp_path / "i")["n_zero"] == 12  # it is up to date
    actual = run("search", tmp_path / "i", "id:0", "-k", 20, "--json")
    nearest = run("search", tmp_path / "i", "id:0", "-k", 1, "--json")
    matters = metric != "l2"
    assert json.loads(actual.stdout)["n_zero"] == (12 if matters else None)
    assert ("all zeros: 12 of 20" in result.stderr, "all zeros: 12" in actual.stderr) == (matters, matters)
    assert nearest.stderr == ""
