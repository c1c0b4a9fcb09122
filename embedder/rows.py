"""Rows of a part, joined from what was listed and what is known of the images' bytes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedder.known import Seen
from features import OURS, PART, BackboneSpec, FeatureWriter, Floats, Shard, part_schema, to_embeddings, to_part


def embedded_rows(images: pa.Table, digests: Sequence[bytes], seen: Sequence[Seen], spec: BackboneSpec) -> pa.Table:
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
    origins = stored.select(["id", PART]).take(shard.origins)
    parts = origins[PART].to_numpy()
    pieces = []
    for part in np.unique(parts):
        at = np.flatnonzero(parts == part)
        learned = writer.learned(int(part))
        learned = learned.take(pc.index_in(origins["id"].take(at), learned["id"]))
        embeddings = to_embeddings(learned["embedding"])
        pieces.append(_to_rows(images.take(shard.copies[at]), learned, embeddings, spec))
    return pa.concat_tables(pieces)


def _to_rows(images: pa.Table, learned: Any, embeddings: Floats, spec: BackboneSpec) -> pa.Table:
    user_columns = [field for field in images.schema if field.name not in OURS]
    columns = {name: images[name] for name in images.column_names}
    columns |= {name: learned[name] for name in ("sha256", "width", "height")}
    return to_part(columns, embeddings, part_schema(spec, user_columns))
