"""Predictions for a whole table, streamed to a file, in this process or on a Ray cluster."""

import contextlib
import dataclasses
import functools
from collections.abc import Generator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from frieze.classifiers.conformal import prediction_sets
from frieze.classifiers.familiarity import UNFAMILIAR, Familiarity
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

Mask = npt.NDArray[np.bool_]

_COLUMNS = ("id", "prediction", "probability")

_ABSTAINED = "abstained"
"""Column: whether the head abstains from this prediction."""

_FAMILIARITY = "familiarity"
"""Column: the rank among the head's held-out images by similarity to its training images, in (0, 1]."""

_SET = "prediction_set"
"""Column: the classes that hold the label with the stated probability, the likeliest first."""

_SCORE = "score_"
"""Prefix of the columns of scores."""


@dataclasses.dataclass(frozen=True)
class ExtraColumns:
    """Columns that are asked for beside prediction and probability.

    Attributes:
        scores: Whether to add `score_CLASS` (float32) for each class, in the order of the head's classes.
        confidence: Add `prediction_set` (list of class names): sets that hold the label of this share of images like
            the held-out ones, in (0, 1). None for no such column.
    """

    scores: bool = False
    confidence: float | None = None


def predict_features(
    path: str | Path,
    features: Features,
    out: Path | None,
    *,
    extra: ExtraColumns = ExtraColumns(),
    force: bool = False,
    ray: str | None = None,
) -> dict[str, Any]:
    """Predict each row of a table with a stored head; write the predictions, or return them.

    Args:
        path: The folder of the head.
        features: The table, of the head's backbone; it is read in batches.
        out: The file, Parquet, CSV or JSON lines by its suffix: `id`, `prediction` (a class name), `probability`
            (float32), where the head abstains below a threshold `abstained` (bool), `familiarity` (float32) where it
            knows its training images; rows as in the table. None to return them.
        extra: Columns that are asked for.
        force: Replace predictions at `out`; any other file is kept.
        ray: `auto` or the address of a Ray cluster, whose machines predict part by part; None for this process.

    Returns:
        `rows` predicted, `failed` (0: a stored row can't fail), `out` (absolute) or `predictions` (a dict a row, of
        these columns), and `stale` (None, or the command to type if the head's table has changed since it was trained).
        `n_unfamiliar`: rows with a familiarity below .05, None where the head does not know it; `is_unfamiliar`,
        whether these are a tenth or more, and more than chance explains; `prediction_sets`, with a confidence:
        `confidence`, `coverage` and `n_held_out` (of held-out images, by cross-validation), `mean_size` and `n_single`
        of the predicted sets, and `pooled_classes`, whose held-out images are too few for their own threshold.

    Raises:
        InputError: There is no such cluster, or one of its machines can't see the head or the table; or the head has
            too few held-out images for that confidence.
        FeatureFileError: `out` can't be written or is another file, or the head or the table is broken.
        MismatchError: The table is of another backbone.
    """
    if out is not None:
        out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
        check_predictions(out, force=force)
    head = open_head(path)
    check_backbone(head, features)
    of_sets = _describe_held_out(head, extra.confidence)
    tables = predictions(head, features, extra) if ray is None else predictions_on_ray(ray, head.path, features, extra)
    return store_predictions(head, tables, prediction_schema(head, extra), out, of_sets=of_sets)


def _describe_held_out(head: Head, confidence: float | None) -> dict[str, Any]:
    """Return what sets of a confidence hold of the held-out images; empty without a confidence.

    Raises:
        InputError: The head has too few held-out images for it.
    """
    if confidence is None:
        return {}
    held_out = head.held_out
    held_out.check(confidence)  # before anything is predicted
    return {
        "confidence": confidence,
        "coverage": held_out.coverage(head.classes, confidence),
        "n_held_out": len(held_out.labels),
        "pooled_classes": held_out.pooled(head.classes, confidence),
    }


class _Predictor(Protocol):
    """A head of one label an image, or of several."""

    familiarity: Familiarity | None

    def staleness(self) -> str | None: ...


