"""Candidates for copies: pairs that are near by vector or by perceptual hash."""

import numpy as np
import pytest

from frieze.features import orient_hashes
from frieze.indexing.duplicates import candidates as module
from frieze.indexing.duplicates.candidates import Candidates

NEAR = 0.9


@pytest.fixture
def hashes():
    """uint64 [200, 2]: random hashes, the same for the whole and for what lies inside its borders."""
    one = np.random.default_rng(0).integers(1, 1 << 63, 200, dtype=np.uint64) << np.uint64(1)
    return np.column_stack([one, one])


def with_flipped_bits(value, n_bits):
    """Return a hash of which so many bits are others, in each third of them as many."""
    return value ^ np.uint64(sum(1 << (1 + 21 * (bit % 3) + bit // 3) for bit in range(n_bits)))


def pairs_by_hash(hashes, representatives=None):
    """Return the pairs that hashes alone make."""
    representatives = np.arange(len(hashes)) if representatives is None else np.array(representatives)
    candidates = Candidates(hashes, representatives, NEAR)
    candidates.add_hashes()
    pairs, near = candidates.pairs()
    assert not near.any()
    return pairs.tolist()


@pytest.mark.parametrize("orientation", range(8))
@pytest.mark.parametrize("limit", [100_000, 100])
def test_hashes_in_eight_orientations(hashes, orientation, limit, monkeypatch):
    """Images whose hashes are nearly equal once one is turned or mirrored are a pair, also in a large collection."""
    monkeypatch.setattr(module, "_MAX_EXHAUSTIVE", limit)
    hashes[150] = with_flipped_bits(orient_hashes(hashes[20])[orientation], 5)
    assert pairs_by_hash(hashes) == [[20, 150]]


@pytest.mark.parametrize("limit", [100_000, 100])
def test_equal_hashes(hashes, limit, monkeypatch):
    """Images with one hash are pairs with the first of them, also in a large collection."""
    monkeypatch.setattr(module, "_MAX_EXHAUSTIVE", limit)
    hashes[[7, 90, 199]] = hashes[3]
    assert pairs_by_hash(hashes) == [[3, 7], [3, 90], [3, 199]]


@pytest.mark.parametrize(("n_bits", "pairs"), [(12, [[20, 150]]), (13, [])])
def test_twelve_bits_may_differ(hashes, n_bits, pairs):
    """Up to twelve bits of two hashes may differ."""
    hashes[150] = with_flipped_bits(hashes[20], n_bits)
    assert pairs_by_hash(hashes) == pairs


def test_the_inside_of_a_border(hashes):
    """What lies inside a border makes a pair with the whole of another image."""
    hashes[150, 1] = hashes[20, 0]
    assert pairs_by_hash(hashes) == [[20, 150]]


def test_no_hash_is_no_equal_hash(hashes):
    """Images without a hash make no pairs by it; nor where no image has one."""
    hashes[:100] = 0
    assert pairs_by_hash(hashes) == []
    assert pairs_by_hash(np.zeros((9, 2), np.uint64)) == []


def test_equal_files_are_compared_once(hashes):
    """Of equal files the preferred one stands in the pairs, and they are no pair of each other."""
    hashes[[1, 2]] = hashes[0]
    assert pairs_by_hash(hashes[:3], [1, 1, 2]) == [[1, 2]]


def neighbours(hashes, scores, representatives=None):
    """Return the pairs, and which are near, where row 0's nearest are itself and rows 1, 2, ... with these scores."""
    representatives = np.arange(len(hashes)) if representatives is None else np.array(representatives)
    candidates = Candidates(hashes, representatives, NEAR)
    hits = np.arange(len(scores) + 1)[None]
    candidates.add_neighbours(np.array([0]), hits, np.array([[1.0, *scores]], np.float32))
    pairs, near = candidates.pairs()
    return pairs.tolist(), near.tolist()


def test_near_vectors(hashes):
    """Nearest rows are pairs from the score on, whatever their hashes; below it where at most 20 bits differ."""
    hashes[3] = with_flipped_bits(hashes[0], 20)
    hashes[4] = with_flipped_bits(hashes[0], 21)
    pairs, near = neighbours(hashes[:5], [0.95, 0.9, 0.2, 0.2])
    assert pairs == [[0, 1], [0, 2], [0, 3]]
    assert near == [True, True, False]


@pytest.mark.parametrize("orientation", range(8))
@pytest.mark.parametrize("parts", [(0, 1), (1, 0)])
def test_alike_hashes_in_any_orientation(hashes, orientation, parts):
    """The hashes of the nearest rows are compared in all orientations, of the whole and of the inside."""
    hashes[1, parts[0]] = orient_hashes(hashes[:1, parts[1]])[orientation, 0]
    assert neighbours(hashes[:2], [0.2])[0] == [[0, 1]]


def test_rows_without_a_hash_are_near_by_vector_alone():
    """Two images without a hash are no pair below the score."""
    assert neighbours(np.zeros((3, 2), np.uint64), [0.95, 0.2]) == ([[0, 1]], [True])


def test_neighbours_of_equal_bytes_and_empty_hits(hashes):
    """An image's equal file is no pair with it, nor is a hit of -1, which stands for none."""
    candidates = Candidates(hashes[:4], np.array([0, 0, 2, 3]), NEAR)
    candidates.add_neighbours(np.array([1]), np.array([[1, 0, 2, -1]]), np.array([[1, 1, 0.95, 1]], np.float32))
    assert candidates.pairs()[0].tolist() == [[0, 2]]


def test_each_pair_stands_once(hashes):
    """A pair found from both sides and by hash stands once, as near, smaller row first; without any there are none."""
    hashes[1] = hashes[0]
    candidates = Candidates(hashes[:3], np.arange(3), NEAR)
    assert [part.tolist() for part in candidates.pairs()] == [[], []]
    candidates.add_hashes()
    candidates.add_neighbours(np.array([1, 2]), np.array([[0], [1]]), np.array([[0.95], [0.95]], np.float32))
    candidates.add_neighbours(np.array([0]), np.array([[1]]), np.array([[0.95]], np.float32))
    assert [part.tolist() for part in candidates.pairs()] == [[[0, 1], [1, 2]], [True, True]]


def test_pairs_of_some_rows():
    """Of some rows the pairs with others are those that a plain loop over orientations and parts finds."""
    rng = np.random.default_rng(5)
    hashes = rng.integers(1, 1 << 63, (60, 2), dtype=np.uint64) & ~np.uint64(1)
    hashes[50:] = orient_hashes(hashes[:10, 0])[rng.integers(0, 8)][:, None] ^ np.uint64(0b111 << 9)
    hashes[3, 1] = hashes[55] = 0
    candidates = Candidates(hashes, np.arange(60), np.inf)
    candidates.add_hashes_of(np.arange(50, 60), np.arange(50))
    expected = {
        (other, row)
        for row in range(50, 60)
        for other in range(50)
        for one in orient_hashes(hashes[row]).ravel()
        for stored in hashes[other]
        if one and stored and int(one ^ stored).bit_count() <= 12
    }
    pairs, near = candidates.pairs()
    assert {tuple(pair) for pair in pairs.tolist()} == expected
    assert len(expected) >= 8
    assert not near.any()
