"""Real networks as ONNX files: the vectors are ONNX Runtime's."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from frieze.embedder import PIXELS, BackboneRequest, open_backbone
from frieze.embedder.engines import EngineSettings
from frieze.embedder.engines.openvino import OpenVINOEngine

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("needs_openvino")]
CPU = EngineSettings(devices=("CPU:0",))
_EXPORT = """
import sys, timm, torch

name, side, is_free, path, *options = sys.argv[1:]
torch.manual_seed(0)
options = dict(one.split("=") for one in options)
options = {key: int(value) if value.isdigit() else value for key, value in options.items()}
model = timm.create_model(name, pretrained=False, num_classes=0, **options).eval()
names = {"input_names": ["images"], "output_names": ["features"]}
axes = {"dynamic_axes": {"images": {0: "batch"}}} if is_free == "True" else {}
batch = torch.zeros(2 if axes else 1, 3, int(side), int(side))
torch.onnx.export(model, (batch,), path, dynamo=False, **names, **axes)
"""
TIMM = {
    "tokens": ("vit_tiny_patch16_224", 224, True, "global_pool="),
    "maps": ("mobilenetv3_small_050", 224, True, "global_pool="),
    "dinov2": ("vit_small_patch14_dinov2", 224, True, "img_size=224"),
    "299": ("inception_v3", 299, True),
    "alone": ("vit_tiny_patch16_224", 224, False),
}
"""Kind -> name in timm, side in pixels, whether the number of images is free, options."""


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """`export(kind)`: an ONNX file that PyTorch wrote as docs/howto.md says, in a process of its own."""
    if importlib.util.find_spec("timm") is None:  # not imported: PyTorch's Triton can crash beside TensorFlow
        pytest.skip("timm is not installed")

    def write(kind):
        path = tmp_path_factory.mktemp("timm") / f"{kind}.onnx"
        name, side, is_free, *options = map(str, TIMM[kind])
        command = [sys.executable, "-W", "ignore", "-c", _EXPORT, name, side, is_free, str(path), *options]
        subprocess.run(command, check=True, capture_output=True)
        return path

    return write


@pytest.fixture(scope="module")
def hub_module(data_dir, tmp_path_factory):
    """A hub module with real weights, written by tf2onnx: [B, H, W, 3] of any size."""
    pytest.importorskip("tf2onnx")
    path = tmp_path_factory.mktemp("hub") / "mobilenet.onnx"
    module = data_dir / "backbones" / "mobilenet_v1_025_128" / "saved_model"
    command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", str(module), "--output", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def photographs(data_dir):
    """`photographs(side, n)`: uint8 [n, side, side, 3]."""
    paths = sorted((data_dir / "images" / "imagenette_val").rglob("*.jpg"))

    def read(side, n):
        chosen = paths[:: len(paths) // n][:n]
        return np.stack([np.asarray(Image.open(path).convert("RGB").resize((side, side))) for path in chosen])

    return read


def run_onnx(path, images, pixels):
    """Return what ONNX Runtime returns for uint8 [n, H, W, 3]."""
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    (entry,) = session.get_inputs()
    values = PIXELS[pixels](images.astype(np.float32) / np.float32(255))
    values = values if entry.shape[-1] == 3 else values.transpose(0, 3, 1, 2)
    return np.concatenate([session.run(None, {entry.name: np.ascontiguousarray(one[None])})[0] for one in values])


@pytest.mark.parametrize("kind", TIMM)
def test_timm(kind, export, photographs, cosines):
    """Exports of timm's networks, transformers and convolutional ones, have the vectors of ONNX Runtime."""
    path, pool = export(kind), "cls" if kind == "tokens" else None
    backbone = open_backbone(BackboneRequest(handle=str(path), pixels="torch", pool=pool))
    images = photographs(backbone.spec.image_size[0], 8)
    expected = run_onnx(path, images, "torch")
    expected = {"tokens": lambda: expected[:, 0], "maps": lambda: expected.mean((2, 3))}.get(kind, lambda: expected)()
    assert cosines(OpenVINOEngine(backbone, CPU).infer(images), expected).min() >= 0.9999
    assert backbone.openvino_graph.batch_size == (1 if kind == "alone" else None)


def test_hub_module(hub_module, data_dir, photographs, cosines):
    """A hub module that tf2onnx wrote shows its pixels, and has the vectors of ONNX Runtime and of the module."""
    backbone = open_backbone(BackboneRequest(handle=str(hub_module), image_size=128))
    images = photographs(128, 8)
    embeddings = OpenVINOEngine(backbone, CPU).infer(images)
    module = open_backbone(BackboneRequest(handle=str(data_dir / "backbones" / "mobilenet_v1_025_128" / "saved_model")))
    assert backbone.spec.pixels == "0..1"
    assert cosines(embeddings, run_onnx(hub_module, images, "0..1")).min() >= 0.9999
    assert cosines(embeddings, module.call(images / np.float32(255))).min() >= 0.9999
