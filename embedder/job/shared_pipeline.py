"""The input pipeline of several tables: an image is read, hashed and decoded once for all tables that lack it."""

import dataclasses
import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from frieze.core import ImageError, Rows, count_cores
from frieze.embedder.images.limits import MAX_PIXELS
from frieze.embedder.images.prepare import Computed, prepare_for_all
from frieze.embedder.images.resize import Pixels
from frieze.embedder.job.decoder import Batch, BatchRows, Clocked, Decoder, Decoding, time_decoding, time_reading
from frieze.embedder.job.pipeline import cut_into_batches, stream_batches
from frieze.embedder.sources import Content, Source
from frieze.features import BackboneSpec

_SAMPLE_BATCH = 32


class TableRows(NamedTuple):
    """The rows that one table lacks, in its order of work.

    Attributes:
        shards: For each shard the listing's rows, int64 [n], n >= 1, ascending.
        n_new: How many of the shards, the first ones, are new parts.
        batch_size: Images a batch.
    """

    shards: Sequence[Rows]
    n_new: int
    batch_size: int


class SharedRows(NamedTuple):
    """Rows of the listing that are read and decoded in one call.

    Attributes:
        rows: int64 [n], ascending.
        tables: For each row the numbers of the tables that lack it.
        by_table: For each table its rows among them; a whole batch of it or a piece of one.
        ends: For each table whether its batch ends with these.
    """

    rows: Rows
    tables: list[tuple[int, ...]]
    by_table: list[BatchRows]
    ends: list[bool]


class _Position(NamedTuple):
    """A row in a table's order of work; positions compare by what comes first for all tables."""

    is_rewrite: bool
    row: int
    shard: int
    ends_batch: bool
    ends_shard: bool


def share_rows(tables: Sequence[TableRows]) -> Iterator[SharedRows]:
    """Merge what several tables lack, so that a row of several is decoded once.

    Each table gets its rows in its own order, and in the batches of a run of its own. A row that comes at different
    places, as of parts that were rewritten differently, is decoded again.

    Args:
        tables: What each lacks.

    Yields:
        Ascending rows, cut wherever a batch of a table ends.
    """
    remaining = [_positions(table) for table in tables]
    heads = [next(one, None) for one in remaining]
    unit = _Unit(len(tables))
    while first := min(((head.is_rewrite, head.row) for head in heads if head is not None), default=None):
        lacking = tuple(at for at, head in enumerate(heads) if head is not None and head[:2] == first)
        if unit.rows and first[1] <= unit.rows[-1]:
            yield unit.to_rows()
            unit = _Unit(len(tables))
        unit.add(first[1], {at: heads[at] for at in lacking})
        for at in lacking:
            heads[at] = next(remaining[at], None)
        if any(unit.ends):
            yield unit.to_rows()
            unit = _Unit(len(tables))
    if unit.rows:
        yield unit.to_rows()


def _positions(table: TableRows) -> Iterator[_Position]:
    for batch in cut_into_batches(table.shards, table.batch_size):
        last, is_rewrite = len(batch.rows) - 1, batch.shard >= table.n_new
        for at, row in enumerate(batch.rows.tolist()):
            yield _Position(is_rewrite, row, batch.shard, at == last, at == last and batch.is_last)


class _Unit:
    """The rows that were collected since the last cut."""

    def __init__(self, n_tables: int) -> None:
        self.rows: list[int] = []
        self.ends = [False] * n_tables
        self._tables: list[tuple[int, ...]] = []
        self._by_table: list[list[_Position]] = [[] for _ in range(n_tables)]

    def add(self, row: int, positions: dict[int, _Position | None]) -> None:
        self.rows.append(row)
        self._tables.append(tuple(positions))
        for table, position in positions.items():
            if position is not None:
                self._by_table[table].append(position)
                self.ends[table] |= position.ends_batch

    def to_rows(self) -> SharedRows:
        by_table = [_to_batch_rows(positions) for positions in self._by_table]
        return SharedRows(np.array(self.rows, np.int64), self._tables, by_table, self.ends)


def _to_batch_rows(positions: Sequence[_Position]) -> BatchRows:
    shard, is_last = (positions[-1].shard, positions[-1].ends_shard) if positions else (0, False)
    return BatchRows(shard, is_last, np.array([one.row for one in positions], np.int64))


