"""The range of pixels: printed, set by an option, and kept by tables that have another one."""

import json

import numpy as np
import pytest

import frieze
from frieze.core import import_keras


@pytest.fixture(scope="module")
def rescaling(tmp_path_factory):
    """A SavedModel that Keras exported, for pixels of 0..255."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(6, 3, activation="relu")]
    folder = tmp_path_factory.mktemp("backbones") / "net"
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers, keras.layers.GlobalAveragePooling2D()])
    model.export(folder, verbose=False)
    return folder


def test_the_range_is_printed(photos, rescaling, run, run_json, tmp_path):
    """`embed` says on stderr and in its JSON which range was used and how it is known; `info` shows it."""
    result = run("embed", photos, "--backbone", rescaling, "--out", tmp_path / "t")
    assert "net gets pixels in the range 0..255, as the numbers in its first layers say.\n" in result.stderr
    _, document = run_json("embed", photos, "--backbone", rescaling, "--out", tmp_path / "t")
    assert (document["pixels"], document["pixels_from"], document["pixels_stated"]) == ("0..255", "table", None)
    assert run_json("info", tmp_path / "t")[1]["backbone"]["pixels"] == "0..255"


def test_a_range_against_the_numbers(photos, rescaling, run, tmp_path):
    """A given range is used, with a warning where the network's first layers are made for another."""
    result = run("embed", photos, "--backbone", rescaling, "--pixels=0..1", "--out", tmp_path / "t")
    assert "net gets pixels in the range 0..1, as --pixels says.\n" in result.stderr
    assert "Warning: the numbers in its first layers are made for 0..255" in result.stderr
    assert "--pixels=0..255 --force" in result.stderr


def test_a_documented_range_is_not_printed(photos, run, run_json, tmp_path):
    """The built-in network has one range, and nothing is said of it on stderr."""
    assert "pixel" not in run("embed", photos, "--out", tmp_path / "t").stderr
    _, document = run_json("embed", photos, "--out", tmp_path / "other")
    assert (document["pixels"], document["pixels_from"]) == ("0..1", "network")


def test_an_older_table_keeps_its_range(photos, rescaling, run, tmp_path):
    """A table that was made with another guess resumes with its own range, and the contradiction is reported."""
    table = tmp_path / "t"
    options = ("--backbone", rescaling, "--out", table)
    run("embed", photos, *options, "--pixels=0..1", "--limit", 5)
    path = table / "features.json"
    document = json.loads(path.read_text())
    document["request"]["pixels"] = None  # nobody had asked for it then
    path.write_text(json.dumps(document))
    result = run("embed", photos, *options)
    assert result.exit_code == 3
    assert "net gets pixels in the range 0..1, as before in this table.\n" in result.stderr
    assert "Warning: the numbers in its first layers are made for 0..255" in result.stderr
    whole = frieze.embed(photos, backbone=str(rescaling), pixels="0..1", out=tmp_path / "whole")
    assert whole["pixels_stated"] == "0..255"
    one, other = (frieze.open_features(place) for place in (table, tmp_path / "whole"))
    order = [one.ids.tolist().index(name) for name in other.ids.tolist()]
    assert np.allclose(one.embeddings()[order], other.embeddings(), atol=1e-6)
