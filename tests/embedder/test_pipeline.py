import hashlib
import os
import threading

import numpy as np
import pytest

from embedder import decode, read
from embedder.pipeline import Batch, Decoder, ImageInfo, decode_for, stream
from embedder.sources import list_source
from features import ImageError

EMPTY = {"infos": [], "failures": [], "pixels": None, "read_s": 0.0, "decode_s": 0.0}
SHARDS = [np.arange(5), np.arange(5, 6), np.arange(6, 20)]


def decode_rows(piece):
    """Stand in for decoding: an image is one pixel that holds its row."""
    pixels = np.repeat(piece.rows.astype(np.uint8), 3).reshape(-1, 1, 1, 3)
    return Batch(piece.shard, piece.is_last, piece.rows, **EMPTY | {"pixels": pixels})


def run(decode_batch=decode_rows, *, workers=2, batch_size=2, device=None):
    """Stream `SHARDS`."""
    return list(stream(SHARDS, decode_batch, batch_size=batch_size, workers=workers, device=device))


@pytest.fixture
def decoder(folder, tiny, opened):
    """`decoder(rows)`: a batch of the ten photographs, decoded; `c` is cut, `e` has gone since it was listed."""
    (folder / "c.jpg").write_bytes((folder / "c.jpg").read_bytes()[:400])
    images = list_source(str(folder)).images
    (folder / "e.jpg").unlink()
    batch = Decoder(images, opened(str(tiny)).spec).batch
    return lambda *rows: batch(Batch(3, is_last=True, rows=np.array(rows), **EMPTY))


def test_failures_in_between(decoder):
    """An image that can't be used is a failure of its batch; rows, pixels and facts of the others stay together."""
    batch = decoder(1, 2, 3, 4, 5)
    assert batch.rows.tolist() == [1, 3, 5]
    assert [(one.id, one.stage, one.reason) for one in batch.failures] == [
        ("c.jpg", "decode", "truncated"),
        ("e.jpg", "read", "unreadable"),
    ]
    assert (batch.shard, batch.is_last, len(batch.infos), len(batch.pixels)) == (3, True, 3, 3)


def test_facts_of_failures(decoder, folder):
    """A failure keeps size and time of the file, so that a later run knows whether it has changed."""
    (failure,) = decoder(2).failures
    status = (folder / "c.jpg").stat()
    assert (failure.uri, failure.size, failure.mtime) == (str(folder / "c.jpg"), 400, status.st_mtime_ns)


def test_pixels_and_facts(decoder, folder):
    """Each image has its own pixels, the hash of its bytes, and its width and height."""
    batch = decoder(6, 1)
    for name, pixels, info in zip("gb", batch.pixels, batch.infos, strict=True):
        data = (folder / f"{name}.jpg").read_bytes()
        image, _ = decode(data, side_px=32)
        assert info == ImageInfo(hashlib.sha256(data).hexdigest(), 48, 36)
        assert np.array_equal(pixels, image.resize((32, 32), 2))


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


def test_read_odd_name(tmp_path):
    """A name that is no text is read by its percent-encoded URL."""
    with open(os.fsencode(tmp_path) + b"/\xff.jpg", "wb") as file:  # noqa: PTH123  the name is bytes
        file.write(b"GIF89a")
    assert read(f"file://{tmp_path}/%FF.jpg") == b"GIF89a"


def test_read_fails(tmp_path):
    """A file that can't be read says so in the system's words."""
    with pytest.raises(ImageError, match="No such file") as caught:
        read(str(tmp_path / "gone.jpg"))
    assert (caught.value.stage, caught.value.reason) == ("read", "unreadable")


@pytest.mark.parametrize(
    ("content", "stage", "reason"),
    [(b"a film, named .jpg by mistake", "decode", "not an image"), (b"GIF89a" + bytes(95), "read", "too large")],
)
def test_read_no_further(content, stage, reason, tmp_path, monkeypatch):
    """What is no image by its first bytes, or too large a file, is not read to its end."""
    monkeypatch.setattr("embedder.pipeline.MAX_BYTES", 100)
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read(str(tmp_path / "a.jpg"))
    assert (caught.value.stage, caught.value.reason) == (stage, reason)


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
    got = [(batch.shard, len(batch.rows), batch.is_last) for batch in run(batch_size=4)]
    assert got == [(0, 4, False), (0, 1, True), (1, 1, True), (2, 4, False), (2, 4, False), (2, 4, False), (2, 2, True)]


def test_threads_work_at_once():
    """Batches are decoded side by side, and still come in order: the first waits here for the second."""
    second_began = threading.Event()

    def decode_batch(piece):
        if piece.rows[0] == 2:
            second_began.set()
        elif piece.rows[0] == 0:
            assert second_began.wait(20)
        return decode_rows(piece)

    assert [batch.rows[0] for batch in run(decode_batch)][:3] == [0, 2, 4]


def test_an_error_in_our_code_is_seen():
    """What goes wrong in a thread, beyond a broken image, ends the run with its own words."""

    def decode_batch(piece):
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
