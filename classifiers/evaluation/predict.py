"""Predictions for a whole table, streamed to a file."""

import contextlib
from pathlib import Path
from typing import Any

from frieze.classifiers.evaluation.predict_on_ray import answers_of_cluster
from frieze.classifiers.evaluation.prediction_table import answer_schema, answers
from frieze.classifiers.storage.head_folder import check_backbone, open_head
from frieze.classifiers.storage.output_checks import check_predictions
from frieze.core import write_table_file
from frieze.features import Features


def predict_features(
    path: str | Path,
    features: Features,
    out: Path,
    *,
    scores: bool = False,
    force: bool = False,
    ray: str | None = None,
) -> dict[str, Any]:
    """Write what a head says about each row of a table.

    Args:
        path: The folder of the head.
        features: The table, of the head's backbone; it is read in batches.
        out: The file, Parquet, CSV or JSON lines by its suffix: `id`, `prediction` (a class name), `probability`
            (float32), and where the head abstains below a probability `abstained` (bool); rows as in the table.
        scores: Add a column `score_CLASS` (float32) for each class, in the order of the head's classes.
        force: Replace predictions that stand at `out`; any other file stays.
        ray: `auto` or the address of a Ray cluster, whose machines predict part by part; None for this process.

    Returns:
        `rows` written, `failed` (0: a stored row can't fail), `out` (absolute), and `stale` (None, or what to type
        where the table that the head was trained on has changed since).

    Raises:
        InputError: There is no such cluster, or a machine of it does not see the head or the table.
        FeatureFileError: `out` can't be written or holds what must not go, or the head or the table is broken.
        MismatchError: The table is of another backbone.
    """
    out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
    check_predictions(out, force=force)
    head = open_head(path)
    check_backbone(head, features)
    tables = (
        answers(head, features, scores=scores)
        if ray is None
        else answers_of_cluster(ray, head.path, features, scores=scores)
    )
    with contextlib.closing(tables):  # a cluster is let go at once
        write_table_file(out, answer_schema(head, scores=scores), tables)
    return {"rows": len(features), "failed": 0, "out": str(out), "stale": head.staleness()}
