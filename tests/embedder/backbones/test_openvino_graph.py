import numpy as np
import pytest

from frieze.embedder import BackboneRequest, open_backbone
from frieze.embedder.backbones.base import LAYERS
from frieze.embedder.engines import EngineSettings
from frieze.embedder.engines.openvino import OpenVINOEngine

pytestmark = pytest.mark.usefixtures("needs_openvino")
MEAN, DEVIATION = (
    np.array(one, np.float32).reshape(1, 3, 1, 1) for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.2))
)
POOL = ("GlobalAveragePool {} -> y", {})


def save(save_onnx, folder, *nodes, shape=("b", 3, 8, 8), **constants):
    """Write a network of nodes; return its handle."""
    return str(save_onnx(folder / "net.onnx", list(shape), [(node, {}) for node in nodes], **constants))


@pytest.mark.parametrize(
    ("nodes", "constants", "expected"),
    [
        (["Sub x mean -> s", "Div s deviation -> d"], {"mean": MEAN, "deviation": DEVIATION}, "0..1"),
        (["Sub x mean -> s", "Div s deviation -> d"], {"mean": 255 * MEAN, "deviation": 255 * DEVIATION}, "0..255"),
        (["Mul x scale -> s", "Add s shift -> d"], {"scale": np.float32(2), "shift": np.float32(-1)}, "0..1"),
        (["Div x scale -> d"], {"scale": np.float32(255)}, "0..255"),
    ],
)
def test_pixels_of_the_first_nodes(nodes, constants, expected, save_onnx, tmp_path):
    """A network whose first nodes scale its pixels by known numbers shows its range."""
    handle = save(save_onnx, tmp_path, *nodes, "GlobalAveragePool d -> y", **constants)
    backbone = open_backbone(BackboneRequest(handle=handle))
    assert (backbone.spec.pixels, backbone.pixels_from) == (expected, LAYERS)


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        (["Sub one x -> d"], {"one": np.float32(1)}),  # inverts them
        (["Relu x -> r", "Div r scale -> d"], {"scale": np.float32(255)}),
        (["Div x scale -> a", "Add a x -> d"], {"scale": np.float32(255)}),
        (["Mul x mask -> d"], {"mask": np.ones((8, 8), np.float32)}),
    ],
)
def test_no_pixels_are_shown(nodes, constants, save_onnx, tmp_path):
    """Nodes that do more than scale and shift all pixels alike show nothing: `pixels` has to be given."""
    handle = save(save_onnx, tmp_path, *nodes, "GlobalAveragePool d -> y", **constants)
    backbone = open_backbone(BackboneRequest(handle=handle, pixels="torch"))
    assert backbone.stated_pixels.name is None


def test_contradicting_pixels(save_onnx, tmp_path):
    """A given range that is not the one of the first nodes is told."""
    handle = save(save_onnx, tmp_path, "Div x scale -> d", "GlobalAveragePool d -> y", scale=np.float32(255))
    assert open_backbone(BackboneRequest(handle=handle, pixels="0..1")).contradiction == "0..255"


@pytest.mark.parametrize(
    ("shape", "perm"),
    [
        (["b", 3, 8, 8], [0, 1, 2, 3]),  # channels first in and out
        (["b", 3, 8, 8], [0, 2, 3, 1]),
        (["b", 8, 8, 3], [0, 1, 2, 3]),
        (["b", 8, 8, 3], [0, 3, 1, 2]),
        (["b", 3, 16, 8], [0, 2, 3, 1]),
    ],
)
def test_order_of_axes(shape, perm, save_onnx, tmp_path):
    """Maps are pooled over height and width, whichever axes these are."""
    path = save_onnx(tmp_path / "net.onnx", shape, [("Transpose x -> y", {"perm": perm})])
    backbone = open_backbone(BackboneRequest(handle=str(path), pixels="0..255"))
    images = np.random.default_rng(0).integers(0, 256, (2, *backbone.spec.image_size, 3), dtype=np.uint8)
    embeddings = OpenVINOEngine(backbone, EngineSettings(devices=("CPU:0",))).infer(images)
    assert np.allclose(embeddings, images.mean((1, 2)), atol=1e-3)


def test_whole_numbers(save_onnx, tmp_path):
    """A network that takes whole numbers gets rounded pixels."""
    onnx = pytest.importorskip("onnx")
    nodes = [("Cast x -> f", {"to": 1}), ("GlobalAveragePool f -> y", {})]
    model = onnx.load(save_onnx(tmp_path / "net.onnx", ["b", 3, 8, 8], nodes))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    onnx.save_model(model, tmp_path / "net.onnx")
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "net.onnx"), pixels="0..255"))
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    embeddings = OpenVINOEngine(backbone, EngineSettings(devices=("CPU:0",))).infer(images)
    assert np.allclose(embeddings, images.mean((1, 2)), atol=1e-4)
