"""An exported head in other formats: the judge is its own `network` signature in TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

import frieze
from frieze.classifiers import HEADS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning:tensorflow"),
]
SIDE_PX = 24
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}  # OpenVINO rounds to bfloat16 where the processor has it


def to_tflite(model, folder, tf):
    """Convert as docs/howto.md says; return what runs it, uint8 [N, H, W, 3] -> float32 [N, C]."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(model), signature_keys=["network"])
    (folder / "model.tflite").write_bytes(converter.convert())
    run = tf.lite.Interpreter(str(folder / "model.tflite")).get_signature_runner("network")
    return lambda pixels: run(pixels=pixels)["probabilities"]


def to_onnx(model, folder, tf):
    """Convert as docs/howto.md says, and run it by OpenVINO, which reads ONNX."""
    pytest.importorskip("tf2onnx")
    openvino = pytest.importorskip("openvino")
    to = ("--saved-model", model, "--signature_def", "network", "--output", folder / "model.onnx")
    subprocess.run([sys.executable, "-m", "tf2onnx.convert", *to], check=True, capture_output=True)
    compiled = openvino.compile_model(folder / "model.onnx", "CPU", EXACT)
    return lambda pixels: compiled(pixels)[0]


def to_openvino(model, folder, tf):
    """Convert as docs/howto.md says; written and read again."""
    openvino = pytest.importorskip("openvino")
    converted = openvino.convert_model(tf.saved_model.load(str(model)).signatures["network"])
    openvino.save_model(converted, folder / "model.xml", compress_to_fp16=False)
    compiled = openvino.compile_model(folder / "model.xml", "CPU", EXACT)
    return lambda pixels: compiled(pixels)[0]


CONVERTERS = {"tflite": to_tflite, "onnx": to_onnx, "openvino": to_openvino}


def save_wide_keras(path):
    """Save a small `.keras` file with most that networks are made of, 24 x 48 pixels."""
    import keras

    keras.utils.set_random_seed(3)
    layers, images = keras.layers, keras.Input((SIDE_PX, 2 * SIDE_PX, 3))
    maps = layers.Conv2D(8, 3, strides=2)(layers.Rescaling(1 / 127.5, -1)(images))
    maps = layers.Activation("relu6")(layers.BatchNormalization()(maps))
    maps = layers.Activation("silu")(layers.DepthwiseConv2D(3, padding="same")(maps)) + maps
    maps = layers.Conv2D(12, 3, activation="hard_silu")(layers.ZeroPadding2D(1)(layers.MaxPooling2D()(maps)))
    keras.Model(images, layers.GlobalAveragePooling2D()(maps)).save(path)


@pytest.fixture(scope="module")
def models(world, tmp_path_factory):
    """`models(name)`: an exported head of a kind, or one on a network of another shape, made once."""
    folder = tmp_path_factory.mktemp("converted")

    def make(name):
        if not (folder / f"{name}.model").exists():
            features = folder / "wide.features" if name == "wide" else world / "photos.features"
            if name == "wide":
                save_wide_keras(folder / "wide.keras")
                frieze.embed(world / "photos", out=features, backbone=str(folder / "wide.keras"))
            head, _, kernel = ("linear" if name == "wide" else name).partition("-")
            frieze.train(features, out=folder / f"{name}.head", head=head, kernel=kernel or "linear")
            frieze.export(folder / f"{name}.head", out=folder / f"{name}.model")
        return folder / f"{name}.model"

    return make


@pytest.mark.parametrize("converter", CONVERTERS)
@pytest.mark.parametrize("name", [*HEADS, "wide"])
def test_converts(models, tmp_path, tf, name, converter):
    """Every kind of head converts, also on a non-square network, and predicts the same for one image and many."""
    model = models(name)
    signature = tf.saved_model.load(str(model)).signatures["network"]
    _, height, width, _ = signature.structured_input_signature[1]["pixels"].shape
    pixels = np.random.default_rng(1).integers(0, 256, (4, height, width, 3), np.uint8)
    expected = signature(pixels=tf.constant(pixels))["probabilities"].numpy()
    run = CONVERTERS[converter](model, tmp_path, tf)
    assert np.ptp(expected, axis=0).max() > 1e-3  # else anything that is constant would do
    for n_images in (1, 4):
        assert run(pixels[:n_images]) == pytest.approx(expected[:n_images], abs=1e-5)


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
