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
    """A fake table: the hashes of its rows."""

    def __init__(self, contents):
        self._contents = contents

    def hashes(self):
        """Return the hashes."""
        return pa.chunked_array([pa.array([hashlib.sha256(one).hexdigest() for one in self._contents], pa.string())])


def listed(contents, time):
    """Return the listing of images and their bytes."""
    rows = [{"id": name, "uri": name, "size_bytes": len(one), "mtime_ns": time} for name, one in contents.items()]
    return pa.Table.from_pylist(rows, schema=LISTING)


def source_rows(now, *, time, in_order=False, step=lambda *_: None):
    """Find the stored rows of images, where `BYTES` were stored at time 1; also return the rows that were read."""
    stored = listed(BYTES, 1).append_column(PART, pa.array([0] * len(BYTES)))
    read = []

    def contents(rows):
        read.extend(rows.tolist())
        return [list(now.values())[row] for row in rows]

    images = listed(now, time)
    source = Source(Listing("/photos", images), contents, in_order)
    comparison = compare(images, stored, to_failures([]))
    rows = find_renamed(comparison, source, Writer(BYTES.values()), workers=2, step=step)
    return rows.tolist(), sorted(read)


def test_reads_only_candidates():
    """An image with the same size and time, or with a size that is not stored, is not read."""
    assert source_rows(BYTES, time=1) == ([-1, -1, -1, -1], [])
    assert source_rows({"a": b"longer", "new": b"also longer"}, time=1) == ([-1, -1], [])


@pytest.mark.parametrize("in_order", [False, True])
def test_touched(in_order):
    """A touched image is read, and keeps its row if its bytes are the same."""
    now = BYTES | {"b": b"tow"}
    assert source_rows(now, time=2, in_order=in_order) == ([0, -1, 2, 3], [0, 1, 2, 3])


def test_renamed():
    """A new image with the size of a removed one is read, and takes its row if the bytes are the same."""
    now = {"a": b"one", "x": b"six", "y": b"ten", "z": b"three", "w": b"seven!"}
    assert source_rows(now, time=1) == ([-1, 2, -1, 3, -1], [1, 2, 3])


def test_unreadable():
    """An unreadable image has no row, and the others keep theirs."""
    stored = listed(BYTES, 1).append_column(PART, pa.array([0] * len(BYTES)))
    error = ImageError("read", "unreadable", "gone")
    images = listed(BYTES, 2)
    source = Source(Listing("/photos", images), lambda rows: [error if row == 1 else b"one" for row in rows])
    comparison = compare(images, stored, to_failures([]))
    rows = find_renamed(comparison, source, Writer(BYTES.values()), workers=2, step=lambda *_: None)
    assert rows.tolist() == [0, -1, -1, -1]


def test_progress():
    """Progress is called for each image that was read."""
    calls = []
    source_rows(BYTES, time=2, step=lambda *counts: calls.append(counts))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_stopped():
    """Ctrl-C stops at once: blocks that wait are not read."""
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
