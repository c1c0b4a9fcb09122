"""Engines, precisions and their choice, through a whole run."""

import numpy as np
import pytest

from frieze.core import MismatchError
from frieze.embedder.engines import AUTO, EngineSettings
from frieze.embedder.engines.base import ENGINES, usable_engines
from frieze.embedder.job import calibration_sample, select_engine
from frieze.embedder.job.select_engine import try_engines
from frieze.features import open_features, read_manifest


def installed():
    """List the engines that this machine has."""
    return usable_engines(AUTO, EngineSettings(devices=("CPU:0",)))


@pytest.fixture
def eager(monkeypatch):
    """Ten images are enough for a trial, however slow this machine is; the calls in which engines were tried."""
    tried = []
    monkeypatch.setattr("frieze.embedder.engines.benchmark._TRIALS_S", 600.0)
    monkeypatch.setattr(calibration_sample, "SIZE", 10)
    monkeypatch.setattr(select_engine, "try_engines", lambda *args: tried.append(args) or try_engines(*args))
    return tried


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("engine", ["auto", *ENGINES])
def test_same_vectors(engine, folder, embed, out, plain_loop, cosines):
    """With every engine and batch size the stored vectors are those of the plain loop."""
    if engine not in (AUTO, *installed()):
        pytest.skip(f"{engine} is not installed")
    document = embed(folder, out, engine=engine, batch_size=None)
    table = open_features(out)
    paths = [folder / name for name in table.ids]
    assert cosines(table.embeddings(), plain_loop(paths)).min() > 0.9999
    assert document["engine"] == read_manifest(out).engine
    assert document["engine"] in ("tensorflow", "openvino") if engine == "auto" else document["engine"] == engine


def test_tried_once(folder, embed, out, eager, write_photos):
    """Engines are tried once per table: a later run reuses the stored choice, and its document reports it."""
    embed(folder, out, batch_size=None)
    tuning = read_manifest(out).tuning
    write_photos(folder, ["new.jpg"], first_seed=90)
    document = embed(folder, out, batch_size=None)
    assert (len(eager), document["embedded"]) == (1, 1)
    assert read_manifest(out).tuning == tuning
    assert (document["engine"], document["batch_size"]) == (tuning["engine"], tuning["batch_size"])
    assert {label.partition(",")[0] for label in tuning["tried"]} == set(installed())


def test_few_images_are_not_tried_on(folder, embed, out, monkeypatch):
    """A run of a few images takes the reference, and its document has no choice."""
    monkeypatch.setattr(select_engine, "try_engines", None)
    document = embed(folder, out)
    assert (document["engine"], document["batch_size"], document["drift"]) == ("tensorflow", None, None)


def test_no_usable_image_to_try(folder, embed, out, eager):
    """Without a usable image there is no trial, and all images are failures."""
    for path in folder.iterdir():
        path.write_text("text")
    assert embed(folder, out, batch_size=None)["failed"] == 10
    assert eager == []


@pytest.mark.parametrize("engine", ENGINES)
def test_low_precision(engine, folder, embed, cosines, plain_loop, skip_without_bfloat16):
    """Vectors of a lower precision are stored with their precision and their drift from float32."""
    out = folder.with_name("low.features")
    with skip_without_bfloat16():
        document = embed(folder, out, precision="bfloat16", engine=engine)
    table = open_features(out)
    assert (document["precision"], table.spec.precision) == ("bfloat16", "bfloat16")
    near = cosines(table.embeddings(), plain_loop([folder / name for name in table.ids]))
    assert document["drift"]["least_cosine"] == pytest.approx(near.min(), abs=1e-3)
    assert (document["drift"]["engine"], document["drift"]["images"]) == (engine, 10)


def test_precisions_do_not_mix(folder, embed, out, write_photos):
    """Embeddings of another precision never enter a table; the message names both."""
    embed(folder, out)
    before = open_features(out).embeddings()
    write_photos(folder, ["new.jpg"], first_seed=90)
    with pytest.raises(MismatchError, match="precision: bfloat16 here, float32 there"):
        embed(folder, out, precision="bfloat16")
    assert np.array_equal(open_features(out).embeddings(), before)


@pytest.mark.usefixtures("needs_openvino")
def test_refused_before_anything_is_stored(folder, embed, out, monkeypatch):
    """An engine whose vectors drift is refused before the first part is written."""
    monkeypatch.setattr("frieze.embedder.engines.accuracy.LEAST_COSINE", 1.1)
    with pytest.raises(MismatchError, match="changes this backbone's embeddings too much"):
        embed(folder, out, engine="openvino")
    assert not out.exists()
