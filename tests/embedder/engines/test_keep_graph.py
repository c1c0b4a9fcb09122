import dataclasses
import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from frieze.core import FeatureFileError
from frieze.embedder import BackboneRequest, embed_images, load_backbone, open_backbone
from frieze.embedder.backbones import fingerprint_of_files, hub_cache, kept_graph
from frieze.embedder.backbones.kept_graph import DOCUMENT, SHIPPED, graph_folder, list_graphs
from frieze.embedder.engines import EngineSettings
from frieze.embedder.engines.keep_graph import has_only_keras_layers, keep_graph
from frieze.embedder.engines.openvino import OpenVINOEngine
from frieze.embedder.engines.tensorflow import TensorFlowEngine
from frieze.embedder.job.select_engine import default_engine
from frieze.features import open_features

pytestmark = pytest.mark.usefixtures("needs_openvino")
CPU = EngineSettings(devices=("CPU:0",))


def find_graph(request):
    """Return the kept graph of a request."""
    return kept_graph.find_graph(request, fingerprint_of_files(request))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder for the user's caches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "frieze" / "graphs"


@pytest.fixture(scope="module")
def network_path(tmp_path_factory):
    """Where the copies of the tiny SavedModel lie, one after the other: a kept graph names its path."""
    return tmp_path_factory.mktemp("copies") / "network"


@pytest.fixture(scope="module")
def kept(tiny, network_path):
    """A cache with the graph of a copy."""
    caches = network_path.with_name("caches")
    shutil.copytree(tiny, network_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(caches))
        keep_graph(open_backbone(BackboneRequest(handle=str(network_path))))
    return caches


@pytest.fixture
def network(tiny, network_path):
    """A copy of the tiny SavedModel, which a test may change."""
    shutil.rmtree(network_path, ignore_errors=True)
    return shutil.copytree(tiny, network_path)


@pytest.fixture
def request_(kept, network, tmp_path):
    """The request for the copy, whose graph is kept."""
    shutil.copytree(kept, tmp_path / "cache")
    return BackboneRequest(handle=str(network))


def test_the_kept_one_embeds_alike(request_, folder):
    """A kept graph has the spec of the network, and embeds photographs as TensorFlow does."""
    kept, loaded = open_backbone(request_), load_backbone(request_)
    assert kept.graph_path is not None
    assert kept.spec == loaded.spec
    assert kept.stated_pixels == loaded.stated_pixels
    images = sorted(folder.iterdir())[:4]
    assert isinstance(default_engine(kept), OpenVINOEngine)
    expected = embed_images(images, loaded)
    assert np.allclose(embed_images(images, kept), expected, atol=1e-5 * np.abs(expected).max())


def test_a_graph_that_is_being_traced(request_, tf):
    """A kept backbone loads itself in TensorFlow when it is called, also in a function that is being traced."""
    kept, images = open_backbone(request_), np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    traced = tf.function(kept.call, autograph=False)(images)
    assert np.allclose(traced, load_backbone(request_).call(images), atol=1e-5)


def test_a_run_keeps_it(folder, embed, network, out):
    """A run keeps its network's graph, and the next one over few images uses it; the vectors agree."""
    embed(folder, out, backbone=network)
    (row,) = list_graphs()
    assert (row["handle"], row["drift"]["images"]) == (str(network), 16)
    assert row["drift"]["least_cosine"] >= 0.9999
    shutil.copy(folder / "a.jpg", folder / "z.jpg")
    with (folder / "z.jpg").open("ab") as file:
        file.write(b"other bytes, the same picture")
    assert embed(folder, out, backbone=network)["engine"] == "openvino"
    table = open_features(out)
    vectors = dict(zip(table.ids, table.embeddings(), strict=True))
    assert np.allclose(vectors["z.jpg"], vectors["a.jpg"], atol=1e-4)


@pytest.mark.parametrize("options", [{"fit": "pad"}, {"precision": "bfloat16"}, {"stretch": True}, {"pixels": "0..1"}])
def test_one_graph_for_several(options, request_):
    """Fit, precision, decoding, and the network's own range of pixels when it is spelled out, have the same graph."""
    request = dataclasses.replace(request_, **options)
    kept = open_backbone(request)
    assert kept.graph_path is not None
    assert kept.spec == load_backbone(request).spec


