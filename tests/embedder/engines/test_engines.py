import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder.engines import EngineSettings
from frieze.embedder.engines.base import ENGINES, REFERENCE, devices_for, usable_engines

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
CPU = EngineSettings(devices=("CPU:0",))


@pytest.fixture(params=ENGINES)
def name(request):
    """Each engine that is installed."""
    if (reason := ENGINES[request.param].unsupported_reason(CPU)) is not None:
        pytest.skip(reason)
    return request.param


def test_agrees_with_the_module(name, opened, tiny, module):
    """Each engine returns float32 [B, D], equal to what the module itself returns for pixels / 255."""
    embeddings = ENGINES[name](opened(str(tiny))).infer(PIXELS)
    assert (embeddings.shape, embeddings.dtype) == ((32, 16), np.float32)
    assert np.abs(embeddings - module(PIXELS / np.float32(255))).max() < 1e-4


@pytest.mark.parametrize("n_images", [1, 3, 31])
def test_batch_size_does_not_matter(name, n_images, opened, tiny):
    """However images are cut into batches, their vectors are the same."""
    engine = ENGINES[name](opened(str(tiny)), EngineSettings(batch_size=5))
    chunks = [engine.infer(PIXELS[at : at + n_images]) for at in range(0, 32, n_images)]
    assert np.abs(np.concatenate(chunks) - engine.infer(PIXELS)).max() < 1e-4


def test_empty_batch(name, opened, tiny):
    """An empty batch returns 0 rows of the right width: all its files may have failed."""
    assert ENGINES[name](opened(str(tiny))).infer(PIXELS[:0]).shape == (0, 16)


def test_several_in_flight(name, opened, tiny):
    """Batches in flight at once each return their own vectors, and the pixels may change meanwhile."""
    engine = ENGINES[name](opened(str(tiny)))
    expected = engine.infer(PIXELS)
    waits = [engine.submit(PIXELS[at : at + 8].copy()) for at in range(0, 32, 8)]
    assert np.abs(np.concatenate([wait() for wait in waits]) - expected).max() < 1e-4


def test_keras_application(name, opened, cosines):
    """Each engine runs a graph of keras.applications, down to its pooling."""
    backbone = opened("keras:MobileNetV3Small", weights="random", image_size=64)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    expected = np.asarray(backbone.call(pixels / np.float32(255)))
    assert cosines(ENGINES[name](backbone).infer(pixels), expected).min() > 0.999


def test_settings_begin_small(name):
    """Candidate settings start with small batches, and all of them are supported."""
    settings = list(ENGINES[name].candidate_settings(CPU))
    assert [one.batch_size for one in settings] == sorted(one.batch_size for one in settings)
    assert all(ENGINES[name].unsupported_reason(one) is None for one in settings)


@pytest.mark.usefixtures("needs_openvino")
def test_all_are_usable():
    """On a CPU every engine can run float32; the reference comes first."""
    assert usable_engines("auto", CPU) == list(ENGINES)
    assert usable_engines("auto", CPU)[0] == REFERENCE


def test_unknown_engine():
    """An unknown engine is refused with the names of the known ones."""
    with pytest.raises(InputError, match=r"Unknown engine: abacus\.\nUse one of: auto, tensorflow, openvino"):
        usable_engines("abacus", CPU)


def test_unsupported_precision():
    """A precision that no engine supports here is refused, with the reason of each engine."""
    with pytest.raises(
        InputError, match=r"`precision='float16'` is not available here: TensorFlow has no float16 on a CPU; OpenVINO"
    ):
        usable_engines("auto", EngineSettings(precision="float16", devices=("CPU:0",)))


@pytest.mark.usefixtures("needs_openvino")
def test_engine_of_another_device():
    """The CPU engine is an error for a GPU when named explicitly, and skipped with `auto`."""
    gpu = EngineSettings(devices=("GPU:0",))
    assert usable_engines("auto", gpu) == [REFERENCE]
    with pytest.raises(InputError, match="`engine='openvino'` is not available here: OpenVINO runs on the CPU alone"):
        usable_engines("openvino", gpu)


def test_not_installed(monkeypatch):
    """Without OpenVINO only the reference is usable, and naming OpenVINO says what to install."""
    monkeypatch.setattr("frieze.embedder.engines.openvino.importlib.util.find_spec", lambda _: None)
    assert usable_engines("auto", CPU) == [REFERENCE]
    with pytest.raises(InputError, match="pip install openvino"):
        usable_engines("openvino", CPU)


@pytest.mark.usefixtures("needs_openvino")
def test_onnx(opened, onnx_network, monkeypatch):
    """An ONNX file runs in OpenVINO alone, on the CPU also where there is a GPU, unless a GPU was asked for."""
    backbone = opened(str(onnx_network("nhwc")), pixels="torch")
    assert usable_engines("auto", CPU, backbone) == ["openvino"]
    with pytest.raises(InputError, match="`engine='tensorflow'` is not available here: nhwc is an ONNX file"):
        usable_engines("tensorflow", CPU, backbone)
    monkeypatch.setattr("frieze.embedder.engines.base.find_devices", lambda *_: ("GPU:0",))
    assert devices_for(backbone) == devices_for(backbone, "cpu") == ("CPU:0",)
    assert devices_for(backbone, "gpu") == devices_for(opened("builtin")) == ("GPU:0",)
