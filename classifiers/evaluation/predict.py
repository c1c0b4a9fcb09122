"""Predictions for a whole table, streamed to a file, in this process or on a Ray cluster."""

import contextlib
import functools
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pyarrow as pa

from frieze.classifiers.storage.head_folder import Head, check_backbone, open_head
from frieze.core import (
    Floats,
    Strings,
    check_table_file,
    connect_to_ray,
    not_visible_error,
    run_on_cluster,
    write_table_file,
)
from frieze.features import Features

_COLUMNS = ("id", "prediction", "probability")

_ABSTAINED = "abstained"
"""Column: whether the head abstains from this prediction."""

_SCORE = "score_"
"""Prefix of the columns of scores."""


def predict_features(
    path: str | Path,
    features: Features,
    out: Path | None,
    *,
    scores: bool = False,
    force: bool = False,
    ray: str | None = None,
) -> dict[str, Any]:
    """Predict each row of a table with a stored head; write the predictions, or return them.

    Args:
        path: The folder of the head.
        features: The table, of the head's backbone; it is read in batches.
        out: The file, Parquet, CSV or JSON lines by its suffix: `id`, `prediction` (a class name), `probability`
            (float32), and where the head abstains below a threshold `abstained` (bool); rows as in the table. None
            to return them.
        scores: Whether to add a column `score_CLASS` (float32) for each class, in the order of the head's classes.
        force: Replace predictions at `out`; any other file is kept.
        ray: `auto` or the address of a Ray cluster, whose machines predict part by part; None for this process.

    Returns:
        `rows` predicted, `failed` (0: a stored row can't fail), `out` (absolute) or `predictions` (a dict a row, of
        these columns), and `stale` (None, or the command to type if the head's table has changed since it was trained).

    Raises:
        InputError: There is no such cluster, or one of its machines can't see the head or the table.
        FeatureFileError: `out` can't be written or is another file, or the head or the table is broken.
        MismatchError: The table is of another backbone.
    """
    if out is not None:
        out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
        check_predictions(out, force=force)
    head = open_head(path)
    check_backbone(head, features)
    tables = (
        predictions(head, features, scores=scores)
        if ray is None
        else predictions_on_ray(ray, head.path, features, scores=scores)
    )
    with contextlib.closing(tables):  # disconnects from the cluster at once
        if out is not None:
            write_table_file(out, prediction_schema(head, scores=scores), tables)
        result = (
            {"predictions": [row for table in tables for row in table.to_pylist()]}
            if out is None
            else {"out": str(out)}
        )
    return {"rows": len(features), "failed": 0, "stale": head.staleness()} | result


def check_predictions(out: Path, *, force: bool) -> None:
    """Check that predictions can be written to a file.

    Args:
        out: The file to write; its suffix selects Parquet, CSV or JSON lines.
        force: Whether existing predictions are overwritten; any other file or folder never is.

    Raises:
        FeatureFileError: It can't be written, would overwrite something else, or has another suffix.
    """
    check_table_file(out, _are_predictions, "predictions", force=force)


def _are_predictions(names: list[str]) -> bool:
    n_columns = len(_COLUMNS)
    others = [name for name in names[n_columns:] if name != _ABSTAINED]
    return tuple(names[:n_columns]) == _COLUMNS and all(name.startswith(_SCORE) for name in others)


def prediction_schema(head: Head, *, scores: bool) -> pa.Schema:
    """Return the columns: id, prediction, probability, `abstained` where the head abstains, and scores."""
    fields = list(zip(_COLUMNS, (pa.string(), pa.string(), pa.float32()), strict=True))
    fields += [] if head.threshold is None else [(_ABSTAINED, pa.bool_())]
    fields += [(f"{_SCORE}{name}", pa.float32()) for name in head.classes] if scores else []
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


def predictions(head: Head, features: Features, *, scores: bool) -> Generator[pa.Table]:
    """Yield predictions batch by batch, in the table's order."""
    schema = prediction_schema(head, scores=scores)
    for ids, embeddings in features.batches():
        yield _to_table(ids, head.probabilities(embeddings), head, schema)


def prediction_columns(head: Head, probabilities: Floats) -> dict[str, pa.Array]:
    """Return `prediction`, `probability` and, where the head abstains, `abstained` of rows.

    Args:
        head: The head.
        probabilities: float32 [n, C], its own.
    """
    highest = probabilities.max(axis=1)
    labels = pa.array(head.classes[probabilities.argmax(axis=1)], pa.string())
    columns = dict(zip(_COLUMNS[1:], (labels, pa.array(highest, pa.float32())), strict=True))
    return columns if head.threshold is None else columns | {_ABSTAINED: pa.array(highest < head.threshold)}


def _to_table(ids: Strings, probabilities: Floats, head: Head, schema: pa.Schema) -> pa.Table:
    columns = [pa.array(ids, pa.string()), *prediction_columns(head, probabilities).values()]
    scores = [pa.array(of_class, pa.float32()) for of_class in probabilities.T]
    return pa.Table.from_arrays([*columns, *scores][: len(schema)], schema=schema)


def predictions_on_ray(address: str, path: Path, features: Features, *, scores: bool) -> Generator[pa.Table]:
    """Predict the parts of a table on a Ray cluster.

    Parts that are ready early wait for their turn, so at most two parts a core are in memory.

    Args:
        address: `auto`, or the cluster's address.
        path: The folder of the head.
        features: The table.
        scores: Whether to add each class's probability.

    Yields:
        The predictions of each part, in the table's order.

    Raises:
        InputError: There is no such cluster, or one of its machines can't see the head or the table.
    """
    with connect_to_ray(address) as ray:
        yield from run_on_cluster(ray, _predict_part, (path, scores), ((part,) for part in features.split()))


def _predict_part(head: tuple[Path, bool], features: Features) -> pa.Table:
    path, scores = head
    for needed in (path, features.path):
        if not needed.exists():
            raise not_visible_error(needed, "head and table")
    return pa.concat_tables(predictions(_open_head_once(path), features, scores=scores))


@functools.cache
def _open_head_once(path: Path) -> Head:
    """Open the head once a process."""
    return open_head(path)