def store_predictions(
    head: _Predictor,
    tables: Generator[pa.Table],
    schema: pa.Schema,
    out: Path | None,
    *,
    of_sets: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write predictions to a file, or collect them, and count them.

    Args:
        head: The head.
        tables: Its predictions.
        schema: Their columns.
        out: The file, absolute; None to return them.
        of_sets: What is known of prediction sets; nothing where there are none.

    Returns:
        The document of `predict_features`.
    """
    counts = _Counts(head.familiarity, of_sets or {})
    with contextlib.closing(tables):  # disconnects from the cluster at once
        counted = counts.counting(tables)
        if out is not None:
            write_table_file(out, schema, counted)
        result = (
            {"predictions": [row for table in counted for row in table.to_pylist()]}
            if out is None
            else {"out": str(out)}
        )
    return {"rows": counts.n_rows, "failed": 0, "stale": head.staleness()} | counts.to_json() | result


class _Counts:
    """Counts of predictions that are written."""

    def __init__(self, familiarity: Familiarity | None, of_sets: dict[str, Any]) -> None:
        self._familiarity, self._of_sets = familiarity, of_sets
        self.n_rows = self._n_unfamiliar = self._n_single = self._n_in_sets = 0

    def counting(self, tables: Generator[pa.Table]) -> Generator[pa.Table]:
        """Yield the tables, and count their rows."""
        for table in tables:
            self.n_rows += len(table)
            if _FAMILIARITY in table.column_names:
                self._n_unfamiliar += int(np.sum(table[_FAMILIARITY].to_numpy() < UNFAMILIAR))
            if _SET in table.column_names:
                sizes = pc.list_value_length(table[_SET]).to_numpy()
                self._n_single += int(np.sum(sizes == 1))
                self._n_in_sets += int(sizes.sum())
            yield table

    def to_json(self) -> dict[str, Any]:
        """Return the fields `n_unfamiliar`, `is_unfamiliar` and `prediction_sets`."""
        sizes = {"n_single": self._n_single, "mean_size": self._n_in_sets / max(1, self.n_rows)}
        familiarity = self._familiarity
        return {
            "n_unfamiliar": None if familiarity is None else self._n_unfamiliar,
            "is_unfamiliar": familiarity is not None
            and familiarity.exceeds_chance(self._n_unfamiliar, n_rows=self.n_rows),
            "prediction_sets": self._of_sets | sizes if self._of_sets else None,
        }


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
    others = [name for name in names[n_columns:] if name not in {_ABSTAINED, _FAMILIARITY, _SET}]
    return tuple(names[:n_columns]) == _COLUMNS and all(name.startswith(_SCORE) for name in others)


def prediction_schema(head: Head, extra: ExtraColumns) -> pa.Schema:
    """Return the columns: id, prediction, probability, what the head knows beside them, and what is asked for."""
    fields = list(zip(_COLUMNS, (pa.string(), pa.string(), pa.float32()), strict=True))
    fields += [] if head.threshold is None else [(_ABSTAINED, pa.bool_())]
    fields += [] if head.familiarity is None else [(_FAMILIARITY, pa.float32())]
    fields += [] if extra.confidence is None else [(_SET, pa.list_(pa.string()))]
    fields += [(f"{_SCORE}{name}", pa.float32()) for name in head.classes] if extra.scores else []
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


def predictions(head: Head, features: Features, extra: ExtraColumns) -> Generator[pa.Table]:
    """Yield predictions batch by batch, in the table's order."""
    schema = prediction_schema(head, extra)
    thresholds = None if extra.confidence is None else head.held_out.thresholds(head.classes, extra.confidence)
    for ids, embeddings in features.batches():
        probabilities = head.probabilities(embeddings)
        columns = [pa.array(ids, pa.string()), *prediction_columns(head, probabilities).values()]
        if head.familiarity is not None:
            columns.append(pa.array(head.familiarity.of(embeddings), pa.float32()))
        if thresholds is not None:
            columns.append(to_lists(prediction_sets(probabilities, thresholds), probabilities, head.classes)[0])
        columns += [pa.array(of_class, pa.float32()) for of_class in probabilities.T]
        yield pa.Table.from_arrays(columns[: len(schema)], schema=schema)


def to_lists(is_in: Mask, probabilities: Floats, classes: Strings) -> tuple[pa.ListArray, pa.ListArray]:
    """Return the names of the classes that are in the set of each row, the likeliest first, and their probabilities.

    Args:
        is_in: bool [n, C].
        probabilities: float32 [n, C].
        classes: Names [C].
    """
    rows, codes = np.nonzero(is_in)
    codes = codes[np.lexsort((-probabilities[rows, codes], rows))]
    ends = np.concatenate([np.zeros(1, np.int32), np.cumsum(is_in.sum(axis=1), dtype=np.int32)])
    of_sets = pa.array(classes[codes], pa.string()), pa.array(probabilities[rows, codes], pa.float32())
    names, values = (pa.ListArray.from_arrays(ends, column) for column in of_sets)
    return names, values


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


def predictions_on_ray(address: str, path: Path, features: Features, extra: ExtraColumns) -> Generator[pa.Table]:
    """Predict the parts of a table on a Ray cluster.

    Parts that are ready early wait for their turn, so at most two parts a core are in memory.

    Args:
        address: `auto`, or the cluster's address.
        path: The folder of the head.
        features: The table.
        extra: Columns that are asked for.

    Yields:
        The predictions of each part, in the table's order.

    Raises:
        InputError: There is no such cluster, or one of its machines can't see the head or the table.
    """
    with connect_to_ray(address) as ray:
        yield from run_on_cluster(ray, _predict_part, (path, extra), ((part,) for part in features.split()))


def _predict_part(head: tuple[Path, ExtraColumns], features: Features) -> pa.Table:
    path, extra = head
    for needed in (path, features.path):
        if not needed.exists():
            raise not_visible_error(needed, "head and table")
    return pa.concat_tables(predictions(_open_head_once(path), features, extra))


@functools.cache
def _open_head_once(path: Path) -> Head:
    """Open the head once a process."""
    return open_head(path)
