import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frieze.core import FeatureFileError
from frieze.features import Shard, open_features, open_writer, part_schema, to_part
from frieze.features.part_files import write_part

_FLOATS = st.floats(width=32, allow_nan=False)
_IDS = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5, unique=True)
VECTORS = [[1, 97, 1, 1], [1, 98, 2, 1]]  # of a and b, the first part's rows


def _columns(ids, spec):
    return dict.fromkeys(part_schema(spec).names, [None] * len(ids)) | {"id": ids, "uri": ids, "label": ids}


@settings(max_examples=30)
@given(ids=_IDS, data=st.data())
def test_written_is_read(ids, data, tmp_path_factory, spec, manifest):
    """Ids, labels and embeddings come back with the same bits, whatever text and floats they hold."""
    embeddings = data.draw(hnp.arrays(np.float32, (len(ids), 4), elements=_FLOATS))
    path = tmp_path_factory.mktemp("reader")
    with open_writer(path, manifest) as writer:
        writer.commit(Shard(0, np.arange(len(ids))), to_part(_columns(ids, spec), embeddings, part_schema(spec)))
    features = open_features(path)
    assert features.embeddings().tobytes() == embeddings.tobytes()
    assert (features.ids.tolist(), features.labels.tolist(), len(features)) == (ids, ids, len(ids))


def test_reading_order(table):
    """Rows come in the order of part number, then row; ids, labels, rows and embeddings agree in it."""
    features = open_features(str(table))
    assert features.ids.tolist() == ["a", "b", "c", "d"]
    assert features.embeddings()[:, 2].tolist() == [1, 2, 3, 4]
    assert features.rows["size_bytes"].to_pylist() == [1, 2, 3, 4]
    assert features.labels.tolist() == [None] * 4


@pytest.mark.parametrize(("batch_size", "lengths"), [(1, [1, 1, 1, 1]), (2, [2, 2]), (100, [2, 2])])
def test_batches(batch_size, lengths, table):
    """Batches hold at most so many rows, never span two parts, and joined are the table."""
    features = open_features(table)
    ids, embeddings = zip(*features.batches(batch_size), strict=True)
    assert [len(batch) for batch in ids] == lengths
    assert np.concatenate(ids).tolist() == features.ids.tolist()
    assert np.array_equal(np.concatenate(embeddings), features.embeddings())
    assert embeddings[0].dtype == np.float32


def test_rows_have_every_column_but_the_vectors(table):
    """The other columns are read without the embeddings."""
    columns = ["id", "uri", "label", "sha256", "size_bytes", "mtime_ns", "width", "height"]
    assert open_features(table).rows.column_names == columns


def test_rows_part_by_part(tmp_path, run, manifest, spec):
    """Part by part the rows are those of the whole, in its columns and types, whatever a part has of its own."""
    fields_of_parts = [pa.field("year", pa.int64())], [pa.field("year", pa.string()), pa.field("camera", pa.string())]
    with open_writer(tmp_path, manifest) as writer:
        for number, (fields, year) in enumerate(zip(fields_of_parts, (1999, "unknown"), strict=True)):
            schema = part_schema(spec, fields)
            columns = {key: [None] for key in schema.names} | {"id": [f"i{number}"], "uri": ["u"], "year": [year]}
            writer.commit(Shard(number, np.arange(1)), to_part(columns, np.zeros((1, 4), np.float32), schema))
    features = open_features(tmp_path)
    tables = list(features.row_tables())
    assert [table.schema for table in tables] == [features.rows.schema] * 2
    assert [table["year"].to_pylist() for table in tables] == [["1999"], ["unknown"]]
    assert pa.concat_tables(tables).equals(features.rows)


def test_empty_table(tmp_path, run, images, spec):
    """A table without rows has no ids, no labels and [0, D] embeddings."""
    run(tmp_path, images())
    features = open_features(tmp_path)
    assert (len(features), features.ids.tolist(), features.labels.tolist()) == (0, [], [])
    assert features.embeddings().shape == (0, spec.dim)
    assert list(features.batches()) == []


