"""ONNX files as backbones, from a table to a head, and what they do not do."""

import shutil

import numpy as np
import pytest
from PIL import Image

import frieze
from frieze.core import InputError

pytest.importorskip("openvino")


@pytest.fixture
def network(onnx_network, tmp_path):
    """A copy of the tiny transformer, which a test may change."""
    return shutil.copy(onnx_network("tokens"), tmp_path / "net.onnx")


@pytest.fixture
def options(network, tmp_path):
    """How it embeds."""
    return {"backbone": str(network), "pixels": "torch", "pool": "avg", "out": tmp_path / "t"}


@pytest.fixture(scope="module")
def onnx_world(photos, onnx_network, tmp_path_factory):
    """A table of tokens that are averaged, an index and a head; TensorFlow has no part in it."""
    folder = tmp_path_factory.mktemp("onnx_world")
    frieze.embed(photos, out=folder / "t", backbone=onnx_network("tokens"), pixels="clip", pool="avg")
    frieze.index(folder / "t", out=folder / "i")
    frieze.train(folder / "t", out=folder / "h")
    return folder


def test_search_finds_itself(onnx_world, photos):
    """An image of the table finds itself first."""
    (query,) = frieze.search(onnx_world / "i", photos / "red" / "3.png", k=1)["queries"]
    assert (query["hits"][0]["id"], round(query["hits"][0]["score"], 4)) == ("red/3.png", 1.0)


def test_predict(onnx_world, photos, tmp_path):
    """A head on its features predicts new images as it does their stored vectors."""
    for name, source in (("stored", onnx_world / "t"), ("new", photos)):
        frieze.predict(onnx_world / "h", source, out=tmp_path / f"{name}.csv")
    assert set((tmp_path / "stored.csv").read_text().splitlines()) == set(
        (tmp_path / "new.csv").read_text().splitlines()
    )


def test_verify_sample(onnx_world):
    """A sample that is embedded again has the same vectors."""
    checked = frieze.verify(onnx_world / "t", sample=5)
    assert checked["ok"]


def test_info_has_pool(onnx_world):
    """The stored spec says how tokens were pooled."""
    assert frieze.info(onnx_world / "t")["backbone"]["pool"] == "avg"


def test_rerun_remembers(photos, options):
    """A rerun keeps pixels and pool; another pool is another backbone, unless the table is made anew."""
    frieze.embed(photos, **options, limit=5)
    rest = {name: options[name] for name in ("out", "backbone")}
    document = frieze.embed(photos, **rest)
    assert (document["unchanged"], document["remembered"]) == (5, {"pixels": "torch", "pool": "avg"})
    with pytest.raises(InputError, match="pool: max here, avg there"):
        frieze.embed(photos, **rest, pool="max")


def test_a_changed_file_is_noticed(photos, options, onnx_network):
    """A file that was replaced since is another backbone."""
    frieze.embed(photos, **options, limit=5)
    shutil.copy(onnx_network("alone"), options["backbone"])
    with pytest.raises(InputError, match="fingerprint: "):
        frieze.embed(photos, **{name: options[name] for name in ("out", "backbone")}, pool="")


def test_engine(photos, options):
    """OpenVINO runs it whatever its name is left out or given; TensorFlow is refused."""
    assert frieze.embed(photos, **options)["engine"] == "openvino"
    with pytest.raises(InputError, match="net is an ONNX file, which only OpenVINO runs"):
        frieze.embed(photos, **options, engine="tensorflow", force=True)


def test_float32_has_no_drift(photos, options):
    """OpenVINO in float32 is its reference: there is nothing to compare with."""
    assert frieze.embed(photos, **options)["drift"] is None


def test_finetune(photos, options, tmp_path):
    """Fine-tuning is refused, with what to do in its place."""
    del options["out"], options["pool"]
    with pytest.raises(InputError, match="TensorFlow can neither train it nor write it into a model") as caught:
        frieze.finetune(photos, **options, layer="patches", out=tmp_path / "m")
    assert "frieze train FEATURES --out HEAD" in caught.value.hint


def test_export(onnx_world, tmp_path):
    """An export is refused, and leaves nothing."""
    with pytest.raises(InputError, match="TensorFlow can neither train it nor write it into a model"):
        frieze.export(onnx_world / "h", out=tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_pool_of_maps(photos, tmp_path, onnx_network):
    """`avg` spelled out is the default of maps: the same table goes on."""
    options = {"backbone": onnx_network("maps"), "pixels": "0..1", "image_size": 16, "out": tmp_path / "t"}
    frieze.embed(photos, **options, limit=5)
    assert frieze.embed(photos, **options, pool="avg")["unchanged"] == 5


def test_images_in_memory(onnx_network, tmp_path):
    """The vectors do not depend on the other images of a run: an image alone has the vector it has among others."""
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    options = {"backbone": onnx_network("alone"), "pixels": "torch"}
    frieze.embed(images, out=tmp_path / "all", **options)
    frieze.embed([Image.fromarray(images[4])], out=tmp_path / "one", **options)
    rows = {name: frieze.open_features(tmp_path / name).embeddings() for name in ("all", "one")}
    assert np.allclose(rows["one"][0], rows["all"][4], atol=1e-5)


def test_a_moved_file(photos, options, network, tmp_path):
    """After `embed` with the new path of a file nothing is embedded anew, and a plain `index` finds it there."""
    frieze.embed(photos, **options)
    frieze.index(tmp_path / "t", out=tmp_path / "i")
    moved = shutil.move(network, tmp_path / "moved.onnx")
    with pytest.raises(InputError, match=r"net.onnx, which is not there") as caught:
        frieze.search(tmp_path / "i", photos / "red" / "3.png")
    assert "embed with its new path" in caught.value.hint
    assert frieze.embed(photos, **options | {"backbone": str(moved)})["embedded"] == 0
    assert frieze.index(tmp_path / "t", out=tmp_path / "i")["rebuilt"] is False
    (query,) = frieze.search(tmp_path / "i", photos / "red" / "3.png", k=1)["queries"]
    assert query["hits"][0]["id"] == "red/3.png"
