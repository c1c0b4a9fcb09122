import dataclasses
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieze.core import InputError
from frieze.features import VectorOptions, to_embeddings
from frieze.features.importers.columns import CHUNK_ROWS, find_width, map_columns, read_chunks
from frieze.features.importers.formats import open_vectors

OPTIONS = VectorOptions()
VECTORS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


@pytest.fixture
def write(tmp_path):
    """Write a Parquet file: (**columns) or (name=..., **columns) -> its path."""

    def write_columns(name="v.parquet", /, **columns):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"vec": VECTORS} | columns), tmp_path / name)
        return tmp_path / name

    return write_columns


@pytest.fixture(scope="session")
def rows_of(spec):
    """(path, **options) -> the rows of its parts as one table, and the failures."""

    def read(path, **requested):
        options = VectorOptions(**requested)
        files = open_vectors(path, options)
        mapping = map_columns(files, options, dataclasses.replace(spec, dim=find_width(files)))
        made = [mapping.to_rows(chunk) for _, chunks in read_chunks(files) for chunk in chunks]
        return pa.concat_tables([rows for rows, _ in made]), [failure for _, some in made for failure in some]

    return read


@pytest.fixture(scope="session")
def notes_of(spec):
    """(path) -> what its layout notes."""

    def lay(path):
        files = open_vectors(path, OPTIONS)
        return map_columns(files, OPTIONS, dataclasses.replace(spec, dim=find_width(files))).notes

    return lay


def _stored(table, *names):
    return [tuple(row.values()) for row in table.select(names).to_pylist()]


@given(sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=4), first=st.integers(0, 3))
def test_pieces_hold_4096_rows(sizes, first, tmp_path_factory):
    """Whatever the files' sizes, piece n holds the rows from n * 4,096 on, each once and in order."""
    folder = tmp_path_factory.mktemp("t")
    numbers = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    for number, some in enumerate(numbers):
        lists = pa.FixedSizeListArray.from_arrays(pa.array(some, pa.float32()), 1)
        table = pa.table({"n": some, "in_file": np.arange(len(some)), "vec": lists})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=1000)
    for number, chunks in read_chunks(open_vectors(folder, OPTIONS), first):
        read = [row for chunk in chunks for row in chunk.columns["n"].to_pylist()]
        assert read == [*range(number * CHUNK_ROWS, min((number + 1) * CHUNK_ROWS, sum(sizes)))]
        assert read == [row[0] for chunk in chunks for row in chunk.lists.to_pylist()]
        assert all(chunk.columns["in_file"][0].as_py() == chunk.first for chunk in chunks)


def _kinds_of_rows():
    number = st.one_of(st.floats(width=32), st.none(), st.just(1e300))
    return st.lists(st.one_of(st.none(), st.lists(number, max_size=3), st.just([1.0, 2.0])), min_size=1, max_size=30)


@given(vectors=_kinds_of_rows(), kind=st.sampled_from([pa.list_, pa.large_list]))
def test_only_whole_finite_vectors_are_stored(vectors, kind, tmp_path_factory, rows_of):
    """Rows of the common width with finite numbers are stored bit by bit; each other row is a failure."""
    path = tmp_path_factory.mktemp("t") / "v.parquet"
    vectors = [[1.0, 2.0]] * 31 + vectors  # the width that most have
    pq.write_table(pa.table({"v": pa.array(vectors, kind(pa.float64()))}), path)
    table, failures = rows_of(path)
    good = {}
    for row, vector in enumerate(vectors):
        with np.errstate(over="ignore"):
            floats = np.array(vector, np.float32) if vector else np.empty(0, np.float32)
        if floats.shape == (2,) and np.isfinite(floats).all():
            good[str(row)] = floats
    assert table["id"].to_pylist() == [*good]
    assert np.array_equal(to_embeddings(table["embedding"]), np.stack([*good.values()]))
    assert sorted(int(failure.id) for failure in failures) == sorted(set(range(len(vectors))) - {*map(int, good)})


