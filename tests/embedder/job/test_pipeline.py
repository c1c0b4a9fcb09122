import hashlib
import threading

import numpy as np
import pytest

from frieze.embedder import SourceOptions, decode, open_source
from frieze.embedder.job.pipeline import Batch, Decoder, Piece, decode_for, stream
from frieze.embedder.sources import Source
from frieze.embedder.sources.base import Listing
from frieze.features import LISTING

SHARDS = [np.arange(5), np.arange(5, 6), np.arange(6, 20)]


def decode_rows(piece, contents):
    """Stand in for decoding: an image is one pixel that holds its content."""
    pixels = np.repeat(np.array(list(contents), np.uint8), 3).reshape(-1, 1, 1, 3)
    return Batch(piece, piece.rows, pixels=pixels)


class Decoding:
    """A decoder whose images' contents are their rows, and the threads that read."""

    def __init__(self, batch, in_order):
        self.batch = batch
        self.source = Source(Listing("/photos", LISTING.empty_table()), self.read, in_order)
        self.asked = []

    def read(self, rows):
        """Give each row as its content."""
        self.asked.append(rows[0])
        yield from rows


def run(batch=decode_rows, *, workers=2, batch_size=2, device=None, in_order=False):
    """Stream `SHARDS`."""
    return list(stream(SHARDS, Decoding(batch, in_order), batch_size=batch_size, workers=workers, device=device))


@pytest.fixture
def decoder(folder, tiny, opened):
    """`decoder(rows)`: a batch of the ten photographs, decoded; `c` is cut, `e` has gone since it was listed."""
    (folder / "c.jpg").write_bytes((folder / "c.jpg").read_bytes()[:400])
    source = open_source(folder, SourceOptions())
    (folder / "e.jpg").unlink()

    def batch(*rows, **options):
        decoder = Decoder(source, opened(str(tiny)).spec, **options)
        return decoder.batch(Piece(3, is_last=True, rows=np.array(rows)), source.read(np.array(rows)))

    return batch


def test_failures_in_between(decoder):
    """An image that can't be used is a failure of its batch; rows, pixels and facts of the others stay together."""
    batch = decoder(1, 2, 3, 4, 5)
    assert batch.rows.tolist() == [1, 3, 5]
    assert [(one.id, one.stage, one.reason) for one in batch.failures] == [
        ("c.jpg", "decode", "truncated"),
        ("e.jpg", "read", "unreadable"),
    ]
    assert (batch.piece.shard, len(batch.digests), len(batch.sizes), len(batch.pixels)) == (3, 3, 3, 3)


def test_facts_of_failures(decoder, folder):
    """A failure keeps size and time of the file, so that a later run knows whether it has changed."""
    (failure,) = decoder(2).failures
    status = (folder / "c.jpg").stat()
    assert (failure.uri, failure.size, failure.mtime) == (str(folder / "c.jpg"), 400, status.st_mtime_ns)


def test_pixels_and_facts(decoder, folder):
    """Each image has its own pixels, the hash of its bytes, and its width and height."""
    batch = decoder(6, 1)
    for name, pixels, digest in zip("gb", batch.pixels, batch.digests, strict=True):
        data = (folder / f"{name}.jpg").read_bytes()
        image, _ = decode(data, side_px=32)
        assert (digest, batch.sizes[digest]) == (hashlib.sha256(data).digest(), (48, 36))
        assert np.array_equal(pixels, image.resize((32, 32), 2))


def test_equal_bytes_are_decoded_once(decoder, folder):
    """Images of equal bytes share one row of pixels, and each keeps its own row of the listing."""
    (folder / "b.jpg").write_bytes((folder / "g.jpg").read_bytes())
    batch = decoder(6, 1, 0)
    assert (batch.rows.tolist(), len(batch.pixels)) == ([6, 1, 0], 2)
    assert batch.digests[0] == batch.digests[1] == next(iter(batch.sizes)) != batch.digests[2]


