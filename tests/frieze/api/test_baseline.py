"""The baseline accuracy: always predicting the most frequent class."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frieze

NOTE = "of the held-out images are of one class"


@pytest.fixture
def table(tmp_path):
    """`table(n_rare, noise=...)`: a table of 100 images, so many of class `b`, told apart by the first number."""

    def make(n_rare, *, noise=0.1):
        is_rare = np.arange(100) < n_rare
        vectors = noise * np.random.default_rng(0).normal(size=(100, 8)).astype("f4")
        vectors[:, 0] += np.where(is_rare, 1, -1) * (noise < 1)
        columns = {"id": [f"{row:03}" for row in range(100)], "label": np.where(is_rare, "b", "a")}
        pq.write_table(pa.table(columns | {"embedding": list(vectors)}), tmp_path / "v.parquet")
        frieze.import_vectors(tmp_path / "v.parquet", out=tmp_path / "features", force=True)
        return tmp_path / "features"

    return make


@pytest.mark.parametrize(("n_rare", "baseline", "has_note"), [(50, 0.5, False), (5, 0.95, True)])
def test_one_class_has_most_images(n_rare, baseline, has_note, table, run, tmp_path):
    """train, evaluate and compare report the share of the most frequent class, with a note from 90 % on."""
    features = table(n_rare)
    train = ("train", features, "--out", tmp_path / "head", "--head", "prototype")
    for command in (train, ("evaluate", tmp_path / "head", features), ("compare", features, "--heads", "prototype")):
        result = run(*command, "--json")
        assert f'"baseline_accuracy": {baseline}' in result.stdout
        assert (NOTE in result.stderr) == has_note


def test_no_better_than_a_guess(table, run, tmp_path):
    """A head that is right no more often than always naming one class is said to be so."""
    result = run("train", table(30, noise=1), "--out", tmp_path / "head", "--head", "linear")
    assert f"Note: 70.0% {NOTE}" in result.stderr