@pytest.mark.parametrize(
    ("vector", "reason", "message"),
    [
        (None, "no vector", "there is no vector"),
        ([], "no vector", "there is no vector"),
        ([1.0], "wrong width", "the vector has 1 numbers; expected 2"),
        ([1.0, float("nan")], "not finite", "the vector holds infinite numbers or none"),
        ([1.0, None], "not finite", "the vector holds infinite numbers or none"),
        ([1.0, 1e39], "not finite", "the vector holds infinite numbers or none"),
    ],
)
def test_a_row_that_cannot_be_used(write, rows_of, vector, reason, message):
    """A row without a usable vector becomes a failure that says why and where; the others are stored."""
    path = write(vec=[VECTORS[0], vector, VECTORS[2]], id=["a", "b", "c"])
    table, (failure,) = rows_of(path)
    assert _stored(table, "id", "embedding") == [("a", VECTORS[0]), ("c", VECTORS[2])]
    assert (failure.id, failure.stage, failure.reason) == ("b", "embed", reason)
    assert (failure.uri, failure.message) == (f"{path}#1", f"{path}#1: {message}")


@pytest.mark.parametrize("kind", [pa.float16(), pa.float64(), pa.int8(), pa.uint64()])
def test_numbers_of_any_kind(write, rows_of, kind):
    """Lists of any float or whole number, of fixed size too, with missing rows, become float32."""
    vectors = pa.array([VECTORS[0], None, VECTORS[2]], pa.list_(kind, 2))
    table, failures = rows_of(write(vec=vectors))
    assert _stored(table, "id", "embedding") == [("0", VECTORS[0]), ("2", VECTORS[2])]
    assert [failure.reason for failure in failures] == ["no vector"]


def test_the_width_that_most_have(write):
    """The width is that of most of the first vectors, not of the first."""
    vectors = [None, [], [1.0], [1.0, 2.0], [3.0, 4.0]]
    assert find_width(open_vectors(write(vec=vectors), OPTIONS)) == 2


def test_a_first_vector_far_down(write):
    """The width is found behind thousands of empty rows."""
    vectors = pa.array([None] * 5000 + [[1.0, 2.0, 3.0]], pa.list_(pa.float32()))
    assert find_width(open_vectors(write(vec=vectors), OPTIONS)) == 3


def test_no_vector_at_all(write):
    """A column of empty rows is refused."""
    with pytest.raises(InputError, match="holds no vector: every row is empty"):
        find_width(open_vectors(write(vec=pa.array([None, []], pa.list_(pa.float32()))), OPTIONS))


def test_repeated_ids(write, rows_of):
    """Of rows with one id the first stays, over files too, and each other one is a failure."""
    write("t/0.parquet", id=["a", "b", "a"])
    table, failures = rows_of(write("t/1.parquet", id=["b", "c", "b"]).parent)
    assert _stored(table, "id", "embedding") == [("a", VECTORS[0]), ("b", VECTORS[1]), ("c", VECTORS[1])]
    assert [(one.id, one.stage, one.reason, one.uri.rpartition("/")[2]) for one in failures] == [
        ("a", "list", "repeated id", "0.parquet#2"),
        ("b", "list", "repeated id", "1.parquet#0"),
        ("b", "list", "repeated id", "1.parquet#2"),
    ]


def test_missing_ids(write, rows_of):
    """A row without an id is a failure under the name of its place; no other row's id is touched."""
    path = write(id=["a", None, "", None], vec=[*VECTORS, VECTORS[0]])
    table, failures = rows_of(path)
    assert table["id"].to_pylist() == ["a"]
    assert [(one.id, one.reason) for one in failures] == [(f"{path}#{row}", "no id") for row in (1, 2, 3)]


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([3, 2, 1], ["3", "2", "1"]),
        ([3.0, 20240101123456.0, 1e15 + 1], ["3", "20240101123456", "1000000000000001"]),
        (pa.array(["x", "y", "z"]).dictionary_encode(), ["x", "y", "z"]),
        (pa.array(["x", "y", "z"], pa.large_string()), ["x", "y", "z"]),
        (pa.array([b"x", b"y", b"z"]), ["x", "y", "z"]),
    ],
    ids=["int", "float", "dictionary", "large_string", "binary"],
)
def test_ids_become_text(write, rows_of, ids, text):
    """Ids of any plain type become text."""
    assert rows_of(write(id=ids))[0]["id"].to_pylist() == text


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([7, None, 8], ["7", None, "8"]),
        ([0.5, None, 1.5], ["0.5", None, "1.5"]),
        (pa.array(["x", None, "y"]).dictionary_encode(), ["x", None, "y"]),
        ([True, None, False], ["true", None, "false"]),
    ],
    ids=["int", "float", "dictionary", "bool"],
)
def test_labels_become_text(write, rows_of, labels, text):
    """Labels of any plain type become text, in the contract's own type; null stays null."""
    label = rows_of(write(label=labels))[0]["label"]
    assert (label.to_pylist(), label.type) == (text, pa.dictionary(pa.int32(), pa.string()))