@pytest.mark.parametrize("options", [{"pixels": "-1..1"}, {"layer": "serving_default:output_0"}, {"trust": True}])
def test_other_networks(options, request_):
    """Another range of pixels or another layer has another graph, and trust is never kept."""
    assert find_graph(request_) is not None
    assert find_graph(dataclasses.replace(request_, **options)) is None


def test_image_sizes(small_application):
    """A size that a request leaves out is that of the network, however its graph was requested before."""
    named = BackboneRequest(handle=small_application, weights="random")
    small = dataclasses.replace(named, image_size=24)
    keep_graph(open_backbone(small))
    assert open_backbone(small).spec.image_size == (24, 24)
    assert find_graph(named) is None


def test_a_changed_network(request_, network):
    """A network whose files changed has no graph: it is known by their bytes."""
    file = network / "variables" / "variables.data-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert find_graph(request_) is None


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:9] + b"x" + data[10:], lambda _: b""])
@pytest.mark.parametrize("name", ["model.bin", "model.xml", DOCUMENT])
def test_an_altered_graph(name, change, request_, cache):
    """A graph with altered files is not used, and the next run replaces it."""
    (file,) = cache.rglob(name)
    file.write_bytes(change(file.read_bytes()))
    backbone = open_backbone(request_)
    assert backbone.graph_path is None
    keep_graph(backbone)
    assert find_graph(request_) is not None


def test_other_versions(request_, monkeypatch):
    """Another version of a library compiles anew."""
    monkeypatch.setattr(kept_graph, "_versions", lambda: {"openvino": "1"})
    assert find_graph(request_) is None


@pytest.mark.parametrize(("name", "value"), [("_LARGEST_BYTES", 1), ("_OLDEST_S", -1.0)])
def test_old_ones_are_deleted(name, value, request_, tiny, monkeypatch):
    """When a graph is kept, those beyond the limit of bytes, or unused for too long, are deleted."""
    assert len(list_graphs()) == 1
    monkeypatch.setattr(kept_graph, name, value)
    keep_graph(open_backbone(BackboneRequest(handle=str(tiny))))
    assert list_graphs() == []


def test_the_last_used_stays(request_, tiny, cache, monkeypatch):
    """Opening a graph counts as use: of two that exceed the limit, the one that was opened last stays."""
    keep_graph(open_backbone(BackboneRequest(handle=str(tiny))))
    for document in cache.rglob(DOCUMENT):
        os.utime(document, (1e9, 1e9))
    open_backbone(request_)
    monkeypatch.setattr(kept_graph, "_LARGEST_BYTES", list_graphs()[0]["bytes"])
    monkeypatch.setattr(kept_graph, "_OLDEST_S", float("inf"))
    kept_graph._clean()
    assert [row["handle"] for row in list_graphs()] == [request_.handle]


def test_no_cache(network, monkeypatch):
    """Without a folder for caches nothing is kept, and nothing is said."""
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    backbone = open_backbone(BackboneRequest(handle=str(network)))
    keep_graph(backbone)
    assert list_graphs() == []


def test_a_full_disk(network, cache, monkeypatch, caplog):
    """A full disk ends no run: one line says that each start loads TensorFlow, and nothing is left behind."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept_graph, "write_with_checksums", refuse)
    keep_graph(open_backbone(BackboneRequest(handle=str(network))))
    assert "No space left on device" in caplog.text
    assert not list(cache.rglob("model.*"))


def test_drift_is_not_kept(network, monkeypatch):
    """A graph whose embeddings are not TensorFlow's is not kept."""
    infer = OpenVINOEngine.infer
    monkeypatch.setattr(OpenVINOEngine, "infer", lambda engine, pixels: infer(engine, pixels)[:, ::-1])
    keep_graph(open_backbone(BackboneRequest(handle=str(network))))
    assert list_graphs() == []


def test_shipped():
    """The graph that comes with the package is that of the built-in network, and embeds as its Keras file does."""
    backbone = open_backbone(BackboneRequest())
    assert backbone.graph_path is not None
    assert backbone.graph_path.parent == SHIPPED
    loaded = load_backbone(BackboneRequest())
    assert backbone.spec == loaded.spec
    pixels = np.random.default_rng(0).integers(0, 256, (8, 128, 128, 3), dtype=np.uint8)
    expected = TensorFlowEngine(loaded, CPU).infer(pixels)
    assert np.allclose(OpenVINOEngine(backbone, CPU).infer(pixels), expected, atol=1e-5 * np.abs(expected).max())


