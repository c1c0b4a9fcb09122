import io
import logging
import sys
import zipfile

import numpy as np
import pytest

from frieze.core import FeatureFileError, InputError, import_nncf
from frieze.embedder.engines import EngineSettings, calibrate
from frieze.embedder.engines.accuracy import ENOUGH, measure_drift
from frieze.embedder.engines.calibrate import _Group, _worst_layers
from frieze.embedder.engines.int8_graph import unpack_graph
from frieze.embedder.engines.openvino import OpenVINOEngine

pytestmark = pytest.mark.usefixtures("needs_nncf")


@pytest.fixture(scope="module")
def pixels(photo):
    """As many photographs as a calibration needs, of the tiny network's size."""
    return np.stack([np.asarray(photo(seed, 32, 32)) for seed in range(ENOUGH)])


@pytest.fixture(scope="module")
def quantized(needs_nncf, opened, tiny, pixels):
    """The calibration of the tiny network, which has two layers with weights."""
    return calibrate.calibrate(opened(str(tiny)), pixels[::2], pixels)


def infer(opened, tiny, graph, pixels):
    """Embed by the engine in int8."""
    settings = EngineSettings(precision="int8", devices=("CPU:0",), batch_size=8, int8_graph=graph)
    return OpenVINOEngine(opened(str(tiny)), settings).infer(pixels)