def test_columns_that_are_asked_for(write, rows_of):
    """With --id and --label other columns serve; the usual ones are then the user's own."""
    path = write(id=[1, 2, 3], label=["a", "b", "c"], name=["x", "y", "z"], kind=[7, 8, 9])
    table, _ = rows_of(path, id="name", label="kind")
    assert _stored(table, "id", "label", "source_id", "source_label")[0] == ("x", "7", 1, "a")


@pytest.mark.parametrize("option", ["id", "label"])
@pytest.mark.parametrize("column", ["nope", "tags", "nothing"])
def test_columns_that_cannot_serve(write, rows_of, option, column):
    """A column that is not there, of lists, or empty, can be neither id nor label; the message lists what there is."""
    path = write(tags=[["a"], ["b"], ["c"]], nothing=pa.nulls(3))
    with pytest.raises(InputError, match=f"no column {column} that can be the {option}; it has: tags, not") as caught:
        rows_of(path, **{option: column})
    assert caught.value.hint == f"Name one of these with `{option}='COLUMN'`."


def test_columns_of_ours(write, rows_of):
    """Columns named as ours and of their type are taken as ours."""
    ours = {"uri": "http://a/1", "sha256": "ab" * 32, "size_bytes": 5, "mtime_ns": 6, "width": 7, "height": 8}
    table, _ = rows_of(write(vec=VECTORS[:1] * 3, **{name: [value] * 3 for name, value in ours.items()}))
    assert _stored(table, *ours) == [tuple(ours.values())] * 3
    assert not [name for name in table.column_names if name.startswith("source_")]


def test_columns_named_as_ours_of_another_type(write, rows_of):
    """Columns named as ours, of another type, are the user's: none is lost, none takes another's name."""
    path = write(width=["w"] * 3, uri=[1, 2, 3], sha256=[["s"]] * 3, source_width=[5, 6, 7], id=[["x"]] * 3)
    row = rows_of(path)[0].to_pylist()[0]
    assert (row["id"], row["width"], row["uri"], row["sha256"]) == ("0", None, f"{path}#0", None)
    assert (row["source_uri"], row["source_sha256"], row["source_id"]) == (1, ["s"], ["x"])
    assert (row["source_source_width"], row["source_width"]) == ("w", 5)


def test_user_columns_stay(write, rows_of):
    """The user's own columns keep their types and values, in their order."""
    tensor = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), [2]), pa.array(VECTORS, pa.list_(pa.float32(), 2))
    )
    mine = {
        "text": pa.array(["ä", None, "c"]),
        "kind": pa.array(["x", None, "x"]).dictionary_encode(),
        "when": pa.array([1, None, 3], pa.timestamp("us")),
        "meta": pa.array([{"a": [1]}, None, {"a": []}]),
        "nothing": pa.nulls(3),
        "other": tensor,
        "raw": pa.array([b"\xff", None, b""]),
    }
    table, _ = rows_of(write(**mine), embedding="vec")
    assert table.column_names[-len(mine) :] == [*mine]
    assert all(table[name].combine_chunks().equals(column) for name, column in mine.items())


