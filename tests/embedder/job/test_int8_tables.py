"""Tables in int8: calibrated once, on their own images."""

import shutil

import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder import BackboneRequest, default_engine, open_backbone
from frieze.embedder.job import select_engine
from frieze.features import open_features, read_manifest

pytestmark = pytest.mark.usefixtures("needs_nncf")


@pytest.fixture(scope="module")
def many(tmp_path_factory, write_photos):
    """210 small photographs: few more than a calibration needs."""
    return write_photos(tmp_path_factory.mktemp("many"), [f"{number:03}.jpg" for number in range(210)])


@pytest.fixture(scope="module")
def made(needs_nncf, many, embed, tmp_path_factory):
    """Their table in int8, and the document of the run."""
    out = tmp_path_factory.mktemp("int8") / "int8.features"
    return out, embed(many, out, precision="int8", shard_size=64)


def test_made_in_int8(made, many, plain_loop, cosines):
    """The rows are made in int8, near to float32; the table keeps its graph, and the measured drift."""
    out, document = made
    table = open_features(out)
    near = cosines(table.embeddings(), plain_loop([many / name for name in table.ids]))
    assert (document["precision"], document["engine"]) == ("int8", "openvino")
    assert document["drift"]["recall_at_10"] >= 0.95
    assert 0.99 < near.min() < 0.999999
    assert [path.name for path in out.glob("*.zip")] == [f"int8-{read_manifest(out).tuning['int8']['sha256'][:16]}.zip"]


def test_new_rows_share_the_calibration(made, many, embed, write_photos, tmp_path, monkeypatch):
    """A later run, however few its images, embeds by the table's graph: nothing is calibrated again."""
    photos, out = tmp_path / "photos", tmp_path / "int8.features"
    shutil.copytree(many, photos)
    embed(photos, out, precision="int8", shard_size=64)
    before = read_manifest(out)
    write_photos(photos, ["new.jpg"], first_seed=3)  # the same picture as 003.jpg, in other bytes
    (photos / "new.jpg").write_bytes((photos / "new.jpg").read_bytes() + b"\0")
    monkeypatch.setattr(select_engine, "calibrate", None)
    assert embed(photos, out, precision="int8", shard_size=64)["embedded"] == 1
    table = open_features(out)
    rows = dict(zip(table.ids, table.embeddings(), strict=True))
    assert np.allclose(rows["new.jpg"], rows["003.jpg"], atol=1e-6 * np.abs(rows["003.jpg"]).max())
    assert read_manifest(out).tuning["int8"] == before.tuning["int8"]


def test_queries_in_float32(tiny):
    """A few images meet rows in int8 in float32, without a calibrated graph."""
    backbone = open_backbone(BackboneRequest(handle=str(tiny), precision="int8"))
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    exact = open_backbone(BackboneRequest(handle=str(tiny)))
    assert np.array_equal(default_engine(backbone).infer(pixels), default_engine(exact).infer(pixels))


def test_images_that_meet_stored_rows(folder, embed, out, plain_loop, cosines):
    """A job whose images meet stored rows in int8, such as predictions, embeds in float32: however few they are."""
    embed(folder, out, precision="int8", is_query=True)
    table = open_features(out)
    assert table.spec.precision == "int8"
    assert cosines(table.embeddings(), plain_loop([folder / name for name in table.ids])).min() > 0.99999


def test_few_images(folder, embed, out):
    """Ten images are too few: refused before anything is stored."""
    with pytest.raises(InputError, match="200 usable ones at least, here are 10"):
        embed(folder, out, precision="int8")
    assert not out.exists()
