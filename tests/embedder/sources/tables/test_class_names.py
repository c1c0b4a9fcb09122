import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions, read_labels
from frieze.embedder.sources.open import open_source

CLASSES = {"names": ["cat", "dog"], "_type": "ClassLabel"}
JPEG = b"\xff\xd8\xff\xe0"


@pytest.fixture
def write(tmp_path):
    """`write(columns, features)`: a Parquet file as Hugging Face's datasets write it; returns its path."""

    def write_table(columns, features):
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), tmp_path / "m.parquet")
        return str(tmp_path / "m.parquet")

    return write_table


def images(n, path="bytes"):
    """Return a column of n images: their bytes, or their paths."""
    return [{"bytes": JPEG, "path": None}] * n if path == "bytes" else [f"{number}.jpg" for number in range(n)]


def column_of(path, column="label", **options):
    """Return a column of a source's rows."""
    return open_source(path, SourceOptions(**options)).listing.images[column].to_pylist()


@pytest.mark.parametrize("path", ["bytes", "path"])
def test_names(path, write, tmp_path):
    """A label is the name of its class, where images are bytes and where they are paths; -1 and null are none."""
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(JPEG)
    file = write({"image": images(4, path), "label": [1, 0, -1, None]}, {"label": CLASSES})
    assert column_of(file) == ["dog", "cat", None, None]


def test_other_columns(write):
    """Other columns of classes hold names, too, and can be the label; what is no class stays."""
    columns = {"image": images(3), "kind": [0, 1, None], "year": [1, 0, 1], "all": [[0, 1], None, []]}
    features = {"kind": CLASSES, "year": {"_type": "Value"}, "all": {"_type": "Sequence", "feature": CLASSES}}
    file = write(columns, features)
    assert column_of(file, "kind") == column_of(file, label="kind") == ["cat", "dog", None]
    assert (column_of(file, "year"), column_of(file, "all")) == ([1, 0, 1], [["cat", "dog"], None, []])


@pytest.mark.parametrize(
    "features", [{}, [], {"label": None}, {"label": {"_type": "ClassLabel"}}, {"label": {"names": 3}}]
)
def test_no_names(features, write):
    """Without names in the metadata, or with metadata of another form, labels are numbers as text."""
    assert column_of(write({"image": images(2), "label": [0, 1]}, features)) == ["0", "1"]


def test_number_without_a_name(write):
    """A number that has no name is rejected."""
    file = write({"image": images(2), "label": [0, 7]}, {"label": CLASSES})
    with pytest.raises(
        InputError, match=r"column label of .*m\.parquet holds class 7, and its metadata name 2 classes"
    ):
        column_of(file)


def test_labels_file(write):
    """A file of labels is read by the same rule."""
    file = write({"id": ["a", "b"], "label": pa.array([1, 0], pa.int8())}, {"label": CLASSES})
    assert read_labels(file).labels.to_pylist() == ["dog", "cat"]
