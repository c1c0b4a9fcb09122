import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions, read_labels
from frieze.embedder.sources.open import open_source

JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


@pytest.fixture
def folder(tmp_path):
    """A folder `photos` with `a.jpg`, `in/b.jpg` and `in/c.jpg`."""
    (tmp_path / "photos" / "in").mkdir(parents=True)
    for name in ("a.jpg", "in/b.jpg", "in/c.jpg"):
        (tmp_path / "photos" / name).write_bytes(JPEG)
    return tmp_path / "photos"


@pytest.fixture
def labelled(folder, tmp_path):
    """`labelled(text, **options)`: the rows of the folder with labels from a file of this text."""

    def write_and_open(text, source=folder, name="labels.csv", **options):
        (tmp_path / name).write_text(text)
        opened = open_source(str(source), SourceOptions(labels=str(tmp_path / name), **options))
        return opened.listing.images.to_pylist()

    return write_and_open


def labels(rows):
    """Return id -> label."""
    return {row["id"]: row["label"] for row in rows}


def test_join(labelled):
    """Labels are joined by id, whatever the order; an image that the file does not name has none."""
    actual = labels(labelled("id,label\nin/c.jpg,7\nelsewhere.jpg,x\na.jpg,007\n"))
    assert actual == {"a.jpg": "007", "in/b.jpg": None, "in/c.jpg": "7"}


@pytest.mark.parametrize(("row", "named"), [("IN/B.jpg", "1, such as IN/B.jpg for in/b.jpg"), ("b.jpg", None)])
def test_capitals(row, named, folder, tmp_path):
    """A note names rows that match no image, but would if capitals were ignored; they match none all the same."""
    (tmp_path / "labels.csv").write_text(f"id,label\na.jpg,x\n{row},y\n")
    source = open_source(str(folder), SourceOptions(labels=str(tmp_path / "labels.csv")))
    assert source.n_unmatched == 1
    assert [note.rpartition(": ")[2].rstrip(".") for note in source.notes if "capital" in note] == [named] * bool(named)


def test_user_columns(labelled):
    """All other columns come along, null where an image is not named."""
    actual = {
        row["id"]: (row["split"], row["source_width"]) for row in labelled("id,label,split,width\na.jpg,x,test,3\n")
    }
    assert actual == {"a.jpg": ("test", 3), "in/b.jpg": (None, None), "in/c.jpg": (None, None)}


def test_codes_stay_text(labelled):
    """A column of codes stays as written."""
    assert labelled("id,label,cam\na.jpg,x,00\nin/b.jpg,x,01\n")[0]["cam"] == "00"


def test_columns_replace_those_of_the_source(labelled, tmp_path):
    """A column of the file takes the place of the source's own one of its name; labels too."""
    (tmp_path / "photos" / "m.csv").write_text("path,label,year,kept\na.jpg,old,1,x\nin/b.jpg,old,2,y\n")
    rows = labelled("id,label,year\na.jpg,new,1999\n", source=tmp_path / "photos" / "m.csv")
    assert [(row["label"], row["year"], row["kept"]) for row in rows] == [("new", 1999, "x"), (None, None, "y")]


@pytest.mark.parametrize("header", ["path,class", "file_name,Label", "ID,label"])
def test_usual_names(header, labelled):
    """Ids and labels are found under their common names."""
    assert labels(labelled(f"{header}\na.jpg,x\n"))["a.jpg"] == "x"


def test_named_columns(labelled):
    """--id and --label name the file's columns."""
    assert labels(labelled("Photo,id,Kind\na.jpg,1,x\n", id="Photo", label="Kind"))["a.jpg"] == "x"


def test_one_column_for_both(labelled):
    """A column may be named for ids and labels at once."""
    assert labels(labelled("id,x\na.jpg,1\n", label="id"))["a.jpg"] == "a.jpg"


def test_parquet(labelled, folder, tmp_path):
    """A Parquet file of labels is as good."""
    columns = {"id": ["a.jpg"], "label": pa.array(["x"]).dictionary_encode()}
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    opened = open_source(str(folder), SourceOptions(labels=str(tmp_path / "labels.parquet")))
    assert labels(opened.listing.images.to_pylist())["a.jpg"] == "x"


def test_no_number_is_no_label(tmp_path):
    """A number that is none (NaN) is no label, and no id."""
    nan = float("nan")
    pq.write_table(pa.table({"id": [1.0, 2.0, nan], "label": [nan, 7.0, 8.0]}), tmp_path / "labels.parquet")
    file = read_labels(tmp_path / "labels.parquet")
    assert (file.ids.to_pylist(), file.labels.to_pylist()) == (["1", "2"], [None, "7"])