def test_files_with_other_columns(write, rows_of):
    """Files of one folder may lack a column, or have a narrower type: what is missing is null."""
    write("t/0.parquet", a=pa.array([1, 2, 3], pa.int32()), vec=pa.array(VECTORS, pa.large_list(pa.float64())))
    table, _ = rows_of(write("t/1.parquet", a=pa.array([4, 5, 6], pa.int64()), b=["x"] * 3).parent)
    assert _stored(table, "a", "b")[2:4] == [(3, None), (4, "x")]
    assert table.schema.field("a").type == pa.int64()


def test_files_that_do_not_fit_together(write, rows_of):
    """Files of one folder whose columns have no common type are refused by the column's name."""
    write("t/0.parquet", a=["x"] * 3)
    with pytest.raises(InputError, match=r"do not fit together: .*a has incompatible types"):
        rows_of(write("t/1.parquet", a=[1, 2, 3]).parent)


def test_numbers_out_of_range(write, rows_of):
    """A number that our column can't hold is refused with the file's name, not cut."""
    with pytest.raises(InputError, match=r"v\.parquet can't be read: .*4294967296"):
        rows_of(write(width=[1, 2**32, 3]))


def test_row_numbers_name_their_file(write, rows_of):
    """Where there are no ids the row's number is the id, after the file's name in a folder of files."""
    path = write("t/0.parquet")
    assert rows_of(path)[0]["id"].to_pylist() == ["0", "1", "2"]
    write("t/1.parquet")
    assert rows_of(path.parent)[0]["id"].to_pylist()[2:4] == ["0.parquet/2", "1.parquet/0"]


def test_names_that_are_no_text(write, rows_of):
    r"""A file name that is not UTF-8 has `\xNN` in ids, and makes a URL of the uri."""
    path = write("t/v.parquet")
    path.rename(path.with_name(os.fsdecode(b"v\xff.parquet")))
    row = rows_of(path.parent)[0].to_pylist()[0]
    assert row["id"] == "v\\xff.parquet/0"
    assert (row["uri"][:8], row["uri"][-17:]) == ("file:///", "/t/v%FF.parquet#0")


def test_uri_where_it_is_missing(write, rows_of):
    """A row without a uri gets the place where its vector is."""
    path = write(uri=["http://a", None, "http://c"])
    assert rows_of(path)[0]["uri"].to_pylist() == ["http://a", f"{path}#1", "http://c"]


@pytest.fixture
def clip(tmp_path):
    """(**columns) -> the folder that clip-retrieval made of two rows."""

    def write_clip(**columns):
        for name in ("img_emb", "metadata"):
            (tmp_path / "clip" / name).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "clip/img_emb/img_emb_0.npy", np.eye(2, dtype=np.float16))
        pq.write_table(pa.table(columns), tmp_path / "clip/metadata/metadata_0.parquet")
        return tmp_path / "clip"

    return write_clip


def test_clip_retrieval_ids(clip, rows_of):
    """The path of an image is its id and its uri, where no path repeats."""
    table, _ = rows_of(clip(image_path=["/a.jpg", "/b.jpg"], caption=["a", "b"]))
    assert _stored(table, "id", "uri", "caption") == [("/a.jpg", "/a.jpg", "a"), ("/b.jpg", "/b.jpg", "b")]
    assert "image_path" not in table.column_names


@pytest.mark.parametrize("paths", [["1", "1"], ["1", None]])
def test_clip_retrieval_paths_that_repeat(clip, rows_of, paths):
    """Where paths repeat or are missing, file and row are the id, and no row is lost."""
    table, failures = rows_of(clip(image_path=paths))
    assert _stored(table, "id", "image_path") == [("img_emb_0.npy/0", "1"), ("img_emb_0.npy/1", paths[1])]
    assert failures == []


def test_clip_retrieval_paths_that_were_asked_for(clip, rows_of):
    """With --id the column serves in any case: what repeats is a failure."""
    table, (failure,) = rows_of(clip(image_path=["1", "1"]), id="image_path")
    assert (table["id"].to_pylist(), failure.reason) == (["1"], "repeated id")


