import contextlib
import hashlib

import numpy as np
import pytest

from frieze.embedder import SourceOptions, decode, open_source
from frieze.embedder.images.decode_processes import DecoderDiedError
from frieze.embedder.images.prepare import Computed, ThreadDecoder, decode_for
from frieze.embedder.job.decoder import BatchRows, Decoder
from frieze.features import hash_images


@pytest.fixture
def decoder(folder, tiny, opened):
    """`decoder(rows)`: a batch of the ten photographs, decoded; `c` is truncated, `e` was deleted after the listing."""
    (folder / "c.jpg").write_bytes((folder / "c.jpg").read_bytes()[:400])
    source = open_source(folder, SourceOptions())
    (folder / "e.jpg").unlink()

    def batch(*rows, **options):
        decoder = Decoder(source, opened(str(tiny)).spec, **options)
        return decoder.batch(BatchRows(3, is_last=True, rows=np.array(rows)), source.read(np.array(rows)))

    return batch


def test_failures_in_between(decoder):
    """An unusable image is a failure of its batch; rows, pixels and facts of the others stay aligned."""
    batch = decoder(1, 2, 3, 4, 5)
    assert batch.rows.tolist() == [1, 3, 5]
    assert [(one.id, one.stage, one.reason) for one in batch.failures] == [
        ("c.jpg", "decode", "truncated"),
        ("e.jpg", "read", "unreadable"),
    ]
    assert (batch.requested.shard, len(batch.digests), len(batch.sizes), len(batch.pixels)) == (3, 3, 3, 3)


def test_facts_of_failures(decoder, folder):
    """A failure keeps size and time of the file, so that a later run can see whether it changed."""
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


def test_perceptual_hashes(decoder):
    """A batch has the hashes of its pixels, by the sha256 of the bytes, unless none are asked for."""
    batch = decoder(0, 2, 3)
    expected = np.stack(hash_images(batch.pixels), axis=1).tolist()
    assert [[*batch.hashes[digest]] for digest in batch.sizes] == expected
    assert list(decoder(0, 3, computed=Computed(hashes=False)).hashes.values()) == [(0, 0)] * 2


def test_known_bytes_are_not_decoded(decoder, folder):
    """Bytes that have an embedding keep their row and hash, and have no pixels."""
    known = hashlib.sha256((folder / "b.jpg").read_bytes()).digest()
    batch = decoder(0, 1, is_known=lambda digest: digest == known)
    assert (batch.rows.tolist(), batch.digests[1], len(batch.pixels)) == ([0, 1], known, 1)
    assert list(batch.sizes) == batch.digests[:1]


class Deadly:
    """Processes that die of an image whose bytes contain a word."""

    def __init__(self, spec, word, *, was_killed):
        self.spec, self.word, self.was_killed, self.n_died, self.n_taken = spec, word, was_killed, 0, 0

    @contextlib.contextmanager
    def take(self, pixels):
        """Decode in a thread, and die in place of a process."""
        decoder = ThreadDecoder(self.spec, 1_000_000, pixels)

        def add(data):
            if self.word in data:
                self.n_died += 1
                raise DecoderDiedError(was_killed=self.was_killed)
            ThreadDecoder.add(decoder, data)

        decoder.add = add
        self.n_taken += 1
        assert self.n_taken == 1  # two at once, and threads that wait for each other's
        try:
            yield decoder
        finally:
            self.n_taken -= 1


@pytest.mark.parametrize(("was_killed", "expected"), [(False, "damaged"), (True, "out of memory")])
def test_an_image_that_ends_its_process_is_a_failure(was_killed, expected, decoder, folder, tiny, opened):
    """The images beside it are decoded; one whose process was killed from outside is tried again by a later run."""
    (folder / "b.jpg").write_bytes((folder / "b.jpg").read_bytes() + b"deadly")
    processes = Deadly(opened(str(tiny)).spec, b"deadly", was_killed=was_killed)
    batch = decoder(0, 1, 3, processes=processes)
    assert (batch.rows.tolist(), processes.n_died, len(batch.pixels)) == ([0, 3], 2, 2)
    ((name, reason),) = [(one.id, one.reason) for one in batch.failures]
    assert (name, reason) == ("b.jpg", expected)


def test_all_failed(decoder):
    """A batch of failures has no pixels, but keeps their shape."""
    batch = decoder(2, 4)
    assert (batch.rows.tolist(), len(batch.failures), batch.pixels.shape) == ([], 2, (0, 32, 32, 3))


def test_seconds(decoder):
    """A batch counts its seconds of reading and of decoding, failures included."""
    assert decoder(1, 4).read_s > 0
    assert decoder(2).decode_s > 0


def test_fit(folder, tiny, opened):
    """The spec's fit decides how pixels are resized."""
    data = (folder / "a.jpg").read_bytes()
    squashed, size = decode_for(data, opened(str(tiny)).spec)
    padded, _ = decode_for(data, opened(str(tiny), fit="pad").spec)
    assert size == (48, 36)
    assert squashed[0].max() > 0
    assert padded[0].max() == 0
