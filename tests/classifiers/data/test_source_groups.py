"""Rows that are cut from one file or image are grouped by it."""

import numpy as np
import pyarrow as pa
import pytest

from frieze.classifiers.data.source_groups import columns_to_group_by, cut_columns, find_relatives, number_wholes

FRAMES = ["a/clip.mp4/00:00.0", "a/clip.mp4/00:02.0", "anim.gif/3", "photo.jpg"]
FILES = ["a/clip.mp4", "a/clip.mp4", "anim.gif", None]


def rows(ids, **columns):
    """Return rows of a table."""
    return pa.table({"id": ids} | columns)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (rows(FRAMES, file=FILES), ("file",)),
        (rows(["1.jpg#0,0,9,9", "1.jpg#1,-1,9,9"], image=["1.jpg"] * 2), ("image",)),
        (rows(["a.gif/3#0,0,9,9"], image=["a.gif/3"], file=["a.gif"]), ("file", "image")),
        (rows(["a/12.jpg", "a/3.jpg"], file=["a", "a"]), ()),
        (rows(["a/12.jpg", "a/3.jpg"], image=[4, 5], file=[None, None]), ()),
        (rows(FRAMES), ()),
    ],
)
def test_columns(table, expected):
    """Only a column whose values the ids go on from says what rows are cut from; a user's of that name does not."""
    assert cut_columns(table) == expected


def test_what_is_in_no_file_is_grouped_by_its_image():
    """Of frames and boxes in one table, boxes of photographs are grouped by image."""
    ids = ["a.gif/0#0,0,9,9", "a.gif/1#0,0,9,9", "b.jpg#0,0,9,9", "b.jpg#1,1,9,9", "c.jpg"]
    table = rows(
        ids, file=["a.gif", "a.gif", None, None, None], image=["a.gif/0", "a.gif/1", "b.jpg", "b.jpg", "c.jpg"]
    )
    assert columns_to_group_by(table, "file") == ("file", "image")
    assert columns_to_group_by(table, "image") == ("image",)
    assert number_wholes(table).tolist() == [0, 0, 1, 1, -1]


@pytest.mark.parametrize(
    ("fitted", "expected"),
    [
        ("a/clip.mp4/00:07.0", [True, True, False, False]),
        ("a/clip.mp4/00:07.0#1,2,3,4", [True, True, False, False]),
        ("a/clip.mp4", [True, True, False, False]),
        ("photo.jpg#0,0,5,5", [False, False, False, True]),
        ("a/other.mp4/00:00.0", [False] * 4),
    ],
)
def test_relatives(fitted, expected):
    """Rows of another table are related to a frame or box by what both are cut from."""
    assert np.array_equal(find_relatives(rows(FRAMES, file=FILES), [fitted]), expected)
