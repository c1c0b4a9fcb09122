"""Predictions of several labels an image for a whole table, streamed to a file."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pyarrow as pa

from frieze.classifiers.evaluation.predict import check_predictions, store_predictions, to_lists
from frieze.classifiers.multilabel.stored_head import MultilabelHead, open_multilabel_head
from frieze.classifiers.storage.head_folder import check_backbone
from frieze.features import Features


def predict_multilabel(
    path: str | Path, features: Features, out: Path | None, *, scores: bool = False, force: bool = False
) -> dict[str, Any]:
    """Predict the labels of each row of a table with a stored head of several; write the predictions, or return them.

    Args:
        path: The folder of the head.
        features: The table, of the head's backbone; it is read in batches.
        out: The file, Parquet, CSV or JSON lines by its suffix: `id`, `prediction` (a list of labels, the likeliest
            first, empty where no probability reaches its threshold), `probability` (their list of float32),
            `familiarity` (float32), and with scores `score_LABEL` (float32) for each label; rows as in the table. None
            to return them.
        scores: Whether to add the probability of each label.
        force: Replace predictions at `out`; any other file is kept.

    Returns:
        The fields of `predict_features`; `prediction_sets` is None.

    Raises:
        FeatureFileError: `out` can't be written or is another file, or the head or the table is broken.
        MismatchError: The table is of another backbone.
    """
    if out is not None:
        out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
        check_predictions(out, force=force)
    head = open_multilabel_head(path)
    check_backbone(head, features)
    tables = _predictions(head, features, scores=scores)
    return store_predictions(head, tables, _schema(head, scores=scores), out)


def _schema(head: MultilabelHead, *, scores: bool) -> pa.Schema:
    fields = [("id", pa.string()), ("prediction", pa.list_(pa.string())), ("probability", pa.list_(pa.float32()))]
    fields += [] if head.familiarity is None else [("familiarity", pa.float32())]
    fields += [(f"score_{name}", pa.float32()) for name in head.classes] if scores else []
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


def _predictions(head: MultilabelHead, features: Features, *, scores: bool) -> Generator[pa.Table]:
    schema = _schema(head, scores=scores)
    for ids, embeddings in features.batches():
        probabilities = head.probabilities(embeddings)
        columns = [pa.array(ids, pa.string()), *to_lists(probabilities >= head.thresholds, probabilities, head.classes)]
        if head.familiarity is not None:
            columns.append(pa.array(head.familiarity.of(embeddings), pa.float32()))
        columns += [pa.array(of_label, pa.float32()) for of_label in probabilities.T]
        yield pa.Table.from_arrays(columns[: len(schema)], schema=schema)