def test_known_bytes_are_not_decoded(decoder, folder):
    """What has an embedding already keeps its row and its hash, and has no pixels."""
    known = hashlib.sha256((folder / "b.jpg").read_bytes()).digest()
    batch = decoder(0, 1, is_known=lambda digest: digest == known)
    assert (batch.rows.tolist(), batch.digests[1], len(batch.pixels)) == ([0, 1], known, 1)
    assert list(batch.sizes) == batch.digests[:1]


def test_all_failed(decoder):
    """A batch of failures has no pixels, but their shape."""
    batch = decoder(2, 4)
    assert (batch.rows.tolist(), len(batch.failures), batch.pixels.shape) == ([], 2, (0, 32, 32, 3))


def test_seconds(decoder):
    """A batch counts its seconds of reading and of decoding, failures included."""
    assert decoder(1, 4).read_s > 0
    assert decoder(2).decode_s > 0


def test_fit(folder, tiny, opened):
    """The spec's fit decides what the network sees."""
    data = (folder / "a.jpg").read_bytes()
    squashed, size = decode_for(data, opened(str(tiny)).spec)
    padded, _ = decode_for(data, opened(str(tiny), fit="pad").spec)
    assert size == (48, 36)
    assert squashed[0].max() > 0
    assert padded[0].max() == 0


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
@pytest.mark.parametrize("workers", [1, 4])
def test_order(workers, batch_size):
    """All rows come once, in order, with their own pixels, whatever the batch size and the number of threads."""
    batches = run(workers=workers, batch_size=batch_size)
    rows = np.concatenate([batch.rows for batch in batches])
    pixels = np.concatenate([np.asarray(batch.pixels)[:, 0, 0, 0] for batch in batches])
    assert rows.tolist() == pixels.tolist() == list(range(20))


def test_batches_never_span_shards():
    """A shard's last batch may be smaller, and says that it is the last."""
    got = [(batch.piece.shard, len(batch.rows), batch.piece.is_last) for batch in run(batch_size=4)]
    assert got == [(0, 4, False), (0, 1, True), (1, 1, True), (2, 4, False), (2, 4, False), (2, 4, False), (2, 2, True)]


def test_threads_work_at_once():
    """Batches are decoded side by side, and still come in order: the first waits here for the second."""
    second_began = threading.Event()

    def decode_batch(piece, contents):
        if piece.rows[0] == 2:
            second_began.set()
        elif piece.rows[0] == 0:
            assert second_began.wait(20)
        return decode_rows(piece, contents)

    assert [batch.rows[0] for batch in run(decode_batch)][:3] == [0, 2, 4]


@pytest.mark.parametrize("in_order", [True, False])
def test_reading_in_order(in_order):
    """A source that is read from its beginning is asked batch after batch, however many threads decode."""
    decoding = Decoding(decode_rows, in_order)
    batches = list(stream(SHARDS, decoding, batch_size=1, workers=4, device=None))
    assert [batch.rows[0] for batch in batches] == list(range(20))
    assert sorted(decoding.asked) == list(range(20))
    assert not in_order or decoding.asked == list(range(20))


def test_an_error_in_our_code_is_seen():
    """What goes wrong in a thread, beyond a broken image, ends the run with its own words."""

    def decode_batch(piece, contents):
        raise KeyError("a bug")

    with pytest.raises(Exception, match="a bug"):
        run(decode_batch)


def test_device(tf):
    """Where a device is named, the pixels come as tensors that lie on it."""
    batches = run(device="/CPU:0")
    assert {batch.pixels.device[-5:] for batch in batches} == {"CPU:0"}
    assert np.concatenate([batch.pixels[:, 0, 0, 0] for batch in batches]).tolist() == list(range(20))


@pytest.mark.gpu
def test_gpu(tf):
    """On a GPU the last step of the pipeline brings the pixels there."""
    (gpu, *_) = tf.config.list_logical_devices("GPU")
    batches = run(device=gpu.name)
    assert {batch.pixels.device[-5:] for batch in batches} == {"GPU:0"}
    assert np.concatenate([batch.pixels.numpy()[:, 0, 0, 0] for batch in batches]).tolist() == list(range(20))
