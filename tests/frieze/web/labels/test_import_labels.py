"""A table of labels is read once, into a file of labels beside it."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError
from frieze.web.labels.import_labels import import_labels
from frieze.web.labels.label_file import LabelFile

IDS = pa.chunked_array([["a/1.jpg", "a/2.jpg", "b/3.jpg"]])


@pytest.fixture
def csv(tmp_path):
    """A CSV file with a label for two images, one without, and one that is not there."""
    path = tmp_path / "mine.csv"
    path.write_text("path,label\na/1.jpg,cat\nb/3.jpg,dog\na/2.jpg,\nz.jpg,cat\n")
    return path


def opened(path, **options):
    """Import a table and open what it was read into."""
    imported = import_labels(path, IDS, is_read_only=False, **options)
    return imported, LabelFile(imported.path)


def test_csv(csv):
    """Its labels are in the file, the table stays, and what names no image is counted."""
    before = csv.read_bytes()
    imported, file = opened(csv)
    assert imported.path.name == "mine.labels.parquet"
    assert {name: image.labels for name, image in file.read().items()} == {
        "a/1.jpg": {"label": "cat"},
        "b/3.jpg": {"label": "dog"},
    }
    assert csv.read_bytes() == before
    assert "Read 2 labels from" in imported.notes[0]
    assert "1 row of" in imported.notes[-1]


def test_only_once(csv):
    """What is there already is opened as it is, and a line says that the table is not read."""
    opened(csv)
    csv.write_text("id,label\na/1.jpg,bird\n")
    imported, file = opened(csv)
    assert file.read()["a/1.jpg"].labels == {"label": "cat"}
    assert "was read into" in imported.notes[0]


def test_plain_parquet(tmp_path):
    """A Parquet file of another program is such a table too; one that the page wrote is opened itself."""
    path = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"id": ["a/2.jpg"], "label": ["cat"]}), path)
    imported, file = opened(path)
    assert (imported.path.name, file.read()["a/2.jpg"].labels) == ("plain.labels.parquet", {"label": "cat"})
    assert import_labels(imported.path, IDS, is_read_only=False) == (imported.path, [])
    assert import_labels(tmp_path / "new.parquet", IDS, is_read_only=False) == (tmp_path / "new.parquet", [])


def test_read_only(csv, tmp_path):
    """A page that is read-only writes no file, and says what to type."""
    with pytest.raises(InputError, match="no file of labels that the page wrote") as error:
        import_labels(csv, IDS, is_read_only=True)
    assert "read_only" in error.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


@pytest.mark.parametrize("text", ["id,label\nz.jpg,cat\n", "colour,size\nred,3\n", ""])
def test_no_labels_of_these(csv, tmp_path, text):
    """A table that names no image, or has no such columns, is refused, and nothing is left behind."""
    csv.write_text(text)
    with pytest.raises(InputError):
        import_labels(csv, IDS, is_read_only=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]
