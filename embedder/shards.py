"""Embedded images gathered into shards, each written while the next one fills."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from embedder.pipeline import Batch, ImageInfo
from features import LISTING, BackboneSpec, Failure, FeatureWriter, Floats, Rows, Shard, part_schema, to_part


@dataclasses.dataclass
class _Rows:
    """What a shard has so far."""

    rows: list[Rows] = dataclasses.field(default_factory=list)
    infos: list[ImageInfo] = dataclasses.field(default_factory=list)
    embeddings: list[Floats] = dataclasses.field(default_factory=list)
    failures: list[Failure] = dataclasses.field(default_factory=list)


class ShardFiller:
    """Takes embedded batches in order and commits each shard when it is full.

    As a context manager it waits for the last commit; when the block ends by an error or Ctrl-C, the images of an
    unfinished new shard are committed too, so that nothing done is lost.

    Args:
        writer: The table.
        images: The listing's table.
        shards: The shards that the batches belong to, in order.

    Attributes:
        n_embedded: Images handed over for writing.
    """

    def __init__(self, writer: FeatureWriter, images: pa.Table, shards: Sequence[Shard]) -> None:
        self._writer = writer
        self._images = images
        self._shards = shards
        self._at = 0
        self._filling = _Rows()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="frieze-write")
        self._commit: Future[None] | None = None
        self.n_embedded = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._thread:
            if kind is not None and self._filling.rows and not self._shards[self._at].drop:
                self._hand_over()
            self.wait()

    def add(self, batch: Batch, embeddings: Floats) -> None:
        """Take a batch.

        Args:
            batch: The next batch of the stream.
            embeddings: float32 [n, D], one row an image of the batch.

        Raises:
            FeatureFileError: An earlier shard could not be written.
        """
        is_finite = np.asarray(np.isfinite(embeddings).all(axis=1))
        filling = self._filling
        filling.rows.append(batch.rows[is_finite])
        filling.infos.extend(batch.infos[row] for row in np.flatnonzero(is_finite))
        filling.embeddings.append(embeddings[is_finite])
        filling.failures.extend(batch.failures)
        filling.failures.extend(self._not_finite(batch.rows[~is_finite]))
        if batch.is_last:
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
        filled, self._filling = self._filling, _Rows()
        self.n_embedded += len(filled.infos)
        self._commit = self._thread.submit(self._write, self._shards[self._at], filled)

    def _write(self, shard: Shard, filled: _Rows) -> None:
        images = self._images.take(np.concatenate(filled.rows))
        table = to_rows(images, filled.infos, np.concatenate(filled.embeddings), self._writer.manifest.spec)
        self._writer.commit(shard, table, filled.failures)

    def _not_finite(self, rows: Rows) -> list[Failure]:
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
            for image in self._images.take(rows).to_pylist()
        ]


def to_rows(images: pa.Table, infos: Sequence[ImageInfo], embeddings: Floats, spec: BackboneSpec) -> pa.Table:
    """Join listed images with what decoding and the backbone made of them.

    Args:
        images: Rows of a listing.
        infos: One an image.
        embeddings: float32 [n, D].
        spec: The backbone's.

    Returns:
        Rows of a part.
    """
    user_columns = [field for field in images.schema if field.name not in LISTING.names]
    columns = {name: images[name] for name in images.column_names}
    learned = {field.name: [getattr(info, field.name) for info in infos] for field in dataclasses.fields(ImageInfo)}
    return to_part(columns | learned, embeddings, part_schema(spec, user_columns))
