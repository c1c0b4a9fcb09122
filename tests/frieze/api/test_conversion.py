"""An exported head in other formats: the judge is its own `network` signature in TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

import frieze
import frieze.embedder
from frieze.api import exporting
from frieze.classifiers import HEADS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning:tensorflow"),
]
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}  # OpenVINO rounds to bfloat16 where the processor has it


def to_tflite(model, folder, tf, names):
    """Convert as docs/howto.md says; return what runs each signature, uint8 [N, H, W, 3] -> float32 [N, C]."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(model), signature_keys=[*names])
    (folder / "model.tflite").write_bytes(converter.convert())
    interpreter = tf.lite.Interpreter(str(folder / "model.tflite"))
    runners = {name: interpreter.get_signature_runner(name) for name in names}
    return {name: lambda pixels, run=run: run(pixels=pixels)["probabilities"] for name, run in runners.items()}


def to_onnx(model, folder, tf, names):
    """Convert as docs/howto.md says, and run it by OpenVINO, which reads ONNX."""
    pytest.importorskip("tf2onnx")
    openvino = pytest.importorskip("openvino")
    to = ("--saved-model", model, "--signature_def", *names, "--output", folder / "model.onnx")
    subprocess.run([sys.executable, "-m", "tf2onnx.convert", *to], check=True, capture_output=True)
    compiled = openvino.compile_model(folder / "model.onnx", "CPU", EXACT)
    return {name: lambda pixels: compiled(pixels)[0] for name in names}


def to_openvino(model, folder, tf, names):
    """Convert as docs/howto.md says; written and read again, each to a file of its own, which stays mapped."""
    openvino = pytest.importorskip("openvino")
    signatures, runners = tf.saved_model.load(str(model)).signatures, {}
    for name in names:
        path = folder / f"{name}.xml"
        openvino.save_model(openvino.convert_model(signatures[name]), path, compress_to_fp16=False)
        compiled = openvino.compile_model(path, "CPU", EXACT)
        runners[name] = lambda pixels, compiled=compiled: compiled(pixels)[0]
    return runners


CONVERTERS = {"tflite": to_tflite, "onnx": to_onnx, "openvino": to_openvino}


@pytest.fixture(scope="module")
def networks(small_head, tmp_path_factory, tf):
    """A SavedModel with the `network` of a head of each kind, under the kind's name."""
    module, folder = tf.Module(), tmp_path_factory.mktemp("networks")
    module.functions = {}
    for kind in HEADS:
        head = frieze.open_head(small_head(kind))
        backbone = frieze.embedder.reopen_backbone(head.spec, where="the head")
        module.functions[kind.replace("-", "_")] = exporting._functions(head, backbone)["network"]
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder / "model"), signatures=dict(module.functions), options=options)
    return folder / "model"


def check_same(model, folder, tf, converter, names):
    """Check that a converted model returns what its signatures do, of one image and of many."""
    signatures = tf.saved_model.load(str(model)).signatures
    pixels = np.random.default_rng(1).integers(0, 256, (4, 24, 48, 3), np.uint8)
    for name, run in CONVERTERS[converter](model, folder, tf, names).items():
        expected = signatures[name](pixels=tf.constant(pixels))["probabilities"].numpy()
        assert np.ptp(expected, axis=0).max() > 1e-3, name  # else anything that is constant would do
        for n_images in (1, 4):
            assert run(pixels[:n_images]) == pytest.approx(expected[:n_images], abs=1e-5), name


@pytest.mark.parametrize("converter", CONVERTERS)
def test_an_exported_head_converts(small_model, tmp_path, tf, converter):
    """An exported head, on a non-square network, converts as the documentation says, and predicts the same."""
    check_same(small_model("linear"), tmp_path, tf, converter, ["network"])


@pytest.mark.parametrize("converter", ["tflite", "openvino"])
def test_every_head_converts(networks, tmp_path, tf, converter):
    """Every kind of head converts, and predicts the same; that ONNX has them all is tested in test_export_onnx.py."""
    check_same(networks, tmp_path, tf, converter, [kind.replace("-", "_") for kind in HEADS])


def test_built_in_converts(tmp_path, tf):
    """The built-in backbone, exported alone, converts by its only signature."""
    openvino = pytest.importorskip("openvino")
    frieze.export("builtin", out=tmp_path / "model")
    images = np.random.default_rng(1).random((4, 128, 128, 3), np.float32)
    signature = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    expected = signature(images=tf.constant(images))["feature_vector"].numpy()
    lite = tf.lite.Interpreter(
        model_content=tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "model")).convert()
    )
    compiled = openvino.compile_model(openvino.convert_model(tmp_path / "model"), "CPU", EXACT)
    assert lite.get_signature_runner()(images=images)["feature_vector"] == pytest.approx(expected, abs=1e-4)
    assert compiled(images)[0] == pytest.approx(expected, abs=1e-4)
