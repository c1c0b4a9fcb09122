"""Write shards: buffer embedded rows, and commit each full shard as a part of the table, in a thread."""

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
from frieze.embedder.job.inference import EmbeddedBatch
from frieze.features import (
    OURS,
    PART,
    BackboneSpec,
    Comparison,
    Failure,
    FeatureWriter,
    Manifest,
    Shard,
    part_schema,
    perceptual_hash_columns,
    statistics_columns,
    to_embeddings,
    to_part,
)


@dataclasses.dataclass
class ShardBuffer:
    """Embedded rows and failures of a shard that is not full yet."""

    rows: list[Rows] = dataclasses.field(default_factory=list)
    digests: list[bytes] = dataclasses.field(default_factory=list)
    embeddings: list[CachedEmbedding] = dataclasses.field(default_factory=list)
    failures: list[Failure] = dataclasses.field(default_factory=list)

    def add(self, embedded: EmbeddedBatch, images: pa.Table) -> None:
        """Add a batch.

        Args:
            embedded: The next batch of the stream.
            images: The listing's table.
        """
        batch, embeddings = embedded.batch, embedded.embeddings
        is_finite = np.array([one is not None for one in embeddings], bool)
        self.rows.append(batch.rows[is_finite])
        self.digests.extend(batch.digests[row] for row in np.flatnonzero(is_finite))
        self.embeddings.extend(one for one in embeddings if one is not None)
        self.failures.extend(batch.failures)
        self.failures.extend(_not_finite(images.take(batch.rows[~is_finite])))

    def to_table(
        self, images: pa.Table, spec: BackboneSpec, *, has_perceptual_hashes: bool, has_statistics: bool = False
    ) -> pa.Table:
        """Return the embedded rows as rows of a part."""
        rows = images.take(np.concatenate(self.rows))
        schema = to_part_schema(
            images, spec, has_perceptual_hashes=has_perceptual_hashes, has_statistics=has_statistics
        )
        return embedded_rows(rows, self.digests, self.embeddings, schema)


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
    """Commit a shard's part: its embedded rows and its copied rows.

    Args:
        shard: The shard.
        writer: The table.
        comparison: The listing compared with it.
        embedded: Rows of the part that ran through the backbone; None if there are none.
        failures: Images that could not be embedded.

    Raises:
        FeatureFileError: Writing fails, or a part that rows are copied from is broken.
    """
    writer.commit(shard, new_rows(shard, writer, comparison, embedded), failures)


def new_rows(shard: Shard, writer: FeatureWriter, comparison: Comparison, embedded: pa.Table | None) -> pa.Table | None:
    """Return a shard's new rows: copied ones, then embedded ones; None where it has none.

    Raises:
        FeatureFileError: A part that rows are copied from is broken.
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
        comparison: The listing compared with it.
        shards: The shards that the batches belong to, in order.
        cache: Learns which embeddings are committed.

    Attributes:
        cpu_s: CPU seconds of writing.
    """

    def __init__(
        self, writer: FeatureWriter, comparison: Comparison, shards: Sequence[Shard], cache: EmbeddingCache
    ) -> None:
        self._writer = writer
        self._comparison = comparison
        self._shards = shards
        self._cache = cache
        self._current = 0
        self._buffer = ShardBuffer()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="frieze-write")
        self._commit: Future[None] | None = None
        self.cpu_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._thread:
            if kind is not None and self._buffer.rows and not self._shards[self._current].drop:
                self._submit()
            self.wait()

    def add(self, embedded: EmbeddedBatch) -> None:
        """Add the next batch of the stream; commit the shard with its last batch.

        Raises:
            FeatureFileError: An earlier shard could not be written.
        """
        self._buffer.add(embedded, self._comparison.images)
        if embedded.batch.requested.is_last:
            self._submit()
            self._current += 1

    def wait(self) -> None:
        """Wait for the commit in progress.

        Raises:
            FeatureFileError: It failed.
        """
        if self._commit is not None:
            self._commit.result()
            self._commit = None

    def _submit(self) -> None:
        """Commit the buffer in the thread; at most one shard waits for the disk, so memory stays flat."""
        self.wait()
        buffer, self._buffer = self._buffer, ShardBuffer()
        self._commit = self._thread.submit(self._write, self._shards[self._current], buffer)

    def _write(self, shard: Shard, buffer: ShardBuffer) -> None:
        start = time.thread_time()
        images, manifest = self._comparison.images, self._writer.manifest
        columns = computed_columns(manifest)
        embedded = None
        if buffer.embeddings:
            embedded = buffer.to_table(images, manifest.spec, **columns)
        commit(shard, self._writer, self._comparison, embedded, buffer.failures)
        self.cpu_s += time.thread_time() - start
        self._cache.mark_committed(shard.part, buffer.digests)


