"""Engines and precisions as options of `embed`."""

import itertools
import re

import pytest

import frieze
from frieze.embedder import ENGINES, PRECISIONS
from frieze.embedder.engines import benchmark
from frieze.embedder.job import try_precisions


@pytest.fixture
def lower(world, tmp_path, skip_without_bfloat16):
    """A table of the photos in bfloat16, and an index over it."""
    with skip_without_bfloat16():
        frieze.embed(world / "photos", out=tmp_path / "low.features", precision="bfloat16")
    frieze.index(tmp_path / "low.features", out=tmp_path / "low.index")
    return tmp_path


def test_query_of_a_lower_precision(lower, world):
    """An image is searched for in the precision of its index, and finds itself."""
    (actual,) = frieze.search(lower / "low.index", world / "photos" / "red" / "1.png", k=1)["queries"]
    assert (actual["hits"][0]["id"], round(actual["hits"][0]["score"], 3)) == ("red/1.png", 1.0)


def test_verify_of_a_lower_precision(lower):
    """Embedding images again, as verify does, compares with what was stored in their own precision."""
    document = frieze.verify(lower / "low.features", sample=5)
    assert (document["ok"], document["sampled"], document["drifted"]) == (True, 5, [])


@pytest.mark.slow
def test_predict_of_a_lower_precision(lower, world):
    """New images meet a head in the precision that it was trained in."""
    frieze.train(lower / "low.features", out=lower / "low.head")
    document = frieze.predict(lower / "low.head", world / "photos" / "red", out=lower / "found.parquet")
    assert document["rows"] > 0


def test_precisions_do_not_meet(lower, world, run):
    """A head never predicts on features of another precision; the message names both."""
    result = run("predict", world / "photos.head", lower / "low.features", "--out", lower / "found.parquet")
    assert result.exit_code == 1
    assert "precision: bfloat16" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--precision", "float16"), "TensorFlow has no float16 on a CPU"),
        (("--precision", "int8", "--engine", "tensorflow"), "TensorFlow has no int8 on a CPU"),
        (("--device", "gpu:7"), "There is no device gpu:7 here; there are: cpu:0"),
    ],
)
def test_what_is_not_here(options, message, world, run, tmp_path):
    """What this machine has not is refused with what it has, before anything is written."""
    result = run("embed", world / "photos", "--out", tmp_path / "none.features", *options)
    assert result.exit_code == 1
    assert message in result.stderr


def test_advice_is_printed(world, run, tmp_path):
    """A run says at its end what bounds it."""
    result = run("embed", world / "photos", "--out", tmp_path / "new.features")
    assert re.search(r"to start\. .*\d%", result.stdout)


@pytest.fixture
def quick(monkeypatch):
    """Trials that take a moment."""
    monkeypatch.setattr(try_precisions, "_ROUNDS", 1)
    monkeypatch.setattr(try_precisions, "_ROUND_S", 0.01)
    monkeypatch.setattr(benchmark, "_TRIAL_S", 0.01)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_tried(world, run_json):
    """Each engine is tried in each precision: with its figures, or the reason why it is not available here."""
    exit_code, rows = run_json("backbones", "--try", world / "photos")
    assert exit_code == 0
    assert {(row["engine"], row["precision"]) for row in rows} == set(itertools.product(ENGINES, PRECISIONS))
    for row in rows:
        is_measured = row["images_per_second"] is not None
        assert is_measured == (row["drift"] is not None)
        assert is_measured or row["reason"]
    (first,) = (row for row in rows if (row["engine"], row["precision"]) == ("tensorflow", "float32"))
    assert (first["backbone"], first["drift"]["least_cosine"], first["reason"]) == ("frieze-mini-3", 1.0, None)


def test_nothing_to_try_on(run):
    """A backbone without images to try it on is an error that says so, in options."""
    result = run("backbones", "--backbone", "builtin")
    assert (result.exit_code, "Give --try, too." in result.stderr) == (1, True)
