import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError, MismatchError
from frieze.features import VectorOptions
from frieze.features.importers.formats import open_vectors

ROWS = np.arange(6).reshape(3, 2)
OPTIONS = VectorOptions()


def _save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def _write(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def _read(files, start=0):
    """Return the vectors and the columns of all files from a row on."""
    batches = [batch for file in files.files for batch in file.read(start)]
    return [lists.to_pylist() for _, lists in batches], [
        {name: column.to_pylist() for name, column in columns.items()} for columns, _ in batches
    ]


@pytest.fixture
def clip(tmp_path):
    """Return what clip-retrieval made: numbers 2 and 10, two rows and one."""
    for number, names in ((2, ["a", "b"]), (10, ["c"])):
        vectors = np.full((len(names), 2), number, np.float16)
        _save(tmp_path / "clip" / "img_emb" / f"img_emb_{number}.npy", vectors)
        _write(tmp_path / "clip" / "metadata" / f"metadata_{number}.parquet", image_path=names)
    return tmp_path / "clip"


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8", "g", "i1", "<u8", ">i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_number(tmp_path, dtype, order):
    """Arrays of any float or whole number, any byte order and either memory order give the same float32."""
    files = open_vectors(_save(tmp_path / "v.npy", ROWS.astype(dtype, order=order)), OPTIONS)
    lists, _ = _read(files)
    assert (files.rows, lists) == (3, [ROWS.tolist()])
    assert next(iter(files.files[0].read(0)))[1].type == pa.list_(pa.float32(), 2)


def test_npy_from_a_row_on(tmp_path):
    """Reading begins at any row, with its id, and brings batches of 4,096."""
    rows = np.arange(10_000, dtype=np.float32)[:, None]
    options = VectorOptions(ids=_save(tmp_path / "ids.npy", np.arange(10_000)))
    lists, columns = _read(open_vectors(_save(tmp_path / "v.npy", rows), options), start=17)
    assert [len(batch) for batch in lists] == [4096, 4096, 1791]
    assert [row for batch in lists for row in batch] == rows[17:].tolist()
    assert [name for batch in columns for name in batch["id"]] == [str(row) for row in range(17, 10_000)]


def test_npy_too_large_for_float32(tmp_path):
    """A number beyond float32 becomes infinite, without a warning."""
    lists, _ = _read(open_vectors(_save(tmp_path / "v.npy", np.array([[1e300, -1e300]])), OPTIONS))
    assert lists == [[[np.inf, -np.inf]]]


NO_VECTORS = {
    "one axis": np.zeros(3, np.float32),
    "three axes": np.zeros((1, 2, 3), np.float32),
    "one number": np.float32(1),
    "no width": np.zeros((3, 0), np.float32),
    "complex": np.zeros((1, 2), complex),
    "truth": np.zeros((1, 2), bool),
    "words": np.array([["a"]]),
    "dates": np.zeros((1, 2), "datetime64[s]"),
    "records": np.zeros((1, 2), [("a", "f4")]),
}


@pytest.mark.parametrize("array", NO_VECTORS.values(), ids=NO_VECTORS)
def test_npy_that_holds_no_vectors(tmp_path, array):
    """An array that is not [N, D] of numbers is refused, with its shape and type."""
    with pytest.raises(InputError, match="holds no vectors: its shape is") as caught:
        open_vectors(_save(tmp_path / "v.npy", array), OPTIONS)
    assert str(np.shape(array)) in caught.value.message
    assert caught.value.hint == "Save numbers [N, D] with numpy.save('FILE.npy', vectors)."


def test_pickles_are_refused(tmp_path):
    """An array of Python objects is never unpickled."""
    with pytest.raises(InputError, match=r"v\.npy can't be read: .*Python objects"):
        open_vectors(_save(tmp_path / "v.npy", np.array([[None, 1]], object)), OPTIONS)


@pytest.mark.parametrize(("old", "new"), [(b"}", b" "), (b"'descr'", b"b'desc'"), (b": (", b": )")])
@pytest.mark.parametrize("ids", [False, True])
def test_an_npy_with_a_broken_header(tmp_path, old, new, ids):
    """A .npy file whose header is not closed, or makes no sense, is told by name, be it of vectors or of ids."""
    vectors, names = _save(tmp_path / "v.npy", ROWS), _save(tmp_path / "ids.npy", np.arange(3))
    path = names if ids else vectors
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(InputError, match=rf"{path.name} can't be read"):
        open_vectors(vectors, VectorOptions(ids=names))


@pytest.mark.parametrize("keep", [8, 40, 130])
def test_a_cut_npy(tmp_path, keep):
    """An array that was cut short is refused by its name."""
    path = _save(tmp_path / "v.npy", ROWS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"v\.npy can't be read"):
        open_vectors(path, OPTIONS)


@pytest.mark.parametrize("array", [np.zeros((0, 4), np.float32)])
def test_no_rows(tmp_path, array):
    """Files without rows are refused."""
    with pytest.raises(InputError, match=r"v\.npy holds no rows"):
        open_vectors(_save(tmp_path / "v.npy", array), OPTIONS)
    with pytest.raises(InputError, match=r"v\.parquet holds no rows"):
        open_vectors(_write(tmp_path / "v.parquet", a=pa.array([], pa.list_(pa.float32()))), OPTIONS)


@pytest.mark.parametrize("text", ["a\nb\nc\n", "a\r\nb\r\nc", "\ufeffa\nb\nc"])
def test_ids_in_text(tmp_path, text):
    """Ids stand one a line; neither the kind of line end nor a byte order mark gets into them."""
    (tmp_path / "ids.txt").write_bytes(text.encode())
    files = open_vectors(_save(tmp_path / "v.npy", ROWS), VectorOptions(ids=tmp_path / "ids.txt"))
    assert _read(files)[1] == [{"id": ["a", "b", "c"]}]
    assert [path.name for path in files.all_paths] == ["v.npy", "ids.txt"]


@pytest.mark.parametrize(
    "ids", [np.array(["ä b", "", "\n"]), np.array(["ä b", "", "\n"], dtype=object).astype("U9")], ids=["U3", "U9"]
)
def test_ids_in_npy(tmp_path, ids):
    """Ids may be a `.npy` of strings, whatever is in them."""
    options = VectorOptions(ids=_save(tmp_path / "ids.npy", ids))
    assert _read(open_vectors(_save(tmp_path / "v.npy", ROWS), options))[1] == [{"id": ["ä b", "", "\n"]}]


@pytest.mark.parametrize(("ids", "text"), [([b"x", b"y", b"z"], ["x", "y", "z"]), ([7, 8, 9], ["7", "8", "9"])])
def test_ids_that_become_text(tmp_path, ids, text):
    """Bytes and whole numbers become text."""
    options = VectorOptions(ids=_save(tmp_path / "ids.npy", np.array(ids)))
    assert _read(open_vectors(_save(tmp_path / "v.npy", ROWS), options))[1] == [{"id": text}]


@pytest.mark.parametrize("end", ["\n\n", "\n\n\n", "\r\n\r\n", "\n \t\n"])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
def test_blank_lines_at_the_end_are_no_ids(tmp_path, begin, end):
    """What editors leave at the end of a text, or put before its beginning, is no id; a blank id of a row is one."""
    (tmp_path / "ids.txt").write_bytes(f"{begin}a\nb\nc{end}".encode())
    files = open_vectors(_save(tmp_path / "v.npy", ROWS), VectorOptions(ids=tmp_path / "ids.txt"))
    assert _read(files)[1] == [{"id": ["a", "b", "c"]}]
    (tmp_path / "ids.txt").write_bytes(f"{begin}a\nb\n\n".encode())
    files = open_vectors(_save(tmp_path / "v.npy", ROWS), VectorOptions(ids=tmp_path / "ids.txt"))
    assert _read(files)[1] == [{"id": ["a", "b", ""]}]


def test_ids_of_another_count(tmp_path):
    """Ids that are not as many as the vectors are refused, with both counts."""
    (tmp_path / "ids.txt").write_text("a\nb\n")
    with pytest.raises(MismatchError, match=r"ids\.txt has 2 ids, but .*v\.npy has 3 rows"):
        open_vectors(_save(tmp_path / "v.npy", ROWS), VectorOptions(ids=tmp_path / "ids.txt"))


def test_ids_that_are_no_text(tmp_path):
    """Ids that are not UTF-8 are refused, with what is wanted."""
    (tmp_path / "ids").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match=r"ids can't be read: .*utf-8") as caught:
        open_vectors(_save(tmp_path / "v.npy", ROWS), VectorOptions(ids=tmp_path / "ids"))
    assert "one id a line" in caught.value.hint


