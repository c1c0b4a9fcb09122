import shutil

import pytest

from frieze.core import ModelError
from frieze.embedder import Limits, spot_check
from frieze.features import open_features


@pytest.fixture
def table(folder, embed, out):
    """The ten photographs' table."""
    embed(folder, out)
    return open_features(out)


def test_sound(table):
    """The same bytes embed to the same vectors."""
    document = spot_check(table, n=6)
    assert (document["sampled"], document["drifted"], document["changed"], document["unreadable"]) == (6, [], [], [])
    assert document["least_cosine"] == pytest.approx(1, abs=1e-5)


def test_all_where_there_are_fewer(table):
    """No image is sampled twice."""
    assert spot_check(table, n=50)["sampled"] == 10


def test_changed_and_gone(table, folder):
    """An image that was changed or deleted since is not compared, and is listed."""
    shutil.copy(folder / "a.jpg", folder / "b.jpg")
    (folder / "c.jpg").unlink()
    document = spot_check(table, n=10)
    assert (document["sampled"], document["changed"], document["unreadable"]) == (8, ["b.jpg"], ["c.jpg"])


def test_limits_of_an_earlier_run(folder, embed, out):
    """An image that an earlier run accepted is compared, even if the limits of the last run refuse it."""
    data = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(data[: len(data) * 2 // 3])
    embed(folder, out, limits=Limits(accept_truncated=True))
    assert embed(folder, out, limits=Limits(max_pixels=1000, max_bytes=100))["unchanged"] == 10
    document = spot_check(open_features(out), n=10)
    assert (document["sampled"], document["drifted"], document["unreadable"]) == (10, [], [])


def test_drift(table, monkeypatch):
    """An image whose vector drifted is listed: here the first of each part."""
    from frieze.embedder.engines.tensorflow import TensorFlowEngine

    infer = TensorFlowEngine.infer

    def drifting(engine, pixels):
        embeddings = infer(engine, pixels)
        embeddings[0] += 1
        return embeddings

    monkeypatch.setattr(TensorFlowEngine, "infer", drifting)
    document = spot_check(table, n=10)
    assert document["drifted"] == ["a.jpg", "e.jpg", "i.jpg"]
    assert document["least_cosine"] < 0.9999


def test_missing_backbone(table, save_tiny, tmp_path, folder, embed):
    """A missing backbone is an error."""
    backbone = save_tiny(tmp_path / "backbone", seed=3)
    embed(folder, tmp_path / "t", backbone=backbone)
    shutil.rmtree(backbone)
    with pytest.raises(ModelError):
        spot_check(open_features(tmp_path / "t"), n=2)