def test_int8(quantized, opened, tiny, pixels):
    """The engine runs the calibrated graph: near to float32, and not the same."""
    embeddings, reference = (
        infer(opened, tiny, quantized.graph, pixels),
        OpenVINOEngine(opened(str(tiny))).infer(pixels),
    )
    assert not np.array_equal(embeddings, reference)
    assert measure_drift(embeddings, reference)["median_cosine"] > 0.999
    assert {name: quantized.document[name] for name in ("layers", "images")} == {"layers": 2, "images": ENOUGH // 2}
    assert "FakeQuantize" in {op.get_type_name() for op in unpack_graph(quantized.graph).get_ordered_ops()}


def test_layers_are_left_out(opened, tiny, monkeypatch, pixels):
    """Where int8 misses the recall, layers stay in float32 until it is reached or none is left, and are named."""
    monkeypatch.setattr(calibrate, "_SAFE_RECALL", 1.1)
    calibration = calibrate.calibrate(opened(str(tiny)), pixels[:16], pixels)
    assert calibration.document["float32_layers"] in ([0], [1], [0, 1])
    assert calibration.document["layers"] == 2


def test_worst_layers():
    """The layers of most drift for their time are left out until the others have the share that they may have."""
    ranked = [_Group(["a"], 0.6, 1e-3), _Group(["b", "c"], 0.3, 1e-3), _Group(["d"], 0.1, 1e-3)]
    assert [_worst_layers(ranked, share) for share in (1.0, 0.5, 0.3, 0.05)] == [
        [],
        ["a"],
        ["a", "b", "c"],
        ["a", "b", "c", "d"],
    ]


def test_too_few_images(opened, tiny, pixels):
    """With too few images to judge by, nothing is calibrated."""
    with pytest.raises(InputError, match=rf"calibrated on images: {ENOUGH} usable ones at least, here are 3"):
        calibrate.calibrate(opened(str(tiny)), pixels[:3], pixels[:3])


def test_without_nncf(monkeypatch, opened, tiny, pixels):
    """Without NNCF, int8 is refused with what to type."""
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(InputError, match="requires NNCF") as caught:
        calibrate.calibrate(opened(str(tiny)), pixels, pixels)
    assert caught.value.hint == "Type: pip install 'frieze[int8]'"


def test_nncf_is_quiet(opened, tiny, capfd, pixels):
    """Calibration prints nothing, and leaves the logging of other programs alone."""
    kind = logging.getLoggerClass()
    import_nncf()
    calibrate.calibrate(opened(str(tiny)), pixels[:8], pixels)
    assert tuple(capfd.readouterr()) == ("", "")
    assert logging.getLoggerClass() is kind


def compressed(data):
    """Pack the files again, compressed."""
    archive = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return archive.getvalue()


@pytest.mark.parametrize("change", [compressed, lambda data: data[:200], lambda _: b""])
def test_broken_graph(change, quantized):
    """A graph that is no such file, or could unpack to any size, is refused."""
    with pytest.raises(FeatureFileError, match="graph in int8 can't be read"):
        unpack_graph(change(quantized.graph))


@pytest.mark.usefixtures("needs_openvino")
def test_onnx(opened, onnx_network, photo):
    """An ONNX file that takes one image at once is calibrated, too, and its int8 is near to its float32."""
    backbone = opened(str(onnx_network("alone")), pixels="torch")
    images = np.stack([np.asarray(photo(seed, 16, 16)) for seed in range(ENOUGH)])
    calibration = calibrate.calibrate(backbone, images[:16], images)
    settings = EngineSettings(precision="int8", devices=("CPU:0",), int8_graph=calibration.graph)
    embeddings, reference = OpenVINOEngine(backbone, settings).infer(images), OpenVINOEngine(backbone).infer(images)
    assert measure_drift(embeddings, reference)["median_cosine"] > 0.99
    assert calibration.document["layers"] == 2


def test_simulated_layer(opened, onnx_network, photo):
    """A simulated layer rounds its input, also where NNCF rounds it before a transposition, and weights as numbers.

    Left to OpenVINO, weights that are computed from constants are now and then wrong in a graph of several streams.
    """
    graph = calibrate._Graph(opened(str(onnx_network("tokens")), pixels="torch", pool="cls"))
    quantized = graph.quantize((), np.stack([np.asarray(photo(seed, 16, 16)) for seed in range(4)]))
    before = calibrate._by_name(quantized)["layer 0"]
    simulated = calibrate._by_name(graph.quantize_only(["layer 0"], quantized))["layer 0"]
    inputs = [value.get_node().get_type_name() for value in simulated.input_values()]
    assert (before.input_value(0).get_node().get_type_name(), inputs) == ("Transpose", ["FakeQuantize", "Constant"])
    weights = simulated.input_value(1).get_node().data
    assert len(np.unique(weights[0])) > 2
    assert np.abs(weights - calibrate._compute(before.input_value(1))).max() == 0


def test_the_same_layers(opened, tiny, monkeypatch, pixels):
    """The layers of a calibration follow from the images alone: no clock is read."""
    graph = calibrate._Graph(opened(str(tiny)))
    quantized = graph.quantize((), pixels[:8])
    ranked = [graph.rank(quantized, pixels[:8]) for _ in range(2)]
    assert ranked[0] == ranked[1]
    assert all(group.seconds > 0 for group in ranked[0])


def test_attention_has_no_weights(opened, onnx_network):
    """The products of an attention are no layers that int8 is chosen for: they stay in float32."""
    graph = calibrate._Graph(opened(str(onnx_network("tokens")), pixels="torch", pool="cls"))
    quantized = graph.quantize((), np.zeros((4, 16, 16, 3), np.uint8))
    assert graph.layers == ["layer 0", "layer 1", "layer 2", "layer 3"]
    inputs = {
        op.get_friendly_name(): [value.get_node().get_type_name() for value in op.input_values()]
        for op in quantized.get_ordered_ops()
    }
    assert "FakeQuantize" in inputs["layer 1"]
    assert "FakeQuantize" not in inputs["product 0"]


@pytest.mark.slow
def test_batch_norm_joins_its_convolution(opened, live):
    """Batch norm is part of its convolution's weights, so that nothing is rounded between the two."""
    graph = calibrate._Graph(opened(str(live)))
    (behind,) = calibrate._by_name(graph._model)["layer 0"].output(0).get_target_inputs()
    assert behind.get_node().get_type_name() == "Add"  # of the bias; the norm would multiply
