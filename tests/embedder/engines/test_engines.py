import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder.engines import Setting
from frieze.embedder.engines.base import ENGINES, REFERENCE, usable

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
CPU = Setting(devices=("CPU:0",))


@pytest.fixture(params=ENGINES)
def name(request):
    """Each engine that is installed."""
    if (reason := ENGINES[request.param].unsupported_reason(CPU)) is not None:
        pytest.skip(reason)
    return request.param


def test_agrees_with_the_module(name, opened, tiny, module):
    """Each engine gives float32 [B, D], what the module itself gives for pixels / 255."""
    embeddings = ENGINES[name](opened(str(tiny))).infer(PIXELS)
    assert (embeddings.shape, embeddings.dtype) == ((32, 16), np.float32)
    assert np.abs(embeddings - module(PIXELS / np.float32(255))).max() < 1e-4


@pytest.mark.parametrize("n_images", [1, 3, 31])
def test_batch_size_does_not_matter(name, n_images, opened, tiny):
    """However images are cut into batches, their vectors are the same."""
    engine = ENGINES[name](opened(str(tiny)), Setting(batch_size=5))
    pieces = [engine.infer(PIXELS[at : at + n_images]) for at in range(0, 32, n_images)]
    assert np.abs(np.concatenate(pieces) - engine.infer(PIXELS)).max() < 1e-4


def test_empty_batch(name, opened, tiny):
    """A batch without images gives no rows of the right width: all its files may have failed."""
    assert ENGINES[name](opened(str(tiny))).infer(PIXELS[:0]).shape == (0, 16)


def test_several_under_way(name, opened, tiny):
    """Batches begun before others have ended each give their own vectors, and the pixels may change meanwhile."""
    engine = ENGINES[name](opened(str(tiny)))
    wanted = engine.infer(PIXELS)
    waits = [engine.submit(PIXELS[at : at + 8].copy()) for at in range(0, 32, 8)]
    assert np.abs(np.concatenate([wait() for wait in waits]) - wanted).max() < 1e-4


def test_keras_application(name, opened, cosines):
    """Each engine runs a graph of keras.applications, down to its pooling."""
    backbone = opened("keras:MobileNetV3Small", weights="random", image_size=64)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    wanted = np.asarray(backbone.call(pixels / np.float32(255)))
    assert cosines(ENGINES[name](backbone).infer(pixels), wanted).min() > 0.999


def test_settings_begin_small(name):
    """Each engine tries small batches before large ones, and all that is worth a trial can be had."""
    settings = list(ENGINES[name].settings(CPU))
    assert [one.batch_size for one in settings] == sorted(one.batch_size for one in settings)
    assert all(ENGINES[name].unsupported_reason(one) is None for one in settings)


@pytest.mark.usefixtures("needs_openvino")
def test_all_are_usable():
    """On a CPU every engine can run float32; the reference stands first."""
    assert usable("auto", CPU) == list(ENGINES)
    assert usable("auto", CPU)[0] == REFERENCE


def test_unknown_engine():
    """An engine that there is not is refused with the names of those there are."""
    with pytest.raises(InputError, match=r"Unknown engine: abacus\.\nUse one of: auto, tensorflow, openvino"):
        usable("abacus", CPU)


def test_no_engine_has_it():
    """A precision that nothing here has is refused, and each engine says why."""
    with pytest.raises(InputError, match=r"float16 can't be had here: TensorFlow has no float16 on a CPU; OpenVINO"):
        usable("auto", Setting(precision="float16", devices=("CPU:0",)))


@pytest.mark.usefixtures("needs_openvino")
def test_engine_of_another_device():
    """The engine of a CPU is refused where a GPU was asked for, and passed over where none was."""
    gpu = Setting(devices=("GPU:0",))
    assert usable("auto", gpu) == [REFERENCE]
    with pytest.raises(InputError, match="--engine openvino can't be had here: OpenVINO runs on the CPU alone"):
        usable("openvino", gpu)


def test_not_installed(monkeypatch):
    """Without OpenVINO the reference is left, and who asks for the other one is told what to install."""
    monkeypatch.setattr("frieze.embedder.engines.openvino.importlib.util.find_spec", lambda _: None)
    assert usable("auto", CPU) == [REFERENCE]
    with pytest.raises(InputError, match=r"pip install 'frieze\[cpu\]'"):
        usable("openvino", CPU)
