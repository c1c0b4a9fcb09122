"""Predictions for a whole table, streamed to a Parquet file."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from classifiers.outputs import ABSTAINED, PREDICTION_COLUMNS, SCORE, check_predictions
from classifiers.storage import Head, check_backbone, open_head
from features import Features, Floats, Strings, clear_errors, write_file


def predict_features(
    path: str | Path, features: Features, out: Path, *, scores: bool = False, force: bool = False
) -> dict[str, Any]:
    """Write what a head says about each row of a table.

    Args:
        path: The folder of the head.
        features: The table, of the head's backbone; it is read in batches.
        out: The Parquet file: `id`, `prediction` (a class name), `probability` (float32), and where the head abstains
            below a probability `abstained` (bool); rows as in the table.
        scores: Add a column `score_CLASS` (float32) for each class, in the order of the head's classes.
        force: Replace predictions that stand at `out`; any other file stays.

    Returns:
        `rows` written, `failed` (0: a stored row can't fail), `out` (absolute), and `stale` (None, or what to type
        where the table that the head was trained on has changed since).

    Raises:
        FeatureFileError: `out` can't be written or holds what must not go, or the head or the table is broken.
        MismatchError: The table is of another backbone.
    """
    out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
    check_predictions(out, force=force)
    head = open_head(path)
    check_backbone(head, features)
    with clear_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, lambda staging: _write(staging, head, features, scores=scores))
    return {"rows": len(features), "failed": 0, "out": str(out), "stale": head.staleness()}


def _write(path: Path, head: Head, features: Features, *, scores: bool) -> None:
    schema = _schema(head, scores=scores)
    with pq.ParquetWriter(path, schema) as writer:
        for ids, embeddings in features.batches():
            writer.write_table(_predictions(ids, head.probabilities(embeddings), head, schema))


def _schema(head: Head, *, scores: bool) -> pa.Schema:
    fields = list(zip(PREDICTION_COLUMNS, (pa.string(), pa.string(), pa.float32()), strict=True))
    fields += [] if head.threshold is None else [(ABSTAINED, pa.bool_())]
    fields += [(f"{SCORE}{name}", pa.float32()) for name in head.classes] if scores else []
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


def _predictions(ids: Strings, probabilities: Floats, head: Head, schema: pa.Schema) -> pa.Table:
    highest = probabilities.max(axis=1)
    every = [ids, head.classes[probabilities.argmax(axis=1)], highest]
    every += [] if head.threshold is None else [highest < head.threshold]
    arrays = [pa.array(values, field.type) for values, field in zip([*every, *probabilities.T], schema, strict=False)]
    return pa.Table.from_arrays(arrays, schema=schema)