def test_rows_without_an_id(labelled):
    """Rows without an id name nothing."""
    assert labels(labelled("id,label\n,x\n,y\nin/b.jpg,z\n")) == {"a.jpg": None, "in/b.jpg": "z", "in/c.jpg": None}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("id,label\nx,x\ny,y\n", {}, r"names no image of the source: its ids are x, y, the source's a\.jpg, in/b\.jpg"),
        ("id,label\n", {}, r"names no image of the source: its ids are none"),
        ("id,label\na.jpg,x\na.jpg,y\n", {}, r"names 1 id more than once: a\.jpg\."),
        ("label,x\na,b\n", {}, r"has no column of ids; there are: label, x\."),
        ("id,x\na,b\n", {}, r"has no column of labels; there are: id, x\."),
        ("id,label\na.jpg,x\n", {"label": "kind"}, r"has no column of labels of the name kind; there are: id, label\."),
        ("id,label\na.jpg,x\n", {"id": "key"}, r"has no column of ids of the name key; there are: id, label\."),
        ("id,label\na.jpg,x\n", {"image": "path"}, r"has no columns, so `image='path'` means nothing there"),
    ],
)
def test_refused(text, options, message, labelled):
    """A file that can't be joined is rejected: it names nothing, names an id twice, or lacks a column."""
    with pytest.raises(InputError, match=message):
        labelled(text, **options)


def test_no_file(folder):
    """What is neither a known word nor a table is rejected with both."""
    with pytest.raises(InputError, match=r"`labels` is flder, which is no table of labels\.") as caught:
        open_source(str(folder), SourceOptions(labels="flder"))
    assert caught.value.hint.endswith("`labels` may also be folder or none.")


def test_missing_file(folder):
    """A file that does not exist is named."""
    with pytest.raises(InputError, match=r"nosuch\.csv can't be read: No such file or directory"):
        open_source(str(folder), SourceOptions(labels="nosuch.csv"))


def test_a_folder_has_no_columns(folder):
    """A name of a column means nothing in a folder."""
    with pytest.raises(InputError, match=r"photos has no columns, so `label='kind'` means nothing there"):
        open_source(str(folder), SourceOptions(label="kind"))


def test_labels_alone(tmp_path):
    """Read by itself, a file gives ids and labels as text, and no other column unless it is requested."""
    (tmp_path / "labels.csv").write_text("path;Kind;year\na.jpg;007;1999\n;x;2000\nb.jpg;;2001\n")
    file = read_labels(tmp_path / "labels.csv", label="Kind")
    assert (file.uri, file.label) == (str(tmp_path / "labels.csv"), "Kind")
    assert (file.ids.to_pylist(), file.labels.to_pylist()) == (["a.jpg", "b.jpg"], ["007", None])
    assert file.columns.column_names == []
    assert read_labels(tmp_path / "labels.csv", label="Kind", with_columns=True).columns["year"].to_pylist() == [
        1999,
        2001,
    ]


def test_found_rows(tmp_path):
    """Images find their rows by id in their own order; rows that name none are counted."""
    (tmp_path / "labels.csv").write_text("id,label\na,x\nb,y\nghost,z\n")
    at, *others = read_labels(tmp_path / "labels.csv").find(pa.chunked_array([["b", "c", "a"]]), of="table")
    assert (at.to_pylist(), others) == ([1, None, 0], [1, ()])


def test_a_file_need_not_be_of_a_source(tmp_path):
    """Where no source is meant, the hint names no option of one."""
    (tmp_path / "labels.csv").write_text("id,label\na,x\n")
    with pytest.raises(InputError, match=r"of the table: its ids are a, the table's b\.") as caught:
        read_labels(tmp_path / "labels.csv").find(pa.chunked_array([["b"]]), of="table")
    assert "`id`" not in caught.value.hint
    assert "`labels` a CSV" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("id,label\nb.jpg,x\nelse/a.jpg,y\ngone.jpg,z\n", "file name"),
        ("id,label\nD:\\set\\b.jpg,x\nD:\\set\\a.jpg,y\n", "file name"),
        ("id_code,label\nb,x\na,y\n", "file name without its extension"),
        ("id,label\nb.png,x\na.png,y\n", "file name without its extension"),
    ],
)
def test_matched_by_name(text, how, folder, tmp_path):
    """Where no row has an image's id, rows and images are matched by the file's name, and this is noted."""
    (tmp_path / "labels.csv").write_text(text)
    options = SourceOptions(labels=str(tmp_path / "labels.csv"), id="id_code" if "id_code" in text else None)
    source = open_source(str(folder), options)
    assert labels(source.listing.images.to_pylist()) == {"a.jpg": "y", "in/b.jpg": "x", "in/c.jpg": None}
    assert source.n_unmatched == text.count("gone")
    assert source.notes == (f"{tmp_path}/labels.csv was matched by {how}: none of its ids is an id that frieze wrote.",)


def test_ids_come_before_names(labelled):
    """Where one row has an image's id, the others need one, too."""
    assert labels(labelled("id,label\nin/b.jpg,x\nc.jpg,y\n")) == {"a.jpg": None, "in/b.jpg": "x", "in/c.jpg": None}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("id,label\nb.jpg,x\n", r"in/b\.jpg and other/b\.jpg"),
        ("id,label\nx/c.jpg,x\ny/c.jpg,y\n", r"x/c\.jpg and y/c\.jpg"),
    ],
)
def test_two_of_one_name(text, named, folder, labelled):
    """A name that two images or two rows have is rejected, naming both; one that nobody asks for does not matter."""
    (folder / "other").mkdir()
    (folder / "other" / "b.jpg").write_bytes(JPEG)
    with pytest.raises(InputError, match=rf"refers to images by file name, and {named} share one\."):
        labelled(text)
    assert labels(labelled("id,label\nc.jpg,x\n"))["in/c.jpg"] == "x"