@dataclasses.dataclass
class SharedBatch(Clocked):
    """Decoded images of several tables.

    Attributes:
        requested: What was to be decoded.
        batches: For each table its images.
    """

    requested: SharedRows
    batches: list[Batch] = dataclasses.field(default_factory=list)


class SharedDecoder:
    """Decodes each image once for several tables, in the calling thread.

    Args:
        decoders: One for each table, of the same source.
        max_pixels: Largest width times height accepted.
    """

    def __init__(self, decoders: Sequence[Decoder], *, max_pixels: int = MAX_PIXELS) -> None:
        self.source = decoders[0].source.for_backbones([one.spec for one in decoders], max_pixels=max_pixels)
        self._decoders = decoders
        self._max_pixels = max_pixels

    def stop(self) -> None:
        """End the batches in flight at their next image."""
        for decoder in self._decoders:
            decoder.stop()

    def batch(self, requested: SharedRows, contents: Iterable[Content]) -> SharedBatch:
        """Decode the images of all tables; unusable ones are failures of each table that lacks them."""
        batch = SharedBatch(requested)
        pieces = [_Piece(*pair) for pair in zip(self._decoders, requested.by_table, strict=True)]
        for content, tables in zip(time_reading(contents, batch), requested.tables, strict=True):
            self._decoders[0].check_stopped()
            with time_decoding(batch):
                self._add(content, [pieces[table] for table in tables])
        with time_decoding(batch):
            batch.batches = [piece.finish() for piece in pieces]
        return batch

    def _add(self, content: Content, pieces: Sequence["_Piece"]) -> None:
        image = content if isinstance(content, ImageError) else hashlib.sha256(content).digest()
        pieces = [piece for piece in pieces if piece.decoding.needs(image)]
        if not pieces or isinstance(content, ImageError):
            return
        prepared = prepare_for_all(content, [piece.spec for piece in pieces], max_pixels=self._max_pixels)
        for piece, one in zip(pieces, prepared, strict=True):
            piece.images.put(one)


def stream_sample(
    source: Source, rows: Rows, specs: Sequence[BackboneSpec], *, max_pixels: int = MAX_PIXELS
) -> Generator[SharedBatch, None, None]:
    """Decode the same images for several backbones, on all cores, without perceptual hashes.

    Args:
        source: The images.
        rows: int64 [n], the listing's, ascending.
        specs: Image size, fit and version of decoding of each backbone.
        max_pixels: Largest width times height accepted.

    Yields:
        The batches in order; close it where not all are taken.
    """
    decoders = [Decoder(source, spec, max_pixels=max_pixels, computed=Computed(hashes=False)) for spec in specs]
    requests = share_rows([TableRows([rows], 1, _SAMPLE_BATCH)] * len(specs))
    return stream_batches(requests, SharedDecoder(decoders, max_pixels=max_pixels), workers=count_cores())


class _Piece:
    """One table's images of a shared batch, while they are decoded."""

    def __init__(self, decoder: Decoder, requested: BatchRows) -> None:
        self._decoder = decoder
        self._batch = Batch(requested)
        self._pixels = decoder.allocate(len(requested.rows))
        self.spec = decoder.spec
        self.images = decoder.in_thread(self._pixels)
        self.decoding = Decoding(self._batch, decoder.is_known)

    def finish(self) -> Batch:
        return self._decoder.complete(self._batch, self.decoding.finish(self.images), self._pixels)


def join_batches(pieces: Sequence[Batch]) -> Batch:
    """Join the pieces of one table's batch; pixels of equal bytes stay once."""
    if len(pieces) == 1:
        return pieces[0]
    last = pieces[-1].requested
    requested = BatchRows(last.shard, last.is_last, np.concatenate([one.requested.rows for one in pieces]))
    batch, pixels = Batch(requested, rows=np.concatenate([one.rows for one in pieces])), list[Pixels]()
    for piece in pieces:
        pixels.append(piece.pixels[[digest not in batch.sizes for digest in piece.sizes]])
        batch.digests += piece.digests
        batch.sizes |= piece.sizes
        batch.hashes |= piece.hashes
        batch.statistics |= piece.statistics
        batch.failures += piece.failures
        batch.tally.merge(piece.tally)
    batch.pixels = np.concatenate(pixels)
    return batch
