"""Predictions for the parts of a table, made by the machines of a Ray cluster, in the table's order."""

import collections
import functools
import itertools
from collections.abc import Generator
from pathlib import Path

import pyarrow as pa

from classifiers.answers import answers
from classifiers.storage import Head, open_head
from features import Features, connected, fetch, unseen

_AHEAD = 2
"""Parts under way for each core: the next one lies there when one is done."""


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
    with connected(address) as ray:
        predict = ray.remote(num_cpus=1)(_predict)
        n_cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting = (predict.remote(path, piece, scores=scores) for piece in features.split())
        coming = collections.deque(itertools.islice(waiting, _AHEAD * n_cores))
        while coming:
            done = fetch(ray, coming.popleft())
            coming.extend(itertools.islice(waiting, 1))
            yield done


def _predict(path: Path, features: Features, *, scores: bool) -> pa.Table:
    for place in (path, features.path):
        if not place.exists():
            raise unseen(place, "head and table")
    return pa.concat_tables(answers(_opened(path), features, scores=scores))


@functools.cache
def _opened(path: Path) -> Head:
    """Open the head once a process."""
    return open_head(path)