def test_ids_that_are_not_there(tmp_path):
    """A file of ids that is not there is refused, and a pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", "pipe"):
        with pytest.raises(InputError, match=f"There is no file .*{name}"):
            open_vectors(_save(tmp_path / "v.npy", ROWS), VectorOptions(ids=tmp_path / name))


@pytest.mark.parametrize("ids", [np.zeros((3, 1)), np.zeros(3), np.array(["a", None, "c"], object)])
def test_ids_that_are_no_names(tmp_path, ids):
    """Arrays of anything but strings or whole numbers [N] are no ids, pickles least of all."""
    with pytest.raises(InputError, match=r"ids\.npy can't be read"):
        open_vectors(_save(tmp_path / "v.npy", ROWS), VectorOptions(ids=_save(tmp_path / "ids.npy", ids)))


def test_parquet(tmp_path):
    """A Parquet file is known by its first bytes, whatever it is called."""
    path = _write(tmp_path / "table.data", name=["a", "b"], v=[[1.0], [2.0]])
    files = open_vectors(path, OPTIONS)
    assert _read(files) == ([[[1], [2]]], [{"name": ["a", "b"]}])
    assert (files.rows, files.files[0].schema.names) == (2, ["name"])
    assert [one.to_pylist() for one in files.files[0].read_column("name")] == [["a", "b"]]


def test_folder_of_parquet(tmp_path):
    """The files of a folder come in the order of their names; hidden ones and others are left alone."""
    for name, value in (("b.parquet", 2), ("a.parquet", 1), (".c.parquet", 3), ("a.txt", 4)):
        _write(tmp_path / "t" / name, v=[[value]])
    (tmp_path / "t" / "d.parquet").mkdir()
    files = open_vectors(tmp_path / "t", OPTIONS)
    assert ([file.path.name for file in files.files], _read(files)[0]) == (["a.parquet", "b.parquet"], [[[1]], [[2]]])


def test_folder_of_nothing(tmp_path):
    """A folder without such files is refused, with all that is read."""
    with pytest.raises(InputError, match=r"holds no \.parquet file and no img_emb/") as caught:
        open_vectors(tmp_path, OPTIONS)
    assert all(word in caught.value.hint for word in (".npy", "Parquet", "clip-retrieval"))


def test_clip_retrieval(clip):
    """Vectors and metadata are tied together by number, in the order of the numbers, and by row."""
    files = open_vectors(clip, OPTIONS)
    assert _read(files) == ([[[2, 2], [2, 2]], [[10, 10]]], [{"image_path": ["a", "b"]}, {"image_path": ["c"]}])
    assert [path.name for path in files.all_paths] == [
        "img_emb_2.npy",
        "metadata_2.parquet",
        "img_emb_10.npy",
        "metadata_10.parquet",
    ]


def test_clip_retrieval_from_a_row_on(clip):
    """Both sides of a pair begin at the same row."""
    vectors = np.arange(5000, dtype=np.float32)[:, None] * [1, 1]
    _save(clip / "img_emb" / "img_emb_2.npy", vectors)
    _write(clip / "metadata" / "metadata_2.parquet", n=np.arange(5000))
    first, *_ = open_vectors(clip, OPTIONS).files
    for columns, lists in first.read(4100):
        assert [row[0] for row in lists.to_pylist()] == columns["n"].to_pylist() == [*range(4100, 5000)]


@pytest.mark.parametrize("lost", ["img_emb/img_emb_10.npy", "metadata/metadata_10.parquet"])
def test_clip_retrieval_without_a_partner(clip, lost):
    """A file without a partner is refused, with both counts and its number."""
    (clip / lost).unlink()
    with pytest.raises(MismatchError, match=r"[12] files img_emb.* and [12] metadata.* \(without a partner: 10\)"):
        open_vectors(clip, OPTIONS)


def test_clip_retrieval_without_metadata(tmp_path):
    """Vectors alone are refused: nothing would tell what they are of."""
    _save(tmp_path / "img_emb" / "img_emb_0.npy", ROWS)
    with pytest.raises(MismatchError, match=r"has 1 files .* and 0 metadata"):
        open_vectors(tmp_path, OPTIONS)


def test_clip_retrieval_of_other_counts(clip):
    """A pair with different row counts is refused, with both."""
    _save(clip / "img_emb" / "img_emb_10.npy", np.zeros((2, 2), np.float16))
    with pytest.raises(MismatchError, match=r"img_emb_10\.npy has 2 rows, but .*metadata_10\.parquet has 1"):
        open_vectors(clip, OPTIONS)


def test_clip_retrieval_of_other_widths(clip):
    """Files of different widths do not come from one network, and are refused."""
    _save(clip / "img_emb" / "img_emb_10.npy", np.zeros((1, 3), np.float16))
    with pytest.raises(MismatchError, match=r"img_emb_10\.npy have width 3, those of the first file 2"):
        open_vectors(clip, OPTIONS)


@pytest.mark.parametrize(
    ("kind", "option"),
    [("npy", "id"), ("npy", "embedding"), ("npy", "label"), ("parquet", "ids"), ("clip", "ids"), ("clip", "embedding")],
)
def test_options_that_do_not_go_with_a_kind(clip, tmp_path, kind, option):
    """An option that a kind of file has no use for is refused, never ignored."""
    paths = {
        "npy": _save(tmp_path / "v.npy", ROWS),
        "parquet": _write(tmp_path / "v.parquet", v=[[1]]),
        "clip": clip,
    }
    with pytest.raises(InputError, match=f"`{option}` is of no use here") as caught:
        open_vectors(paths[kind], VectorOptions(**{option: tmp_path if option == "ids" else "a"}))
    assert caught.value.hint == f"Leave `{option}` out."


@pytest.mark.parametrize("data", [b"", b"id,v\n1,2\n", b"\x89HDF\r\n"])
def test_unknown_files(tmp_path, data):
    """A file of another kind is refused, with how it begins and all that is read."""
    (tmp_path / "v.npy").write_bytes(data)
    with pytest.raises(InputError, match="is no file of vectors: it begins with") as caught:
        open_vectors(tmp_path / "v.npy", OPTIONS)
    assert "Parquet file" in caught.value.hint


def test_npz_is_refused(tmp_path):
    """An archive of arrays is refused, with the way to save the right one."""
    np.savez(tmp_path / "v.npz", vectors=ROWS)
    with pytest.raises(InputError, match="is an archive") as caught:
        open_vectors(tmp_path / "v.npz", OPTIONS)
    assert "numpy.save('FILE.npy', vectors)" in caught.value.hint


def test_nothing_there(tmp_path):
    """A path that is not there is refused, and a pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", "pipe"):
        with pytest.raises(InputError, match=f"There is no file or folder .*{name}"):
            open_vectors(tmp_path / name, OPTIONS)


@pytest.mark.parametrize("name", [b"v\xff.npy", "v \n\U0001f600.npy".encode()], ids=["no UTF-8", "emoji"])
def test_odd_names(tmp_path, name):
    """A file of any name is read; the place of its rows is text."""
    path = tmp_path / os.fsdecode(name)
    files = open_vectors(_save(path, ROWS), OPTIONS)
    assert _read(files)[0] == [ROWS.tolist()]
    assert files.files[0].place == (str(path) if name[1:2] == b" " else f"file://{tmp_path}/v%FF.npy")
