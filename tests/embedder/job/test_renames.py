import hashlib

import numpy as np
import pyarrow as pa
import pytest

from frieze.core import ImageError
from frieze.embedder.job.renames import find_renamed
from frieze.embedder.sources import Source
from frieze.embedder.sources.base import Listing
from frieze.features import LISTING, PART, compare
from frieze.features.failures import to_failures

BYTES = {"a": b"one", "b": b"two", "c": b"six", "d": b"three"}


class Writer:
    """Stands in for a table: knows the hashes of what was stored."""

    def __init__(self, contents):
        self._contents = contents

    def hashes(self):
        """Give the hashes."""
        return pa.chunked_array([pa.array([hashlib.sha256(one).hexdigest() for one in self._contents], pa.string())])


def listed(contents, time):
    """Lay out images and their bytes as a listing."""
    rows = [{"id": name, "uri": name, "size_bytes": len(one), "mtime_ns": time} for name, one in contents.items()]
    return pa.Table.from_pylist(rows, schema=LISTING)


def source_rows(now, *, time, in_order=False, step=lambda *_: None):
    """Recognise images now, where `BYTES` were stored at time 1; gives origins, and the rows that were read."""
    stored = listed(BYTES, 1).append_column(PART, pa.array([0] * len(BYTES)))
    read = []

    def contents(rows):
        read.extend(rows.tolist())
        return [list(now.values())[row] for row in rows]

    images = listed(now, time)
    source = Source(Listing("/photos", images), contents, in_order)
    comparison = compare(images, stored, to_failures([]))
    found = find_renamed(comparison, source, Writer(BYTES.values()), workers=2, step=step)
    return found.tolist(), sorted(read)


def test_nothing_is_read_without_need():
    """What has its size and time, or can't be the same by its size, is not read."""
    assert source_rows(BYTES, time=1) == ([-1, -1, -1, -1], [])
    assert source_rows({"a": b"longer", "new": b"also longer"}, time=1) == ([-1, -1], [])


@pytest.mark.parametrize("in_order", [False, True])
def test_touched(in_order):
    """An image of another time is read, and is its own origin where its bytes are the same."""
    now = BYTES | {"b": b"tow"}
    assert source_rows(now, time=2, in_order=in_order) == ([0, -1, 2, 3], [0, 1, 2, 3])


def test_renamed():
    """A new image with the size of one that is gone is read, and has that one's row where the bytes are the same."""
    now = {"a": b"one", "x": b"six", "y": b"ten", "z": b"three", "w": b"seven!"}
    assert source_rows(now, time=1) == ([-1, 2, -1, 3, -1], [1, 2, 3])


def test_unreadable():
    """What can't be read any more has no origin, and the others have theirs."""
    stored = listed(BYTES, 1).append_column(PART, pa.array([0] * len(BYTES)))
    error = ImageError("read", "unreadable", "gone")
    images = listed(BYTES, 2)
    source = Source(Listing("/photos", images), lambda rows: [error if row == 1 else b"one" for row in rows])
    comparison = compare(images, stored, to_failures([]))
    found = find_renamed(comparison, source, Writer(BYTES.values()), workers=2, step=lambda *_: None)
    assert found.tolist() == [0, -1, -1, -1]


def test_progress():
    """Each image that was read is told."""
    told = []
    source_rows(BYTES, time=2, step=lambda *counts: told.append(counts))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_stopped():
    """Ctrl-C ends it at once: pieces that wait are not read."""
    many = {f"{number:05d}": b"one" for number in range(20_000)}

    def stop(done, _):
        if done == 3:
            raise KeyboardInterrupt

    stored = listed(dict.fromkeys(many, b"one"), 1).append_column(PART, pa.array([0] * len(many)))
    images, read = listed(many, 2), []
    source = Source(
        Listing("/photos", images), lambda rows: read.append(len(rows)) or [b"one"] * len(rows), in_order=True
    )
    comparison = compare(images, stored, to_failures([]))
    with pytest.raises(KeyboardInterrupt):
        find_renamed(comparison, source, Writer([b"one"] * len(many)), workers=1, step=stop)
    assert np.sum(read) < 20_000
