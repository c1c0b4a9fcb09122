"""Predictions for a whole table, streamed to a Parquet file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from classifiers.storage import Head, check_backbone, open_head
from features import FeatureFileError, Features, Floats, Strings, write_file


def predict_features(
    path: str | Path, features: Features, out: Path, *, scores: bool = False, force: bool = False
) -> dict[str, Any]:
    """Write what a head says about each row of a table.

    Args:
        path: The folder of the head.
        features: The table, of the head's backbone; it is read in batches.
        out: The Parquet file: `id`, `prediction` (a class name), `probability` (float32); rows as in the table.
        scores: Add a column `score_CLASS` (float32) for each class, in the order of the head's classes.
        force: Replace a file that stands at `out`.

    Returns:
        `rows` written, `failed` (0: a stored row can't fail) and `out`.

    Raises:
        FeatureFileError: Something stands at `out`, or the head or the table is missing or broken.
        MismatchError: The table is of another backbone.
    """
    if out.exists() and not force:
        raise FeatureFileError(f"{out} is there already.", mend="Give another --out, or --force to replace it.")
    head = open_head(path)
    check_backbone(head, features)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, lambda staging: _write(staging, head, features, scores=scores))
    return {"rows": len(features), "failed": 0, "out": str(out)}


def _write(path: Path, head: Head, features: Features, *, scores: bool) -> None:
    schema = _schema(head.classes if scores else ())
    with pq.ParquetWriter(path, schema) as writer:
        for ids, embeddings in features.batches():
            writer.write_table(_predictions(ids, head.probabilities(embeddings), classes=head.classes, schema=schema))


def _schema(scored: Strings | tuple[()]) -> pa.Schema:
    ours = [("id", pa.string()), ("prediction", pa.string()), ("probability", pa.float32())]
    fields = [*ours, *((f"score_{name}", pa.float32()) for name in scored)]
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


def _predictions(ids: Strings, probabilities: Floats, *, classes: Strings, schema: pa.Schema) -> pa.Table:
    predicted = classes[probabilities.argmax(axis=1)]
    every = [ids, predicted, probabilities.max(axis=1), *probabilities.T]
    arrays = [pa.array(values, field.type) for values, field in zip(every, schema, strict=False)]
    return pa.Table.from_arrays(arrays, schema=schema)
