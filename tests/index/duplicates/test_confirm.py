"""Comparing pairs in threads, and what is remembered of it."""

import dataclasses

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from threadpoolctl import threadpool_info, threadpool_limits

from benchmarks.search.edits import EDITS
from benchmarks.search.made_images import photograph
from frieze.core import SqliteCache
from frieze.indexing.duplicates import confirm, decide
from frieze.indexing.duplicates.confirm import Confirmer
from frieze.indexing.duplicates.decide import LARGE_PX, SMALL_PX
from frieze.indexing.duplicates.image_facts import ImageFacts

PAIRS = np.array([[0, 1], [0, 2], [1, 2], [2, 3], [0, 4]])
"""Of a photograph, its mirror image, another one, the other one under a text, and one that can't be read."""


@pytest.fixture(scope="module")
def images():
    """uint8 [288, 384, 3] of each image; None for the one that can't be read."""
    first, second, rng = photograph(0), photograph(1), np.random.default_rng(0)
    made = [first, EDITS["mirror"].apply(first, rng), second, EDITS["text over it"].apply(second, rng)]
    return [*map(np.asarray, made), None]


class Reader:
    """Reads those images in small, and notes what it was asked for."""

    def __init__(self, images):
        self.images, self.requests = images, []

    def __call__(self, uri, version, side_px):
        """Return an image in small; None where it can't be read."""
        self.requests.append((uri, version, side_px))
        pixels = self.images[int(uri)]
        if pixels is None:
            return None
        small = Image.fromarray(pixels)
        small.thumbnail((side_px, side_px))
        return np.asarray(small)


def facts_of(versions, n_pixels=None):
    """The facts of images named by their number; how many pixels they have is not known by default."""
    rows = np.arange(len(versions))
    uris = pa.chunked_array([[str(row) for row in rows]])
    hashes = np.zeros((len(rows), 2), np.uint64)
    n_pixels = np.zeros(len(rows), np.int64) if n_pixels is None else np.array(n_pixels)
    return ImageFacts(uris, np.array(versions, object), rows, rows, rows, n_pixels, hashes, has_hashes=False)


@pytest.fixture
def confirmer(images, tmp_path):
    """`confirmer(versions="abcde", images=images)`: one with a cache that all share, and its reader."""
    cache = SqliteCache(tmp_path / "cache", limit_bytes=1 << 20, what="Decisions")

    def make(versions="abcde", images=images):
        reader = Reader(images)
        return Confirmer(reader, facts_of(list(versions)), cache), reader

    yield make
    cache.close()


def compare(confirmer, *, thorough=False):
    """Return the kinds of all pairs, None for no copies."""
    matches = confirmer.compare(PAIRS, np.full(len(PAIRS), thorough))
    return [match and match.kind() for match in matches]


def test_pairs_are_decided_on_the_pixels(confirmer):
    """Each pair gets its decision, in the order of the pairs, and all are counted."""
    one, reader = confirmer()
    assert compare(one) == ["mirrored", None, None, "overlaid", None]
    assert (one.n_compared, one.unreadable) == (5, {4})
    assert {uri for uri, _, side_px in reader.requests if side_px == LARGE_PX} >= {"2", "3"}
    assert {side_px for _, _, side_px in reader.requests} == {SMALL_PX, LARGE_PX}
    assert {(uri, version) for uri, version, _ in reader.requests} == set(zip("01234", "abcde", strict=True))


def test_unreadable_images_are_tried_once(confirmer):
    """An image that can't be read is a copy of nothing, counted, and not read again."""
    one, reader = confirmer(images=[None] * 5)
    assert compare(one) + compare(one) == [None] * 10
    assert one.unreadable == {0, 1, 2, 3, 4}
    assert sorted(uri for uri, _, _ in reader.requests) == ["0", "1", "2", "3", "4"]


def test_images_without_a_path(confirmer):
    """An image without a path can't be read."""
    one, reader = confirmer()
    one._facts = dataclasses.replace(one._facts, uris=pa.chunked_array([[None] * 5]))
    assert compare(one) == [None] * 5
    assert (one.unreadable, reader.requests) == ({0, 1, 2, 3, 4}, [])


