"""Predictions made by several machines; the judge is the file that is written here."""

import contextlib
import pickle
import shutil
import types

import numpy as np
import pyarrow.parquet as pq
import pytest

from frieze.classifiers import predict_features
from frieze.classifiers.evaluation.predict import ExtraColumns, prediction_schema
from frieze.core import InputError


class RayError(Exception):
    """What Ray raises where the work can't be done."""


@pytest.fixture
def cluster(monkeypatch):
    """What a prediction wants of Ray, done in this process when the answer is fetched; gives the numbers of tasks."""
    message = types.SimpleNamespace(n_tasks=0, most_waiting=0, n_fetched=0, error=None)

    def remote(function):
        def ask(*args, **kwargs):
            message.n_tasks += 1
            message.most_waiting = max(message.most_waiting, message.n_tasks - message.n_fetched)
            args, kwargs = pickle.loads(pickle.dumps((args, kwargs)))  # noqa: S301  our own, as Ray does
            return lambda: function(*args, **kwargs)

        return types.SimpleNamespace(remote=ask)

    def get(answer):
        message.n_fetched += 1
        if message.error is not None:
            raise message.error
        return answer()

    ray = types.SimpleNamespace(
        remote=lambda **_: remote,
        get=get,
        put=lambda value: value,
        cluster_resources=lambda: {"CPU": 1.0},
        available_resources=lambda: {"CPU": 1.0},
        exceptions=types.SimpleNamespace(RayError=RayError, RayTaskError=type("RayTaskError", (RayError,), {})),
    )
    monkeypatch.setattr("frieze.classifiers.evaluation.predict.connect_to_ray", lambda _: contextlib.nullcontext(ray))
    return message


@pytest.fixture
def parts(table):
    """A table of eight parts."""
    rng = np.random.default_rng(0)
    return table([f"{n:03d}" for n in range(64)], [None] * 64, rng.normal(size=(64, 8)).astype("f"), shard_size=8)


def test_ray_writes_the_same_file(trained, parts, cluster, tmp_path):
    """Part by part, in the table's order and with two under way at most, the file is the one that is written here."""
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    predict_features(trained["linear"], parts, here, extra=ExtraColumns(scores=True))
    predict_features(trained["linear"], parts, there, extra=ExtraColumns(scores=True), ray="auto")
    assert pq.read_table(there).equals(pq.read_table(here))
    assert (cluster.n_tasks, cluster.most_waiting) == (8, 2)


def test_a_machine_that_does_not_see_the_head(trained, parts, cluster, tmp_path, monkeypatch):
    """Who does not see the head says so, and nothing is written."""
    head = shutil.copytree(trained["linear"], tmp_path / "head")

    def schema_and_gone(*args, **kwargs):
        shutil.rmtree(head)
        return prediction_schema(*args, **kwargs)

    monkeypatch.setattr("frieze.classifiers.evaluation.predict.prediction_schema", schema_and_gone)
    with pytest.raises(InputError, match="does not see"):
        predict_features(head, parts, tmp_path / "p.parquet", ray="auto")
    assert not (tmp_path / "p.parquet").exists()


def test_a_failed_part_raises_an_error(trained, parts, cluster, tmp_path):
    """A part that no machine brings to an end is an error that says where to look."""
    cluster.error = RayError("out of memory")
    with pytest.raises(InputError, match="could not do a part of the work"):
        predict_features(trained["linear"], parts, tmp_path / "p.parquet", ray="auto")