def test_clip_retrieval_uri(clip, rows_of):
    """The url is the uri where there is one, then the path, then the place of the vector."""
    folder = clip(url=["http://a", None], image_path=["1", None])
    assert rows_of(folder)[0]["uri"].to_pylist() == ["http://a", f"{folder}/img_emb/img_emb_0.npy#1"]
    assert rows_of(clip(url=[None, None], image_path=["1", "2"]))[0]["uri"].to_pylist() == ["1", "2"]


@pytest.mark.parametrize(
    ("hashes", "stored"),
    [
        (["AB" * 32, "", " "], ["ab" * 32, None, None]),
        ([None, "cd" * 32, "ef" * 32], [None, "cd" * 32, "ef" * 32]),
        (["", "", ""], [None] * 3),
    ],
)
def test_hashes_of_files(hashes, stored, write, rows_of, notes_of):
    """A column `sha256` of 64 hexadecimal digits is ours, in lower case; a blank is unknown."""
    path = write(sha256=hashes)
    assert rows_of(path)[0]["sha256"].to_pylist() == stored
    assert notes_of(path) == ()


@pytest.mark.parametrize(
    ("hashes", "why"),
    [
        (["x"] * 3, "it holds other things than 64 hexadecimal digits, such as 'x'"),
        (["ab" * 32, "N/A", None], "it holds other things than 64 hexadecimal digits, such as 'N/A'"),
        (["0" * 64] * 3, "rows 0 and 1 have the same one, and other vectors (rows are counted from 0)"),
        (
            ["ab" * 32, "cd" * 32, "AB" * 32],
            "rows 0 and 2 have the same one, and other vectors (rows are counted from 0)",
        ),
    ],
)
def test_no_hashes_of_files(hashes, why, write, rows_of, notes_of):
    """Any other column `sha256`, or one that other vectors share, is the user's own, and a note says why."""
    path = write(sha256=hashes)
    table, _ = rows_of(path)
    assert table["sha256"].null_count == len(table)
    assert table["source_sha256"].to_pylist() == hashes
    assert notes_of(path) == (f"the column sha256 is stored as source_sha256: {why}",)


def test_copies_of_one_file(write, rows_of, notes_of):
    """Rows of one hash may differ by what computing them twice does, over files and beside rows of no use too."""
    write("t/0.parquet", sha256=["ab" * 32] * 3, vec=[[1.0, 2.0], None, [1.0001, 1.9999]])
    path = write("t/1.parquet", sha256=["ab" * 32] * 3, vec=[[1.0, 2.0], [float("nan"), 1.0], [1.0, 2.0]]).parent
    assert notes_of(path) == ()
    assert rows_of(path)[0]["sha256"].to_pylist() == ["ab" * 32] * 4


def _write_indexed(path, index):
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame({"vec": VECTORS}, index=index).to_parquet(path)
    return path


def test_range_of_pandas(tmp_path, rows_of, notes_of):
    """A range named `id` is the ids, from any row on; of another name it is a column, that --id takes."""
    path = _write_indexed(tmp_path / "v.parquet", pd.RangeIndex(5, 11, 2, name="id"))
    assert (rows_of(path)[0]["id"].to_pylist(), notes_of(path)) == (["5", "7", "9"], ())
    (file,) = open_vectors(path, OPTIONS).files
    assert [columns["id"].to_pylist() for columns, _ in file.read(1)] == [[7, 9]]
    other = _write_indexed(tmp_path / "w.parquet", pd.RangeIndex(5, 8, name="n"))
    assert _stored(rows_of(other)[0], "id", "n") == [("0", 5), ("1", 6), ("2", 7)]
    assert rows_of(other, id="n")[0]["id"].to_pylist() == ["5", "6", "7"]


def test_range_that_begins_anew(tmp_path, rows_of, notes_of):
    """Where each file of a folder has the same range, no row is lost: ids are row numbers, and a note says so."""
    for name in ("0.parquet", "1.parquet"):
        path = _write_indexed(tmp_path / "t" / name, pd.RangeIndex(3, name="id")).parent
    table, failures = rows_of(path)
    assert (len(table), failures) == (6, [])
    assert notes_of(path)[0].startswith("ids are row numbers; the index of pandas")


