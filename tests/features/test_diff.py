import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from frieze.features import LISTING, PART, Failure, compare
from frieze.features.failures import to_failures

NONE_FAILED = to_failures([])


def stored(images, part=0):
    """Return a listing as stored rows."""
    return images.append_column(PART, pa.array([part] * len(images), pa.int64()))


def with_column(images, values, name="year"):
    """Append a user column."""
    return images.append_column(name, pa.array(values))


def states(comparison):
    """Return the state of each listed image as a letter: Same, Failed, Changed, New."""
    marks = zip(comparison.is_same, comparison.has_failed, comparison.is_stored, strict=True)
    return "".join("S" if same else "F" if failed else "C" if known else "N" for same, failed, known in marks)


def test_id_size_and_time(images):
    """An image is the same with its name, size and time; it is changed with another size or time, else new."""
    before = stored(images(("a", 1, 1), ("b", 1, 1), ("c", 1, 1), ("gone", 1, 1)))
    now = images(("a", 1, 1), ("b", 2, 1), ("c", 1, 2), ("d", 1, 1))
    comparison = compare(now, before, NONE_FAILED)
    assert (states(comparison), comparison.removed.tolist()) == ("SCCN", [False, False, False, True])
    assert comparison.stored_rows.tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize(
    ("before", "now", "mark"),
    [
        ((1, 1), (1, None), "S"),
        ((1, 1), (None, 1), "S"),
        ((1, 1), (2, None), "C"),
        ((1, 1), (None, None), "C"),
        ((None, 1), (5, 1), "S"),
        ((None, None), (5, 1), "C"),
    ],
)
def test_unknown_size_or_time(before, now, mark, images):
    """An unknown size or time is ignored; where both are unknown, the image may have changed."""
    assert states(compare(images(("a", *now)), stored(images(("a", *before))), NONE_FAILED)) == mark


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ([1], [1], True),
        ([1], [2], False),
        ([None], [None], True),
        ([None], [1], False),
        ([float("nan")], [float("nan")], True),
        ([0.5], [float("nan")], False),
        ([[1, 2]], [[1, 2]], True),
        ([[1, 2]], [[2, 1]], False),
        ([{"a": None}], [{"a": 1}], False),
        ([1], ["1"], False),
        (["x"], ["y"], False),
    ],
)
def test_columns(old, new, is_same, images):
    """A changed user column makes the stored row out of date, not the image."""
    before, now = (with_column(images(("a", 1, 1)), values) for values in (old, new))
    comparison = compare(now, stored(before), NONE_FAILED)
    assert (comparison.is_same.tolist(), comparison.same_size_and_mtime.tolist()) == ([is_same], [True])


def test_dictionary_column(images):
    """Columns are compared by value, also where one is dictionary-encoded."""
    before = images(("a", 1, 1)).append_column("kind", pa.array(["x"]).dictionary_encode())
    assert states(compare(with_column(images(("a", 1, 1)), ["x"], "kind"), stored(before), NONE_FAILED)) == "S"


def test_new_column(images):
    """A new user column makes all rows out of date, and so does one that is missing now."""
    plain, dated = images(("a", 1, 1)), with_column(images(("a", 1, 1)), [1999])
    assert states(compare(dated, stored(plain), NONE_FAILED)) == "C"
    assert states(compare(plain, stored(dated), NONE_FAILED)) == "C"
    assert states(compare(plain, stored(with_column(plain, pa.nulls(1, pa.int64()))), NONE_FAILED)) == "S"


def test_failures(images):
    """An image that failed stays failed while its size and time are those of the failure."""
    failure = Failure("a", "/photos/a", "decode", "truncated", "cut", 1, 1)
    failed = to_failures(
        [failure, dataclasses.replace(failure, id="b"), dataclasses.replace(failure, id="c", mtime=None)]
    )
    comparison = compare(images(("a", 1, 1), ("b", 1, 2), ("c", 1, 5)), stored(images()), failed)
    assert states(comparison) == "FNF"
    assert comparison.is_among_failed.tolist() == [True, True, True]
    assert comparison.failures_of(np.array([False, False, True]))["id"].to_pylist() == ["c"]


def test_failures_of_a_listing(images):
    """An image that could not be listed before counts as failed, unless one of that id is stored unchanged."""
    failed = to_failures([Failure(name, f"/photos/{name}", "list", "repeated id", "again") for name in "ab"])
    comparison = compare(images(("a", 1, 1), ("b", 1, 1)), stored(images(("a", 1, 1))), failed)
    assert (states(comparison), comparison.is_among_failed.tolist()) == ("SN", [False, True])
    assert len(comparison.failures_of(np.array([True, True]))) == 0


def test_rows_below_what_could_not_be_listed_stay(images):
    """What could not be listed, and rows below it, are not removed; names that only share a prefix are."""
    before = stored(images(("a.tar/1", 1, 1), ("a.tarred", 1, 1), ("b/2", 1, 1), ("c", 1, 1)))
    for names, removed in (["a.tar", "c"], [False, True, True, False]), (["."], [False] * 4), ([], [True] * 4):
        unlisted = [Failure(name, "/elsewhere", "list", "unreadable", "cut") for name in names]
        assert compare(images(), before, NONE_FAILED, unlisted=unlisted).removed.tolist() == removed


def test_rows_of_a_shard_that_could_not_be_listed_stay_whatever_their_ids(images):
    """Rows with ids of the user's own are known by their uri to lie in a shard that could not be read to its end."""
    before = stored(images(("a.tar/1", 1, 1), ("a.tarred/2", 1, 1), ("b.tar/3", 1, 1)))
    before = before.set_column(0, LISTING.field("id"), pa.array(["one", "two", "three"]))
    unlisted = [Failure("shards/a.tar", "/photos/a.tar", "list", "unreadable", "cut")]
    assert compare(images(), before, NONE_FAILED, unlisted=unlisted).removed.tolist() == [False, True, True]


def test_column_called_part(images):
    """The user's own column `part` is no other than any."""
    now = with_column(images(("a", 1, 1)), ["wing"], "part")
    assert states(compare(now, stored(now), NONE_FAILED)) == "S"
