import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieze.embedder.sources import listing as collecting
from frieze.embedder.sources.listing import ImageRecord, build_listing
from frieze.features import LISTING


def image_records(*columns):
    """Create images with these columns of the user's."""
    return [
        ImageRecord(f"{number}.jpg", f"/{number}.jpg", None, 5, 6, 7, number, row) for number, row in enumerate(columns)
    ]


def values(images, name):
    """Collect images and give the type of a column, and its values."""
    column = build_listing(images).images[name]
    return str(column.type), column.to_pylist()


def test_nothing():
    """Of no images an empty listing is made."""
    collected = build_listing([])
    assert collected.images.schema == LISTING
    assert (len(collected.images), len(collected.files), len(collected.offsets)) == (0, 0, 0)


def test_rows():
    """An image's facts and columns become a row, and where it lies stays beside it."""
    collected = build_listing(
        [ImageRecord("a", "/a", "cat", 5, 6, 2, 80, {"year": 1999}), ImageRecord("b", "/b", None, None, None, 3, 90)]
    )
    assert collected.images.to_pylist() == [
        {"id": "a", "uri": "/a", "label": "cat", "size_bytes": 5, "mtime_ns": 6, "year": 1999},
        {"id": "b", "uri": "/b", "label": None, "size_bytes": None, "mtime_ns": None, "year": None},
    ]
    assert (collected.files.tolist(), collected.offsets.tolist()) == ([2, 3], [80, 90])


def test_duplicate_ids():
    """The first image of an id stays, with its place; the others are failures."""
    collected = build_listing([ImageRecord("a", f"/{number}", None, None, None, 0, number) for number in range(3)])
    assert (collected.images["uri"].to_pylist(), collected.offsets.tolist()) == (["/0"], [0])
    assert [(one.id, one.uri, one.reason) for one in collected.duplicates] == [
        ("a", "/1", "repeated id"),
        ("a", "/2", "repeated id"),
    ]


def test_reserved_column_names():
    """A column of the user's that has the name of one of ours gets another."""
    (row,) = build_listing(image_records({"label": "owl", "width": 3, "year": 1})).images.to_pylist()
    assert (row["label"], row["source_label"], row["source_width"], row["year"]) == (None, "owl", 3, 1)


@pytest.mark.parametrize("batch_rows", [1, 100])
def test_colliding_column_names(batch_rows, monkeypatch):
    """Where the other name is taken, in whatever batch, no value is lost or mistaken for another column's."""
    monkeypatch.setattr(collecting, "_BATCH_ROWS", batch_rows)
    images = build_listing(image_records({"uri": 1}, {"uri": 2, "source_uri": 3})).images
    assert (images["source_source_uri"].to_pylist(), images["source_uri"].to_pylist()) == ([1, 2], [None, 3])


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        ([1, None, 2], "int64", [1, None, 2]),
        ([1, 2.5], "double", [1.0, 2.5]),
        ([None, None], "null", [None, None]),
        ([1, None, "a"], "string", ["1", None, "a"]),
        ([True, 3], "string", ["True", "3"]),
        ([[], [1], None], "list<item: int64>", [[], [1], None]),
        ([[1], "a"], "string", ["[1]", "a"]),
        ([2**64, 1], "string", [str(2**64), "1"]),
        ([2**63, -1], "string", [str(2**63), "-1"]),
        ([np.float32([0.5, 1.5]), []], "list<item: float>", [[0.5, 1.5], []]),
        ([np.float32([0.5, 1.5]), ["a"]], "string", ["[0.5, 1.5]", "['a']"]),
    ],
)
def test_types(column, kind, expected, batch_rows, monkeypatch):
    """A column has the type that its values share, and is text where they share none, in one batch or in several."""
    monkeypatch.setattr(collecting, "_BATCH_ROWS", batch_rows)
    assert values(image_records(*({"own": value} for value in column)), "own") == (kind, expected)


def nest(levels):
    """Put a number into as many lists, one in the other."""
    return 1 if not levels else [nest(levels - 1)]


@pytest.mark.parametrize("levels", [45, 120])
def test_deep_columns(levels, tmp_path):
    """Values that are nested deeper than Parquet's readers go are text, so that what is written can be read."""
    images = build_listing(image_records({"own": nest(levels)})).images
    pq.write_table(images, tmp_path / "part.parquet")
    assert pq.read_table(tmp_path / "part.parquet")["own"].to_pylist() == [str(nest(levels))]


NAMES = st.sampled_from(["a", "uri", "source_uri"])
ROWS = st.lists(st.dictionaries(NAMES, st.integers(0, 9) | st.text("xy", max_size=2)), max_size=9)


@given(rows=ROWS, batch_rows=st.integers(1, 9))
def test_batches_leave_no_trace(rows, batch_rows):
    """The listing is the same however many images are turned into Arrow at a time."""
    expected = build_listing(image_records(*rows)).images.to_pylist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collecting, "_BATCH_ROWS", batch_rows)
        assert build_listing(image_records(*rows)).images.to_pylist() == expected