READINGS = {
    "rows": lambda features: features.rows,
    "row_tables": lambda features: list(features.row_tables()),
    "embeddings": lambda features: features.embeddings(),
    "batches": lambda features: list(features.batches()),
}
BREAKAGES = {
    "truncated": lambda part: part.write_bytes(part.read_bytes()[:-20]),
    "emptied": lambda part: part.write_bytes(b""),
    "missing": lambda part: part.unlink(),
    "garbled": lambda part: part.write_bytes(b"PAR1" + bytes(200) + part.read_bytes()[-300:]),
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_broken_part_is_named(reading, breakage, table):
    """A part that is cut, empty, missing or garbled is named, with the hint, however it is read."""
    part = table / "parts" / "part-000001.parquet"
    BREAKAGES[breakage](part)
    with pytest.raises(FeatureFileError) as caught:
        READINGS[reading](open_features(table))
    assert caught.value.message.startswith(f"{part} is missing or broken: ")
    assert caught.value.hint == (
        "Delete that file and run the command that made the table again: it writes its rows anew."
    )


@pytest.mark.parametrize("reading", READINGS)
def test_part_ahead_of_features_json(reading, table, rows, images):
    """A part that a crashed run rewrote is refused until a run has finished: no row is made up or left out."""
    write_part(rows(images(("c", 3, 1))), table / "parts" / "part-000001.parquet")
    with pytest.raises(FeatureFileError) as caught:
        READINGS[reading](open_features(table))
    assert "part-000001.parquet has 1 row, but features.json says 2" in caught.value.message
    assert caught.value.hint.endswith(f"frieze embed /photos --out {table}")


def test_unnamed_part_is_not_read(table, rows, images):
    """A part that features.json does not name yet is not read."""
    write_part(rows(images(("e", 5, 1))), table / "parts" / "part-000002.parquet")
    assert open_features(table).ids.tolist() == ["a", "b", "c", "d"]


def test_pandas_reads_a_part(table):
    """Pandas reads a part with no help from us: float32 vectors of D, and a null label as missing."""
    part = pd.read_parquet(table / "parts" / "part-000000.parquet")
    vectors = np.stack(part["embedding"])
    assert (vectors.dtype, vectors.tolist()) == (np.float32, VECTORS)
    assert (part["id"].tolist(), part["label"].isna().tolist()) == (["a", "b"], [True, True])


def test_polars_reads_a_part(table):
    """Polars reads a part with no help from us: an array column of float32, width D."""
    pl = pytest.importorskip("polars")
    part = pl.read_parquet(table / "parts" / "part-000000.parquet")
    assert part.schema["embedding"] == pl.Array(pl.Float32, 4)
    assert (part["id"].to_list(), part["embedding"].to_numpy().tolist()) == (["a", "b"], VECTORS)


def test_duckdb_reads_the_glob(table):
    """DuckDB reads `parts/*.parquet` with no help from us, in reading order."""
    duckdb = pytest.importorskip("duckdb")
    actual = duckdb.read_parquet(f"{table}/parts/*.parquet").project("id, embedding").fetchall()
    assert [name for name, _ in actual] == ["a", "b", "c", "d"]
    assert [list(vector) for _, vector in actual[:2]] == VECTORS


def test_user_columns_of_some_parts(table, manifest, spec):
    """A column that only later parts have is null in the rows of the earlier ones."""
    schema = part_schema(spec, [pa.field("camera", pa.string())])
    part = to_part(_columns(["e"], spec) | {"camera": ["Leica"]}, np.zeros((1, 4), np.float32), schema)
    with open_writer(table, manifest) as writer:
        writer.commit(Shard(2, np.arange(1)), part)
    assert open_features(table).rows["camera"].to_pylist() == [None] * 4 + ["Leica"]


def test_other_labels(table):
    """Under other labels a table is the same in all else, whole or part by part, and the stored one stays."""
    stored = open_features(table)
    features = stored.with_labels(["x", None, "y", "x"], labels_from={"column": "kind"})
    assert features.labels.tolist() == ["x", None, "y", "x"]
    assert features.rows.drop_columns("label").equals(stored.rows.drop_columns("label"))
    assert [part["label"].to_pylist() for part in features.row_tables()] == [["x", None], ["y", "x"]]
    assert all(part.schema == stored.rows.schema for part in features.row_tables())
    assert np.array_equal(features.embeddings(), stored.embeddings())
    assert (features.labels_from, stored.labels_from) == ({"column": "kind"}, None)
    assert stored.labels.tolist() == [None] * 4


def test_a_label_for_each_row(table):
    """More or fewer labels than rows are refused."""
    with pytest.raises(ValueError, match="3 labels for 4 rows"):
        open_features(table).with_labels(["x"] * 3, labels_from={"column": "kind"})
