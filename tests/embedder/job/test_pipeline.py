import dataclasses
import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest

from frieze.core import ImageError
from frieze.embedder import SourceOptions, open_source
from frieze.embedder.job.decoder import Batch, Decoder
from frieze.embedder.job.pipeline import stream
from frieze.embedder.sources import Source
from frieze.embedder.sources.base import Listing
from frieze.features import LISTING

SHARDS = [np.arange(5), np.arange(5, 6), np.arange(6, 20)]


def decode_rows(requested, contents):
    """A fake decoder: an image is one pixel that holds its content."""
    pixels = np.repeat(np.array(list(contents), np.uint8), 3).reshape(-1, 1, 1, 3)
    return Batch(requested, requested.rows, pixels=pixels)


class Decoding:
    """A decoder of a source in which the content of an image is its row."""

    def __init__(self, batch, in_order):
        self.batch = batch
        self.source = Source(Listing("/photos", LISTING.empty_table()), self.read, in_order)
        self.read_rows = []

    def stop(self):
        """Stop nothing: a batch is decoded in no time."""

    def read(self, rows):
        """Yield each row as its content."""
        self.read_rows.append(rows[0])
        yield from rows


def run(batch=decode_rows, *, workers=2, batch_size=2):
    """Stream `SHARDS`."""
    return list(stream(SHARDS, Decoding(batch, in_order=False), batch_size=batch_size, workers=workers))


def test_batches_in_flight_end(folder, tiny, opened, monkeypatch):
    """A stream that is closed waits for one image of each thread, not for their batches."""
    source, decoded = open_source(folder, SourceOptions()), []
    decoder = Decoder(source, opened(str(tiny)).spec)

    def prepare(*_args, **_options):
        decoded.append(1)
        decoder.stop()
        raise ImageError("decode", "damaged", "")

    monkeypatch.setattr("frieze.embedder.images.prepare.prepare", prepare)
    with pytest.raises(CancelledError):
        list(stream([np.arange(10)], decoder, batch_size=10, workers=1))
    assert len(decoded) == 1


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
@pytest.mark.parametrize("workers", [1, 4])
def test_order(workers, batch_size):
    """All rows come once, in order, with their own pixels, for any batch size and number of threads."""
    batches = run(workers=workers, batch_size=batch_size)
    rows = np.concatenate([batch.rows for batch in batches])
    pixels = np.concatenate([np.asarray(batch.pixels)[:, 0, 0, 0] for batch in batches])
    assert rows.tolist() == pixels.tolist() == list(range(20))


def test_batches_never_span_shards():
    """A shard's last batch may be smaller, and is marked as the last."""
    cut = [(batch.requested.shard, len(batch.rows), batch.requested.is_last) for batch in run(batch_size=4)]
    assert cut == [(0, 4, False), (0, 1, True), (1, 1, True), (2, 4, False), (2, 4, False), (2, 4, False), (2, 2, True)]


def test_decodes_in_parallel():
    """Batches are decoded in parallel, and still come in order: the first waits here for the second."""
    second_started = threading.Event()

    def decode_batch(requested, contents):
        if requested.rows[0] == 2:
            second_started.set()
        elif requested.rows[0] == 0:
            assert second_started.wait(20)
        return decode_rows(requested, contents)

    assert [batch.rows[0] for batch in run(decode_batch)][:3] == [0, 2, 4]


@pytest.mark.parametrize("in_order", [True, False])
def test_reading_in_order(in_order):
    """A sequential source is read batch after batch, however many threads decode."""
    decoding = Decoding(decode_rows, in_order)
    batches = list(stream(SHARDS, decoding, batch_size=1, workers=4))
    assert [batch.rows[0] for batch in batches] == list(range(20))
    assert sorted(decoding.read_rows) == list(range(20))
    assert not in_order or decoding.read_rows == list(range(20))


@pytest.mark.parametrize("in_order", [True, False])
def test_bug_in_a_thread(in_order):
    """A bug in a thread, unlike a broken image, ends the run with its own error, after the batches before it."""

    def decode_batch(requested, contents):
        if requested.rows[0] == 4:
            raise KeyError("a bug")
        return decode_rows(requested, contents)

    batches = stream(SHARDS, Decoding(decode_batch, in_order), batch_size=2, workers=2)
    assert [next(batches).rows[0], next(batches).rows[0]] == [0, 2]
    with pytest.raises(KeyError, match="a bug"):
        next(batches)


def test_error_in_reading():
    """An error in the thread that reads ends the run with its own error."""
    decoding = Decoding(decode_rows, in_order=True)
    decoding.source = dataclasses.replace(decoding.source, read=lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(stream(SHARDS, decoding, batch_size=2, workers=2))


def test_bounded():
    """Of many batches only a few are decoded before the first is taken, and memory holds no more."""
    decoding = Decoding(decode_rows, in_order=True)
    batches = stream([np.arange(200)], decoding, batch_size=1, workers=2)
    next(batches)
    batches.close()
    assert len(decoding.read_rows) <= 2 + 2 + 1


def test_closed_early():
    """A pipeline that is closed leaves no thread behind and decodes nothing more."""
    batches = stream(SHARDS, Decoding(decode_rows, in_order=False), batch_size=1, workers=4)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("frieze-read", "frieze-decode"))]
