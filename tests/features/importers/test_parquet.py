import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieze.core import InputError
from frieze.features.importers.parquet import choose_embedding, read_batches, read_head, read_vectors, to_columns

LISTS = {
    "list": pa.list_(pa.float32()),
    "large_list": pa.large_list(pa.float64()),
    "fixed_size_list": pa.list_(pa.float16(), 2),
    "integers": pa.list_(pa.uint8()),
    "tensor": pa.fixed_shape_tensor(pa.float32(), [2]),
}
"""Types whose columns may hold vectors."""
OTHERS = [pa.float32(), pa.string(), pa.list_(pa.string()), pa.list_(pa.list_(pa.float32())), pa.list_(pa.bool_())]


def _schema(**types):
    return pa.schema(list(types.items()))


@pytest.mark.parametrize("kind", LISTS.values(), ids=LISTS)
def test_the_only_column_of_lists_is_taken(kind, tmp_path):
    """Where one column holds lists of numbers, of whatever kind, it is the vectors."""
    schema = _schema(id=pa.string(), vec=kind, tags=pa.list_(pa.string()))
    assert choose_embedding(tmp_path, [schema], None) == "vec"


@pytest.mark.parametrize("kind", OTHERS, ids=str)
def test_other_columns_hold_no_vectors(kind, tmp_path):
    """A column of anything else is never taken for vectors; the message lists what there is."""
    with pytest.raises(InputError, match=r"one column of lists of numbers; .* has none, only: id, embedding"):
        choose_embedding(tmp_path, [_schema(id=pa.string(), embedding=kind)], None)


def test_embedding_is_the_usual_name(tmp_path):
    """Of several columns of lists `embedding` is taken, unless another is asked for."""
    schema = _schema(a=LISTS["list"], embedding=LISTS["list"])
    assert [choose_embedding(tmp_path, [schema], requested) for requested in (None, "a")] == ["embedding", "a"]


def test_several_columns_of_lists(tmp_path):
    """Several columns of lists and no name are refused, with all their names and the option."""
    schema = _schema(a=LISTS["list"], b=LISTS["integers"], c=pa.string())
    with pytest.raises(InputError, match="has these: a, b") as caught:
        choose_embedding(tmp_path, [schema], None)
    assert caught.value.hint == "Name the column with `embedding='COLUMN'`."


def test_a_column_that_is_not_there(tmp_path):
    """A column that was asked for and holds no vectors is never replaced by another."""
    with pytest.raises(InputError, match=r"Expected a column b of lists of numbers; .* has these: a\."):
        choose_embedding(tmp_path, [_schema(a=LISTS["list"], b=pa.string())], "b")


def test_every_file_has_the_column(tmp_path):
    """A column that one file lacks, or has of another kind, does not hold the vectors."""
    one, other = _schema(a=LISTS["list"], b=LISTS["list"]), _schema(a=pa.string(), b=LISTS["large_list"])
    assert choose_embedding(tmp_path, [one, other], None) == "b"


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), data=st.data())
def test_reading_begins_at_any_row(sizes, data, tmp_path_factory):
    """From whatever row on, over whatever row groups, the rows are those that pyarrow reads, in order."""
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    with pq.ParquetWriter(path, pa.schema([("a", pa.int64())])) as writer:
        for number, size in enumerate(sizes):
            writer.write_table(pa.table({"a": np.arange(size) + 100 * number}))
    start = data.draw(st.integers(0, sum(sizes)))
    read = [row for batch in read_batches(path, start) for row in batch["a"].to_pylist()]
    assert read == pq.read_table(path)["a"].to_pylist()[start:]


@pytest.mark.parametrize("kind", LISTS.values(), ids=LISTS)
def test_vectors_come_as_lists(kind, tmp_path):
    """Vectors of each kind are read as Arrow lists, beside the other columns."""
    lists = pa.array([[1, 2], [3, 4]], getattr(kind, "storage_type", kind))
    column = pa.ExtensionArray.from_storage(kind, lists) if isinstance(kind, pa.BaseExtensionType) else lists
    pq.write_table(pa.table({"id": ["a", "b"], "vec": column}), tmp_path / "v.parquet")
    ((columns, read),) = read_vectors(tmp_path / "v.parquet", "vec", 0)
    assert ([*columns], columns["id"].to_pylist(), read.to_pylist()) == (["id"], ["a", "b"], [[1, 2], [3, 4]])
    assert not isinstance(read.type, pa.BaseExtensionType)


def test_a_name_with_a_dot(tmp_path):
    """A column whose name has a dot is read alone."""
    pq.write_table(pa.table({"a": [1], "a.b": [2]}), tmp_path / "v.parquet")
    (batch,) = read_batches(tmp_path / "v.parquet", columns=["a.b"])
    assert to_columns(batch)["a.b"].to_pylist() == [2]


def test_two_columns_of_one_name(tmp_path):
    """A file with two columns of one name is refused: nobody could say which is meant."""
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "v.parquet")
    with pytest.raises(InputError, match=r"v\.parquet has two columns of one name"):
        read_head(tmp_path / "v.parquet")


@pytest.mark.parametrize("keep", [0, 4, 100, -9])
def test_a_cut_file(keep, tmp_path):
    """A file that was cut short is refused by its name."""
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"a": np.arange(1000)}), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"v\.parquet can't be read"):
        read_head(path)


