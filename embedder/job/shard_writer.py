"""Rows of batches gathered into the table's parts."""

import dataclasses
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Floats, Rows
from frieze.embedder.job.dedup import CachedEmbedding, EmbeddingCache
from frieze.embedder.job.pipeline import Batch
from frieze.features import (
    OURS,
    PART,
    BackboneSpec,
    Comparison,
    Failure,
    FeatureWriter,
    Shard,
    part_schema,
    to_embeddings,
    to_part,
)


@dataclasses.dataclass
class ShardBuffer:
    """What a shard has so far."""

    rows: list[Rows] = dataclasses.field(default_factory=list)
    digests: list[bytes] = dataclasses.field(default_factory=list)
    seen: list[CachedEmbedding] = dataclasses.field(default_factory=list)
    failures: list[Failure] = dataclasses.field(default_factory=list)

    def take(self, batch: Batch, seen: Sequence[CachedEmbedding | None], images: pa.Table) -> None:
        """Take a batch.

        Args:
            batch: The next batch of the stream.
            seen: What is known of each of its images, in the order of its rows; None where the backbone gave nothing.
            images: The listing's table.
        """
        is_good = np.array([one is not None for one in seen], bool)
        self.rows.append(batch.rows[is_good])
        self.digests.extend(batch.digests[row] for row in np.flatnonzero(is_good))
        self.seen.extend(one for one in seen if one is not None)
        self.failures.extend(batch.failures)
        self.failures.extend(_not_finite(images.take(batch.rows[~is_good])))

    def laid_out(self, images: pa.Table, spec: BackboneSpec) -> pa.Table:
        """Give what was embedded as rows of a part."""
        return embedded_rows(images.take(np.concatenate(self.rows)), self.digests, self.seen, spec)


def _not_finite(images: pa.Table) -> list[Failure]:
    return [
        Failure(
            image["id"],
            image["uri"],
            stage="embed",
            reason="not finite",
            message="the backbone gave infinite numbers or none",
            size=image["size_bytes"],
            mtime=image["mtime_ns"],
        )
        for image in images.to_pylist()
    ]


def commit(
    shard: Shard,
    writer: FeatureWriter,
    comparison: Comparison,
    embedded: pa.Table | None = None,
    failures: Sequence[Failure] = (),
) -> None:
    """Write a shard's part: what was embedded, and what is only copied.

    Args:
        shard: The shard.
        writer: The table.
        comparison: The listing held against it.
        embedded: Rows of the part that ran through the backbone; None where there are none.
        failures: What could not be embedded.

    Raises:
        FeatureFileError: The disk refuses, or a part that is copied from is broken.
    """
    writer.commit(shard, new_rows(shard, writer, comparison, embedded), failures)


def new_rows(shard: Shard, writer: FeatureWriter, comparison: Comparison, embedded: pa.Table | None) -> pa.Table | None:
    """Give a shard's new rows: those that are only copied, then those that were embedded; None where it has none.

    Raises:
        FeatureFileError: A part that is copied from is broken.
    """
    copied = copied_rows(comparison.images, comparison.stored, shard, writer) if len(shard.copies) else None
    tables = [table for table in (copied, embedded) if table is not None]
    return pa.concat_tables(tables) if tables else None


class ShardWriter:
    """Takes embedded batches in order and commits each shard when it is full.

    As a context manager it waits for the last commit; when the block ends by an error or Ctrl-C, the images of an
    unfinished new shard are committed too, so that nothing done is lost.

    Args:
        writer: The table.
        comparison: The listing held against it.
        shards: The shards that the batches belong to, in order.
        known: Told of what is written.

    Attributes:
        cpu_s: What writing took of the processor's time.
    """

    def __init__(
        self, writer: FeatureWriter, comparison: Comparison, shards: Sequence[Shard], known: EmbeddingCache
    ) -> None:
        self._writer = writer
        self._comparison = comparison
        self._shards = shards
        self._known = known
        self._at = 0
        self._filling = ShardBuffer()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="frieze-write")
        self._commit: Future[None] | None = None
        self.cpu_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._thread:
            if kind is not None and self._filling.rows and not self._shards[self._at].drop:
                self._hand_over()
            self.wait()

    def add(self, batch: Batch, seen: Sequence[CachedEmbedding | None]) -> None:
        """Take the next batch of the stream, as `Filling.take` does.

        Raises:
            FeatureFileError: An earlier shard could not be written.
        """
        self._filling.take(batch, seen, self._comparison.images)
        if batch.piece.is_last:
            self._hand_over()
            self._at += 1

    def wait(self) -> None:
        """Wait for the commit under way.

        Raises:
            FeatureFileError: It failed.
        """
        if self._commit is not None:
            self._commit.result()
            self._commit = None

    def _hand_over(self) -> None:
        """Have what is gathered written; at most one shard waits for the disk, so memory stays flat."""
        self.wait()
        filled, self._filling = self._filling, ShardBuffer()
        self._commit = self._thread.submit(self._write, self._shards[self._at], filled)

    def _write(self, shard: Shard, filled: ShardBuffer) -> None:
        start = time.thread_time()
        images, spec = self._comparison.images, self._writer.manifest.spec
        embedded = filled.laid_out(images, spec) if filled.seen else None
        commit(shard, self._writer, self._comparison, embedded, filled.failures)
        self.cpu_s += time.thread_time() - start
        self._known.settle(shard.part, filled.digests)


def embedded_rows(
    images: pa.Table, digests: Sequence[bytes], seen: Sequence[CachedEmbedding], spec: BackboneSpec
) -> pa.Table:
    """Lay out embedded images.

    Args:
        images: Rows of a listing.
        digests: sha256 of each image's bytes.
        seen: What is known of each.
        spec: The backbone's.

    Returns:
        Rows of a part.
    """
    learned = {
        "sha256": [digest.hex() for digest in digests],
        "width": [one.width for one in seen],
        "height": [one.height for one in seen],
    }
    embeddings = np.stack([one.embedding for one in seen]) if seen else np.empty((0, spec.dim), np.float32)
    return _to_rows(images, learned, embeddings, spec)


def copied_rows(images: pa.Table, stored: pa.Table, shard: Shard, writer: FeatureWriter) -> pa.Table:
    """Lay out a shard's copies: what is listed now, with what is stored of the same bytes.

    Args:
        images: The listing's table.
        stored: Every stored row, as `FeatureWriter.stored` gives them.
        shard: Names the rows of both.
        writer: The table.

    Returns:
        Rows of a part.
    """
    spec = writer.manifest.spec
    origins = stored.select(["id", PART]).take(shard.source_rows)
    parts = origins[PART].to_numpy()
    pieces = []
    for part in np.unique(parts):
        at = np.flatnonzero(parts == part)
        learned = writer.computed_columns(int(part))
        learned = learned.take(pc.index_in(origins["id"].take(at), learned["id"]))
        embeddings = to_embeddings(learned["embedding"])
        pieces.append(_to_rows(images.take(shard.copies[at]), learned, embeddings, spec))
    return pa.concat_tables(pieces)


def _to_rows(images: pa.Table, learned: Any, embeddings: Floats, spec: BackboneSpec) -> pa.Table:
    user_columns = [field for field in images.schema if field.name not in OURS]
    columns = {name: images[name] for name in images.column_names}
    columns |= {name: learned[name] for name in ("sha256", "width", "height")}
    return to_part(columns, embeddings, part_schema(spec, user_columns))
