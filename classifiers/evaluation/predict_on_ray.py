"""Predictions for the parts of a table, made by the machines of a Ray cluster, in the table's order."""

import functools
from collections.abc import Generator
from pathlib import Path

import pyarrow as pa

from frieze.classifiers.evaluation.prediction_table import answers
from frieze.classifiers.storage.head_folder import Head, open_head
from frieze.core import connect_to_ray, not_visible_error, run_on_cluster
from frieze.features import Features


def answers_of_cluster(address: str, path: Path, features: Features, *, scores: bool) -> Generator[pa.Table]:
    """Predict part by part; what is ready early waits, so at most two parts a core are in memory.

    Args:
        address: `auto`, or the cluster's address.
        path: The folder of the head.
        features: The table.
        scores: Give each class's probability, too.

    Yields:
        The predictions for each part, in the table's order.

    Raises:
        InputError: There is no such cluster, or a machine of it does not see the head or the table.
    """
    with connect_to_ray(address) as ray:
        yield from run_on_cluster(ray, _predict, (path, scores), ((piece,) for piece in features.split()))


def _predict(head: tuple[Path, bool], features: Features) -> pa.Table:
    path, scores = head
    for place in (path, features.path):
        if not place.exists():
            raise not_visible_error(place, "head and table")
    return pa.concat_tables(answers(_opened(path), features, scores=scores))


@functools.cache
def _opened(path: Path) -> Head:
    """Open the head once a process."""
    return open_head(path)