def test_damage_behind_the_head(tmp_path):
    """A file whose values are damaged is refused by its name when these are read."""
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"a": np.arange(1000)}), path, compression="zstd", use_dictionary=False)
    data = path.read_bytes()
    path.write_bytes(data[:50] + bytes(500) + data[550:])
    with pytest.raises(InputError, match=r"v\.parquet can't be read"):
        list(read_batches(path))


def test_text_that_is_no_utf8(tmp_path):
    """Text that is not UTF-8 is found when it is read, not when it is shown."""
    text = pa.array([b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"a": text}), tmp_path / "v.parquet")
    with pytest.raises(InputError, match="UTF"):
        list(read_batches(tmp_path / "v.parquet"))


def test_a_row_group_is_not_held_whole(tmp_path):
    """Reading holds a few batches, also where the whole file is one row group."""
    path, n_rows = tmp_path / "v.parquet", 1 << 21
    pq.write_table(pa.table({"a": np.random.default_rng(0).random(n_rows)}), path, row_group_size=n_rows)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        batches = read_batches(path)
        next(batches)
        held = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before
    finally:
        tracemalloc.stop()
    assert held < path.stat().st_size / 4


def test_row_groups_before_the_first_row_are_not_read(tmp_path):
    """Reading from a row on does not touch the row groups before it."""
    path = tmp_path / "v.parquet"
    pq.write_table(
        pa.table({"a": np.arange(2000)}), path, row_group_size=1000, compression="zstd", use_dictionary=False
    )
    data = path.read_bytes()
    path.write_bytes(data[:50] + bytes(500) + data[550:])
    assert [row for batch in read_batches(path, 1500) for row in batch["a"].to_pylist()] == [*range(1500, 2000)]


ADVISED = {
    "bytes": ([b"\0" * 16] * 2, r"numpy\.frombuffer\(data, 'float32'\)"),
    "text": (["[1.0, 2.5]"] * 2, r"\.map\(json\.loads\)"),
}


@pytest.mark.parametrize("form", ADVISED)
def test_advice_on_other_forms(form, tmp_path):
    """Vectors as bytes or JSON texts are refused with the lines of Python that make lists of them, which run."""
    values, advice = ADVISED[form]
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"name": ["a", "b"], "embedding": values}), path)
    with pytest.raises(InputError, match=advice) as caught:
        choose_embedding(path, [pq.read_schema(path)], None)
    _follow(caught.value.hint, tmp_path)
    assert len(pq.read_table(tmp_path / "vectors.parquet")["embedding"][0]) == {"bytes": 4, "text": 2}[form]


NUMBERED = {
    "numbered": ({f"emb_{number}": [float(number)] for number in range(8)}, range(8)),
    "two": ({"x0": [0.0], "x1": [1.0]}, range(2)),
    "many": ({f"f{number}": [float(number)] for number in range(12)}, range(12)),
    "integers": ({f"pixel{number}": [number] for number in range(12)}, range(12)),
    "in the order of letters": ({name: [float(name[1:])] for name in sorted(f"e{n}" for n in range(12))}, range(12)),
    "padded": ({f"{number:03}": [float(number)] for number in range(12)}, range(12)),
    "beside others": ({"score": [9.0], "image": [b"abcd"], "e.0": [0.0], "t": ["x"], "e.1": [1.0]}, range(2)),
    "named": ({"red": [0.0], "name": ["a"], "green": [1.0], "year": [1999], "blue": [2.0]}, range(3)),
    "many names": ({f"x{letter}": [float(place)] for place, letter in enumerate("abcdefghijkl")}, range(12)),
}


@pytest.mark.parametrize("columns", NUMBERED)
def test_advice_on_columns_of_numbers(columns, tmp_path):
    """So are vectors of which each number is a column of its own, few or many, whatever else is there."""
    values, expected = NUMBERED[columns]
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"file": ["a"], **values}), path)
    with pytest.raises(InputError, match=r"has none") as caught:
        choose_embedding(path, [pq.read_schema(path)], None)
    assert "columns of one number each" in caught.value.hint
    _follow(caught.value.hint, tmp_path)
    assert pq.read_table(tmp_path / "vectors.parquet")["embedding"].to_pylist() == [[*map(float, expected)]]


def test_advice_on_columns_that_pandas_numbers(tmp_path):
    """The columns of `DataFrame(array)` have numbers for names, which pandas reads back as such: the advice runs."""
    path = tmp_path / "v.parquet"
    pd.DataFrame(np.arange(6.0).reshape(2, 3)).to_parquet(path)
    with pytest.raises(InputError) as caught:
        choose_embedding(path, [pq.read_schema(path)], None)
    _follow(caught.value.hint, tmp_path)
    assert pq.read_table(tmp_path / "vectors.parquet")["embedding"].to_pylist() == [[0, 1, 2], [3, 4, 5]]


def _follow(hint, folder):
    """Do what a message says, in a folder."""
    lines = hint.partition("in Python: ")[2].replace("'vectors.parquet'", repr(str(folder / "vectors.parquet")))
    exec(lines, {})  # noqa: S102  our own words


def test_no_advice_where_nothing_may_be_meant(tmp_path):
    """A file with neither of these is told what is wanted, and not of an option that can't help."""
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"name": ["a"], "year": [1999]}), path)
    with pytest.raises(InputError) as caught:
        choose_embedding(path, [pq.read_schema(path)], None)
    assert caught.value.hint == "Give a file with a column of lists of numbers, one list a row; of images: frieze embed"
