import numpy as np
import pytest

from frieze.embedder.job.dedup import EmbeddingCache
from frieze.embedder.job.inference import embed_batches
from frieze.embedder.job.pipeline import Batch, Piece
from frieze.embedder.job.timing import Stages


class Summing:
    """An engine whose embedding of an image is its sum; it knows how many batches are under way."""

    def __init__(self, depth):
        self.depth, self.flying, self.most, self.ran = depth, 0, 0, []

    def submit(self, pixels):
        """Begin a batch."""
        self.flying += 1
        self.most = max(self.most, self.flying)
        self.ran.extend(np.asarray(pixels)[:, 0, 0, 0].tolist())

        def wait():
            self.flying -= 1
            sums = np.asarray(pixels, np.float32).sum(axis=(1, 2))
            return np.where(sums == 0, np.inf, sums)  # of a black image nothing usable comes

        return wait


def batches(*contents):
    """Give batches of images of one colour each, that number being their bytes' digest too."""
    for colours in contents:
        batch = Batch(Piece(0, is_last=False, rows=np.arange(len(colours))))
        batch.digests = [bytes([colour]) for colour in colours]
        batch.sizes = dict.fromkeys(batch.digests, (1, 1))
        batch.pixels = np.array([*batch.sizes], "S1").view(np.uint8).reshape(-1, 1, 1, 1)
        yield batch


@pytest.fixture
def run():
    """`run(*contents, depth=2)`: the engine, and of each batch its images' embeddings and how many ran."""

    def embed(*contents, depth=2):
        engine = Summing(depth)
        known = EmbeddingCache(None, {})
        found = list(embed_batches(batches(*contents), engine, known, Stages()))
        rows = [[None if one is None else float(one.embedding[0]) for one in seen] for _, seen, _ in found]
        return engine, rows, [n_run for _, _, n_run in found]

    return embed


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_order_and_depth(depth, run):
    """Batches come back in order, and as many are under way as the engine wants, no more."""
    engine, rows, _ = run([1, 2], [3], [4, 5], [6], depth=depth)
    assert rows == [[1, 2], [3], [4, 5], [6]]
    assert (engine.most, engine.flying) == (min(depth, 4), 0)


def test_bytes_under_way_run_once(run):
    """Bytes that another batch under way has do not run again, and get its embedding."""
    engine, rows, n_run = run([1, 2], [2, 3], [1], depth=3)
    assert (rows, n_run) == ([[1, 2], [2, 3], [1]], [2, 1, 0])
    assert engine.ran == [1, 2, 3]


def test_nothing_usable(run):
    """What is not finite is told as nothing, also for the same bytes in a batch under way."""
    _, rows, n_run = run([1, 0], [0, 2], depth=3)
    assert (rows, n_run) == ([[1, None], [None, 2]], [1, 1])


def test_batch_of_failures(run):
    """A batch without any image goes through."""
    _, rows, n_run = run([1], [], [2])
    assert (rows, n_run) == ([[1], [], [2]], [1, 0, 1])