def test_decisions_are_remembered(confirmer):
    """Decided once, pairs of the same bytes are not read again, by the next run either; the rest is."""
    first, decided = confirmer()[0], ["mirrored", None, None, "overlaid", None]
    assert compare(first) == decided
    second, reader = confirmer()
    assert (compare(second), second.n_compared) == (decided, 5)
    assert {uri for uri, _, _ in reader.requests} == {"0", "4"}  # the pair of which one could not be read
    third, reader = confirmer(versions="abxde")
    assert compare(third) == decided
    assert {uri for uri, _, _ in reader.requests} == {"0", "1", "2", "3", "4"}


def test_other_bands_are_another_decision(confirmer):
    """What was decided on pictures by one table's bands is decided anew by another's."""
    compare(confirmer()[0])
    other, reader = confirmer()
    other._facts = dataclasses.replace(other._facts, decoding="+bands=4,3,2")
    compare(other)
    assert {uri for uri, _, _ in reader.requests} == {"0", "1", "2", "3", "4"}


def test_being_thorough_is_another_decision(confirmer):
    """What was decided without local features is decided anew with them."""
    compare(confirmer()[0])
    thorough, reader = confirmer()
    compare(thorough, thorough=True)
    assert {uri for uri, _, _ in reader.requests} == {"0", "1", "2", "3", "4"}


@pytest.mark.parametrize("versions", [["", "b", "", "d", "e"], [""] * 5])
def test_without_a_hash_nothing_is_remembered(confirmer, versions):
    """Pairs of which one has no known bytes are decided each time."""
    compare(confirmer(versions)[0])
    second, reader = confirmer(versions)
    assert compare(second) == ["mirrored", None, None, "overlaid", None]
    assert {uri for uri, _, _ in reader.requests} == {"0", "1", "2", "3", "4"}


def test_what_could_not_be_read_is_not_remembered(confirmer, images):
    """A pair of which one could not be read is decided once it can be."""
    compare(confirmer()[0])
    assert compare(confirmer(images=[*images[:4], images[1]])[0])[-1] == "mirrored"


@pytest.mark.parametrize("n_cores", [1, 4])
def test_threads_do_not_matter(confirmer, monkeypatch, n_cores):
    """One thread decides as four do."""
    monkeypatch.setattr(confirm, "count_cores", lambda: n_cores)
    one = confirmer(versions=[""] * 5)[0]
    assert compare(one, thorough=True) == ["mirrored", None, None, "overlaid", None]


def test_libraries_have_one_thread_meanwhile(confirmer, monkeypatch):
    """OpenCV and NumPy compute with one thread while pairs are compared, and then with as many as before."""

    def count_threads():
        blas = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
        return {cv2.getNumThreads(), *blas}

    before, during = cv2.getNumThreads(), []
    cv2.setNumThreads(2)
    monkeypatch.setattr(decide, "compare", lambda *_, **__: during.append(count_threads()))
    with threadpool_limits(2, user_api="blas"):
        assert compare(confirmer()[0]) == [None] * 5
        assert (during, count_threads()) == ([{1}] * 4, {2})
    cv2.setNumThreads(before)


@pytest.mark.parametrize(("n_pixels", "kind"), [([1200, 3000], None), ([1200, 900], "cropped"), ([0, 3000], "cropped")])
def test_a_sharper_crop_is_no_copy(images, n_pixels, kind):
    """A crop with far more pixels for what both show is no copy of what shows more; both are needed."""
    cropped = images[0][29:-29, 38:-38]
    one = Confirmer(Reader([images[0], cropped]), facts_of(["", ""], n_pixels), None)
    (match,) = one.compare(np.array([[0, 1]]), np.array([True]))
    assert (match and match.kind()) == kind


def test_a_garbled_decision_is_made_anew(confirmer, tmp_path):
    """What the cache holds and no decision can be read from is as if it was not there."""
    expected = confirmer()[0].compare(PAIRS, np.ones(5, bool))
    cache = SqliteCache(tmp_path / "cache", limit_bytes=1 << 20, what="Decisions")
    cache._connection.execute("UPDATE pictures SET data = 'garbled'")
    assert confirmer()[0].compare(PAIRS, np.ones(5, bool)) == expected
