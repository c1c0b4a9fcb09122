import shutil

import pytest

from frieze.core import ModelError
from frieze.embedder import Limits, embed_again
from frieze.features import open_features


@pytest.fixture
def table(folder, embed, out):
    """The ten photographs' table."""
    embed(folder, out)
    return open_features(out)


def test_sound(table):
    """Embedded again, the same bytes give the same vectors."""
    document = embed_again(table, n=6)
    assert (document["sampled"], document["drifted"], document["changed"], document["unreadable"]) == (6, [], [], [])
    assert document["least_cosine"] == pytest.approx(1, abs=1e-5)


def test_all_where_there_are_fewer(table):
    """No image is sampled twice."""
    assert embed_again(table, n=50)["sampled"] == 10


def test_changed_and_gone(table, folder):
    """An image that was changed or deleted since is not compared, and is named."""
    shutil.copy(folder / "a.jpg", folder / "b.jpg")
    (folder / "c.jpg").unlink()
    document = embed_again(table, n=10)
    assert (document["sampled"], document["changed"], document["unreadable"]) == (8, ["b.jpg"], ["c.jpg"])


def test_limits_of_an_earlier_run(folder, embed, out):
    """An image that the limits of an earlier run let in is compared, though those of the last run would refuse it."""
    data = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(data[: len(data) * 2 // 3])
    embed(folder, out, limits=Limits(accept_truncated=True))
    assert embed(folder, out, limits=Limits(max_pixels=1000, max_bytes=100))["unchanged"] == 10
    document = embed_again(open_features(out), n=10)
    assert (document["sampled"], document["drifted"], document["unreadable"]) == (10, [], [])


def test_drift(table, monkeypatch):
    """A vector that is another one now is named: here the first of each part."""
    from frieze.embedder.engines.tensorflow import TensorFlowEngine

    infer = TensorFlowEngine.infer

    def drifting(engine, pixels):
        embeddings = infer(engine, pixels)
        embeddings[0] += 1
        return embeddings

    monkeypatch.setattr(TensorFlowEngine, "infer", drifting)
    document = embed_again(table, n=10)
    assert document["drifted"] == ["a.jpg", "e.jpg", "i.jpg"]
    assert document["least_cosine"] < 0.9999


def test_backbone_gone(table, save_tiny, tmp_path, folder, embed):
    """Where the backbone is gone, the error says so."""
    own = save_tiny(tmp_path / "own", seed=3)
    embed(folder, tmp_path / "t", backbone=own)
    shutil.rmtree(own)
    with pytest.raises(ModelError):
        embed_again(open_features(tmp_path / "t"), n=2)