def embedded_rows(
    images: pa.Table, digests: Sequence[bytes], embeddings: Sequence[CachedEmbedding], schema: pa.Schema
) -> pa.Table:
    """Build the rows of embedded images.

    Args:
        images: Rows of a listing.
        digests: sha256 of each image's bytes.
        embeddings: Of each image.
        schema: From `to_part_schema`.

    Returns:
        Rows of a part.
    """
    computed: dict[str, Any] = {
        "sha256": [digest.hex() for digest in digests],
        "width": [one.width for one in embeddings],
        "height": [one.height for one in embeddings],
    }
    computed |= {name: [getattr(one, name) or None for one in embeddings] for name in perceptual_hash_columns(schema)}
    for at, name in enumerate(statistics_columns(schema)):
        computed[name] = [None if one.statistics is None else float(one.statistics[at]) for one in embeddings]
    dim = schema.field("embedding").type.list_size
    vectors = np.stack([one.embedding for one in embeddings]) if embeddings else np.empty((0, dim), np.float32)
    return _to_rows(images, computed, vectors, schema)


def copied_rows(images: pa.Table, stored: pa.Table, shard: Shard, writer: FeatureWriter) -> pa.Table:
    """Build a shard's copied rows: the listing's columns, with the stored embeddings of the same bytes.

    Args:
        images: The listing's table.
        stored: Every stored row, from `FeatureWriter.stored`.
        shard: Names the rows of both.
        writer: The table.

    Returns:
        Rows of a part.
    """
    manifest = writer.manifest
    schema = to_part_schema(images, manifest.spec, **computed_columns(manifest))
    source_rows = stored.select(["id", PART]).take(shard.source_rows)
    parts = source_rows[PART].to_numpy()
    tables = []
    for part in np.unique(parts):
        at = np.flatnonzero(parts == part)
        computed = writer.computed_columns(int(part))
        computed = computed.take(pc.index_in(source_rows["id"].take(at), computed["id"]))
        embeddings = to_embeddings(computed["embedding"])
        tables.append(_to_rows(images.take(shard.copies[at]), computed, embeddings, schema))
    return pa.concat_tables(tables)


def computed_columns(manifest: Manifest) -> dict[str, bool]:
    """Return which computed columns a table has beside those of each, as arguments of `part_schema`."""
    return {"has_perceptual_hashes": manifest.has_perceptual_hashes, "has_statistics": manifest.has_statistics}


def to_part_schema(
    images: pa.Table, spec: BackboneSpec, *, has_perceptual_hashes: bool, has_statistics: bool = False
) -> pa.Schema:
    """Return the schema of the part that holds a listing's images."""
    user_columns = [field for field in images.schema if field.name not in OURS]
    return part_schema(spec, user_columns, has_perceptual_hashes=has_perceptual_hashes, has_statistics=has_statistics)


def _to_rows(images: pa.Table, computed: Any, embeddings: Floats, schema: pa.Schema) -> pa.Table:
    columns = {name: images[name] for name in images.column_names}
    names = "sha256", "width", "height", *perceptual_hash_columns(schema), *statistics_columns(schema)
    columns |= {name: computed[name] for name in names}
    return to_part(columns, embeddings, schema)