def test_using_the_shipped_one_leaves_it_alone():
    """The package's own files keep their times."""
    before = (SHIPPED / DOCUMENT).stat().st_mtime_ns
    open_backbone(BackboneRequest())
    assert (SHIPPED / DOCUMENT).stat().st_mtime_ns == before


def test_files_that_change_while_they_are_loaded(network):
    """A network that was overwritten while it was loaded is not kept: its graph may be of the files before."""
    backbone = open_backbone(BackboneRequest(handle=str(network)))
    assert graph_folder(backbone) is not None
    assert graph_folder(dataclasses.replace(backbone, files_before="f" * 64)) is None
    file = network / "variables" / "variables.data-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert graph_folder(backbone) is None


@pytest.mark.parametrize("scheme", ["https://tfhub.dev", "gs://modules"])
def test_a_module_of_a_url(scheme, network, tmp_path, monkeypatch):
    """The graph of a URL's module is kept by the files in the cache of downloads; without them it is not found."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    request = BackboneRequest(handle=f"{scheme}/tiny/1")
    module = shutil.copytree(network, hub_cache.module_dir(request.handle))
    keep_graph(dataclasses.replace(open_backbone(request), files_before=None))  # as if it was downloaded just now
    assert open_backbone(request).graph_path is not None
    (module / "variables" / "variables.data-00000-of-00001").unlink()
    assert find_graph(request) is None
    shutil.rmtree(module)
    assert find_graph(request) is None


def test_a_module_that_lies_elsewhere(network):
    """A module of a URL that is in no known cache is not kept: what is behind the URL may change."""
    request = BackboneRequest(handle="https://www.kaggle.com/models/tiny")
    keep_graph(dataclasses.replace(open_backbone(BackboneRequest(handle=str(network))), request=request))
    assert list_graphs() == []


def test_layers_of_somebodys_own(tf):
    """A network with a layer or function that is not of Keras is not kept: its code is not in its file."""
    import keras

    @keras.saving.register_keras_serializable(package="test_keep_graph")
    class Power(keras.layers.Layer):
        def call(self, values):
            return values**3

    @keras.saving.register_keras_serializable(package="test_keep_graph")
    def cube(values):
        return values**3

    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    inner = keras.Model(inputs, Power()(outputs))
    assert has_only_keras_layers(keras.Model(inputs, keras.layers.Activation("relu")(outputs)))
    assert not has_only_keras_layers(inner)
    assert not has_only_keras_layers(keras.Sequential([keras.Input((8, 8, 3)), inner]))
    assert not has_only_keras_layers(keras.Model(inputs, keras.layers.Activation(cube)(outputs)))
    assert has_only_keras_layers(None)


def test_a_graph_that_is_deleted_meanwhile(request_, cache):
    """A graph that another process deletes after it was found is no error: the network is loaded."""
    backbone = open_backbone(request_)
    shutil.rmtree(cache)
    assert isinstance(default_engine(backbone), TensorFlowEngine)


def test_an_altered_head_is_refused_as_before(request_, network):
    """A model that Frieze wrote is refused where its JSON file was altered, though its graph is kept."""
    (network / "head.json").write_text('{"kind": "head", "files": {}, "sha256": "0"}')
    with pytest.raises(FeatureFileError, match=r"head\.json"):
        open_backbone(request_)


def test_no_home(monkeypatch):
    """A user without a home directory has no cache, and no error."""

    def refuse(*_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_cache_path", refuse)
    assert open_backbone(BackboneRequest()).graph_path is not None
    assert (list_graphs(), kept_graph.is_writable()) == ([], False)


def test_openvino_fails_to_write(network, monkeypatch, caplog):
    """An error of OpenVINO's while it writes ends no run."""

    def refuse(*_, **__):
        raise RuntimeError("basic_ios::clear: iostream error")

    monkeypatch.setattr("openvino.save_model", refuse)
    keep_graph(open_backbone(BackboneRequest(handle=str(network))))
    assert "iostream error" in caplog.text
    assert list_graphs() == []


def test_no_telemetry():
    """OpenVINO is imported without its telemetry: nothing is sent."""
    code = "import sys, frieze.core as core; core.import_openvino(); print('openvino_telemetry' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
