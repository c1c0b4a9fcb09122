import numpy as np
import pytest

from frieze.embedder.job.decoder import Batch, BatchRows
from frieze.embedder.job.dedup import EmbeddingCache
from frieze.embedder.job.inference import embed_batches
from frieze.embedder.job.timing import StageTimes


class Summing:
    """An engine whose embedding of an image is its sum; it counts the batches in flight."""

    def __init__(self, depth):
        self.depth, self.in_flight, self.most, self.ran = depth, 0, 0, []

    def submit(self, pixels):
        """Start a batch."""
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        self.ran.extend(np.asarray(pixels)[:, 0, 0, 0].tolist())

        def wait():
            self.in_flight -= 1
            sums = np.asarray(pixels, np.float32).sum(axis=(1, 2))
            return np.where(sums == 0, np.inf, sums)  # a black image has no usable embedding

        return wait


def batches(*contents):
    """Yield batches of images of one colour each; the digest of its bytes is the colour."""
    for colours in contents:
        batch = Batch(BatchRows(0, is_last=False, rows=np.arange(len(colours))))
        batch.digests = [bytes([colour]) for colour in colours]
        batch.sizes = dict.fromkeys(batch.digests, (1, 1))
        batch.hashes = dict.fromkeys(batch.digests, (2, 4))
        batch.pixels = np.array([*batch.sizes], "S1").view(np.uint8).reshape(-1, 1, 1, 1)
        yield batch


@pytest.fixture
def run():
    """`run(*contents, depth=2)`: the engine, and for each batch its embeddings and how many images ran."""

    def embed(*contents, depth=2):
        engine = Summing(depth)
        embedded = list(embed_batches(batches(*contents), engine, EmbeddingCache(), StageTimes()))
        rows = [[None if one is None else float(one.embedding[0]) for one in batch.embeddings] for batch in embedded]
        return engine, rows, [batch.n_inferred for batch in embedded]

    return embed


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_order_and_depth(depth, run):
    """Batches come back in order, with at most `depth` in flight."""
    engine, rows, _ = run([1, 2], [3], [4, 5], [6], depth=depth)
    assert rows == [[1, 2], [3], [4, 5], [6]]
    assert (engine.most, engine.in_flight) == (min(depth, 4), 0)


def test_bytes_in_flight_run_once(run):
    """Bytes of another batch in flight do not run again, and get its embedding."""
    engine, rows, n_inferred = run([1, 2], [2, 3], [1], depth=3)
    assert (rows, n_inferred) == ([[1, 2], [2, 3], [1]], [2, 1, 0])
    assert engine.ran == [1, 2, 3]


def test_nothing_usable(run):
    """An embedding that is not finite is None, also for equal bytes in a batch in flight."""
    _, rows, n_inferred = run([1, 0], [0, 2], depth=3)
    assert (rows, n_inferred) == ([[1, None], [None, 2]], [1, 1])


def test_batch_of_failures(run):
    """A batch without any usable image passes through."""
    _, rows, n_inferred = run([1], [], [2])
    assert (rows, n_inferred) == ([[1], [], [2]], [1, 0, 1])