@pytest.mark.parametrize(
    ("index", "note"),
    [
        (pd.RangeIndex(3), None),
        (pd.RangeIndex(5, 8), "range(5, 8), is not taken"),
        (pd.Index(["a", "b", "c"]), "is in the column __index_level_0__: --id __index_level_0__ takes it"),
        (pd.Index(["a", "b", "c"], name="name"), "is in the column name: --id name takes it"),
        (pd.Index(["a", "b", "c"], name="id"), None),
    ],
)
def test_index_of_pandas(index, note, tmp_path, notes_of):
    """Where ids are row numbers though there is an index, a note says where that is."""
    notes = notes_of(_write_indexed(tmp_path / "v.parquet", index))
    assert (not notes) if note is None else notes[0].endswith(note)


@pytest.mark.parametrize(
    "metadata", ["", "no JSON", "{}", '{"index_columns": 1}', '{"index_columns": [{"kind": "range"}]}']
)
def test_broken_index_of_pandas(metadata, write, rows_of, notes_of):
    """What can't be read as pandas's words is nothing to us, nor a range of another length."""
    longer = '{"index_columns": [{"kind": "range", "name": "id", "start": 0, "stop": 9, "step": 1}]}'
    for text in (metadata, longer):
        path = write()
        pq.write_table(pq.read_table(path).replace_schema_metadata({"pandas": text}), path)
        assert rows_of(path)[0]["id"].to_pylist() == ["0", "1", "2"]
        assert len(notes_of(path)) == (text == longer)


@pytest.mark.parametrize("name", ["0.parquet", "9.parquet"])
def test_an_empty_file_among_others(name, write, rows_of):
    """A file without a row is passed over, whatever its types, as the first one and as the last."""
    nothing = {"vec": pa.nulls(0), "id": pa.nulls(0), "year": pa.nulls(0)}
    write(f"t/{name}", **nothing)
    table, failures = rows_of(write("t/5.parquet", id=["a", "b", "c"], year=[1, 2, 3]).parent)
    assert (_stored(table, "id", "year"), failures) == ([("a", 1), ("b", 2), ("c", 3)], [])


def test_a_file_that_calls_its_vectors_otherwise(tmp_path, write):
    """The file is named, and how to rename its column."""
    write("t/0.parquet")
    write("t/1.parquet")
    odd = tmp_path / "t" / "2.parquet"
    pq.write_table(pa.table({"emb": VECTORS}), odd)
    with pytest.raises(InputError, match=r"in the column vec; .*2\.parquet has none there, only: emb\.") as caught:
        open_vectors(odd.parent, OPTIONS)
    exec(caught.value.hint.removeprefix("Rename it, in Python: "))  # noqa: S102  what it says to type
    assert open_vectors(odd.parent, OPTIONS).rows == 9


def test_a_file_without_vectors(tmp_path, write):
    """The file is named, whichever column is asked for."""
    write("t/0.parquet")
    pq.write_table(pa.table({"vec": ["x"]}), tmp_path / "t" / "1.parquet")
    for requested in (OPTIONS, VectorOptions(embedding="vec")):
        with pytest.raises(InputError, match=r"1\.parquet has none there, only: vec\.") as caught:
            open_vectors(tmp_path / "t", requested)
        assert caught.value.hint == "Write it anew with the column vec, or move it to another folder."


def test_large_whole_numbers_beside_floats(write, rows_of):
    """What floats can't hold is refused with its column and what to type; what they can is taken."""
    write("t/0.parquet", year=[1, 2, 3], id=["a", "b", "c"])
    path = write("t/1.parquet", year=[0.5, None, 2.0], id=["d", "e", "f"]).parent
    assert rows_of(path)[0]["year"].to_pylist() == [1.0, 2.0, 3.0, 0.5, None, 2.0]
    write("t/0.parquet", year=[2**60 + 1, 2, 3], id=["a", "b", "c"])
    with pytest.raises(
        InputError, match=r"The column year of .*0\.parquet is int64 there, and double over all"
    ) as caught:
        rows_of(path)
    assert caught.value.hint.endswith("table['year'] = table['year'].astype('Int64')")
