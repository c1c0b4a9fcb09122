"""Facts of images: which of several is preferred, and which files are equal."""

import numpy as np
import pytest

from frieze.core import InputError
from frieze.indexing import build_index, open_index
from frieze.indexing.duplicates.image_facts import read_image_facts


@pytest.fixture
def read(write_table, tmp_path):
    """`read(names, keep="best", **columns)`: the facts of images with these names and columns."""

    def run(names, keep="best", **columns):
        default = {"sha256": [str(name) for name in names], "uri": names}
        table = write_table(tmp_path / "t", np.eye(len(names), 8, dtype="f4"), names=names, columns=default | columns)
        build_index(table, tmp_path / "i", kind="exact")
        return read_image_facts(open_index(tmp_path / "i"), keep)

    return run


def preferred(facts):
    """Return the rows in the order of preference."""
    return np.argsort(facts.ranks).tolist()


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (["a.jpg", "long/b.CR2"], {"width": [9, 4], "size_bytes": [9, 4], "mtime_ns": [1, 2]}),
        (["a.jpg", "long/b.jpg"], {"width": [4, 9], "size_bytes": [9, 4], "mtime_ns": [1, 2]}),
        (["a.jpg", "long/b.jpg"], {"width": [2000, 2000], "size_bytes": [400, 700], "mtime_ns": [1, 2]}),
        (["a.jpg", "long/b.jpg"], {"width": [2000, 2000], "size_bytes": [9000, 1500], "mtime_ns": [2, 1]}),
        (["a.jpg", "long/b.jpg"], {"mtime_ns": [2, 1]}),
        (["a.jpg", "long/b.jpg"], {"mtime_ns": [None, 1]}),
        (["long/a.jpg", "b.jpg"], {}),
        (["b.jpg", "a.jpg"], {}),
    ],
)
def test_the_best(names, columns, read):
    """RAW is preferred, then most pixels, most bits a pixel up to .8, the oldest, the shortest path, the first id."""
    assert preferred(read(names, **columns)) == [1, 0]


@pytest.mark.parametrize(
    ("keep", "order"), [("best", [0, 2, 1, 3]), ("largest", [2, 0, 1, 3]), ("oldest", [3, 1, 0, 2])]
)
def test_other_preferences(keep, order, read):
    """`oldest` prefers old files to RAW and pixels; `largest` pixels and bytes to RAW."""
    names = ["a.dng", "b.jpg", "c.jpg", "d.jpg"]
    assert preferred(read(names, keep, width=[4, 3, 5, 2], mtime_ns=[3, 2, 4, 1])) == order


def test_a_pattern(read):
    """Images whose path or id has the pattern come first, with negative ranks, the best of them before others."""
    facts = read(["a/1.jpg", "b/2.jpg", "b/3.jpg"], "b/*", width=[9, 1, 2])
    assert preferred(facts) == [2, 1, 0]
    assert (facts.ranks < 0).tolist() == [False, True, True]
    assert (read(["x", "y"], "/photos/y", uri=["/photos/x", "/photos/y"]).ranks < 0).tolist() == [False, True]


@pytest.mark.parametrize("pattern", ["c/*", "newest", "B/*", ""])
def test_a_pattern_of_nothing_is_refused(pattern, read):
    """A pattern that no path or id has is refused with what may be given; case matters."""
    with pytest.raises(InputError, match="No image's path or id matches") as caught:
        read(["a/1.jpg", "b/2.jpg"], pattern)
    assert "best, oldest or largest" in caught.value.hint


def test_equal_files(read):
    """Of equal bytes the preferred image stands for all; blank and missing hashes are equal to none."""
    facts = read(list("abcdef"), sha256=["1", "1", None, None, "", " "], width=[1, 2, 3, 3, 3, 3])
    assert facts.representatives.tolist() == [1, 1, 2, 3, 4, 5]
    assert facts.versions.tolist()[:3] == ["1", "1", ""]
    assert facts.files[2:].tolist() == [-1] * 4
    assert facts.n_pixels.tolist() == [4, 8, 12, 12, 12, 12]
    assert (facts.has_hashes, facts.hashes.tolist()) == (False, [[0, 0]] * 6)
