import dataclasses
import json
import subprocess
import sys
import types

import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder.engines import EngineSettings
from frieze.embedder.engines.tensorflow import TensorFlowEngine, _rewriting, prefetch_pixels

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def engine(tiny, opened):
    """The reference engine on the tiny backbone."""
    return TensorFlowEngine(opened(str(tiny)))


def test_keras_batch_norm(opened):
    """A Keras network is frozen in inference mode: the images of a batch do not change each other's vectors."""
    engine = TensorFlowEngine(opened("keras:MobileNetV3Small", weights="random", image_size=32))
    alone = np.concatenate([engine.infer(PIXELS[:1]), engine.infer(PIXELS[1:2])])
    assert np.abs(engine.infer(PIXELS[:2]) - alone).max() < 1e-4


def test_tensors(engine, tf):
    """Pixels may be a tensor, like those of the pipeline."""
    assert np.array_equal(engine.infer(tf.constant(PIXELS)), engine.infer(PIXELS))


def test_device(engine, tf):
    """Without a GPU pixels stay in the host's memory, in batches of 32."""
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("there is a GPU")
    assert (engine.device, engine.batch_size) == (None, 32)


def test_first_batch_is_as_fast_as_any(opened, tiny, infers):
    """A new engine warms up with one image, before the first batch."""
    TensorFlowEngine(opened(str(tiny)))
    assert infers == [1]


def test_other_sizes(opened, tiny, tf):
    """A size that is not square keeps height before width."""
    backbone = opened(str(tiny))
    spec = dataclasses.replace(backbone.spec, image_size=(4, 6), dim=3)
    tall = dataclasses.replace(backbone, spec=spec, call=lambda images: tf.reduce_sum(images, (1, 2)))
    assert TensorFlowEngine(tall).infer(np.full((1, 4, 6, 3), 255, np.uint8)).tolist() == [[24.0] * 3]


def starve(engine, monkeypatch, tf, *, most):
    """Limit the memory to so many images at once; return the sizes of the batches that were tried."""
    run, tried = engine._function, []

    def hungry(*, pixels):
        tried.append(len(pixels))
        if len(pixels) > most:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return run(pixels=pixels)

    monkeypatch.setattr(engine, "_function", hungry)
    return tried


def test_memory_runs_out(engine, monkeypatch, tf):
    """When out of memory the batch is halved until it fits, for good, and no image is lost."""
    expected = engine.infer(PIXELS)
    tried = starve(engine, monkeypatch, tf, most=10)
    assert np.abs(engine.infer(PIXELS) - expected).max() < 1e-4
    assert (tried, engine.batch_size) == ([32, 16, 8, 8, 8, 8], 8)
    engine.infer(PIXELS[:16])
    assert tried[6:] == [8, 8]


def test_memory_for_nothing(engine, monkeypatch, tf):
    """A memory too small for one image is an error that names the device."""
    starve(engine, monkeypatch, tf, most=0)
    with pytest.raises(InputError, match=r"The memory of CPU:0 is too small .*\n.*`image_size`"):
        engine.infer(PIXELS)


def test_bfloat16(opened, tiny):
    """bfloat16 rewrites the graph of this engine only: another one on the same backbone is unchanged."""
    backbone = opened(str(tiny))
    before = TensorFlowEngine(backbone).infer(PIXELS)
    lower = TensorFlowEngine(backbone, EngineSettings(precision="bfloat16")).infer(PIXELS)
    error = np.abs(lower - before).max() / np.abs(before).max()
    assert error < 0.05
    assert np.array_equal(TensorFlowEngine(backbone).infer(PIXELS), before)


def test_rewriting_lasts(tf):
    """The option of the whole process stays on while any replica runs in a lower precision."""
    option = "auto_mixed_precision_onednn_bfloat16"
    options = tf.config.optimizer.get_experimental_options
    with _rewriting(option):
        with _rewriting(option):
            assert options()[option]
        assert options()[option]
    assert not options()[option]


def test_memory_of_a_gpu(engine, monkeypatch, tf):
    """A GPU too full for the pixels counts as out of memory; any other error of TensorFlow is raised."""
    run, full = engine._function, [True]

    def fail_once(*, pixels):
        if full.pop() if full else False:
            raise tf.errors.InternalError(None, None, "Failed copying: Dst tensor is not initialized.")
        return run(pixels=pixels)

    monkeypatch.setattr(engine, "_function", fail_once)
    assert engine.infer(PIXELS).shape == (32, 16)
    assert engine.batch_size == 16

    def fail(*, pixels):
        raise tf.errors.InternalError(None, None, "something else")

    monkeypatch.setattr(engine, "_function", fail)
    with pytest.raises(tf.errors.InternalError, match="something else"):
        engine.infer(PIXELS)


@pytest.mark.parametrize(
    ("device", "precision", "reason"),
    [
        ("CPU:0", "float32", None),
        ("CPU:0", "bfloat16", None),
        ("CPU:0", "float16", "TensorFlow has no float16 on a CPU"),
        ("GPU:0", "float16", None),
        ("GPU:0", "bfloat16", "TensorFlow has no bfloat16 on a GPU"),
    ],
)
def test_precisions(device, precision, reason):
    """Each kind of device has the precisions that Grappler can rewrite a graph to."""
    assert TensorFlowEngine.unsupported_reason(EngineSettings(precision=precision, devices=(device,))) == reason


def test_settings_by_device():
    """A GPU is tried with larger batches than a CPU."""
    sizes = {
        kind: [one.batch_size for one in TensorFlowEngine.candidate_settings(EngineSettings(devices=(f"{kind}:0",)))]
        for kind in ("CPU", "GPU")
    }
    assert max(sizes["CPU"]) < max(sizes["GPU"])
    assert all(batch_sizes == sorted(batch_sizes) for batch_sizes in sizes.values())


_TWO_DEVICES = """
import json, sys
import numpy as np
from frieze.core import import_tensorflow
tf = import_tensorflow()
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from frieze.embedder import BackboneRequest, EngineSettings, find_devices, open_backbone
from frieze.embedder.engines.tensorflow import TensorFlowEngine
backbone = open_backbone(BackboneRequest(handle=sys.argv[1]))
pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)

def take_turns(device):
    engine = TensorFlowEngine(backbone, EngineSettings(devices=find_devices(device)))
    run, used = engine._function, []
    def spy(*, pixels):
        embeddings = run(pixels=pixels)
        used.append((pixels.device[-5:], embeddings[0].device[-5:]))
        return embeddings
    engine._function = spy
    waits = [engine.submit(pixels[at : at + 2]) for at in (0, 2, 4)]
    parts = np.concatenate([wait() for wait in waits])
    whole = TensorFlowEngine(backbone, EngineSettings(devices=("CPU:0",))).infer(pixels)
    assert np.abs(parts - whole).max() < 1e-4
    return [engine.depth, sorted(set(used))]

def low_precision():
    one = TensorFlowEngine(backbone, EngineSettings(precision="bfloat16", devices=("CPU:0",))).infer(pixels)
    two = TensorFlowEngine(backbone, EngineSettings(precision="bfloat16", devices=find_devices("cpu")))
    waits = [two.submit(pixels) for _ in range(100)]
    return max(float(np.abs(wait() - one).max()) for wait in waits)

print(json.dumps({"auto": take_turns("auto"), "cpu:1": take_turns("cpu:1"), "bfloat16": low_precision()}))
"""


@pytest.fixture(scope="module")
def on_two_devices(tiny):
    """What a process finds whose CPU is two devices."""
    command = [sys.executable, "-c", _TWO_DEVICES, str(tiny)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_low_precision_on_two_devices(on_two_devices):
    """Replicas that run at the same time all keep their precision: none falls back to float32."""
    assert on_two_devices["bfloat16"] < 1e-6


@pytest.mark.slow
def test_devices_take_turns(on_two_devices):
    """Each device runs a replica, batches take turns, and come back in order; --device selects one."""
    assert on_two_devices["auto"] == [4, [["CPU:0", "CPU:0"], ["CPU:1", "CPU:1"]]]
    assert on_two_devices["cpu:1"] == [2, [["CPU:1", "CPU:1"]]]


def numbered(n_batches, taken):
    """Yield batches whose pixels hold their number; `taken` lists the numbers that were taken."""
    for number in range(n_batches):
        taken.append(number)
        yield types.SimpleNamespace(number=number, pixels=np.full((number % 3, 1, 1, 3), number, np.uint8))


@pytest.mark.parametrize("device", [None, "/CPU:0"])
def test_prefetch(device, tf):
    """tf.data yields each batch in order with its own pixels, also empty ones, as tensors on the device."""
    batches = list(prefetch_pixels(numbered(10, []), device))
    assert [batch.number for batch in batches] == list(range(10))
    assert [np.unique(batch.pixels).tolist() for batch in batches] == [[n] if n % 3 else [] for n in range(10)]
    assert {batch.pixels.device[-5:] for batch in batches} == {"CPU:0"}


@pytest.mark.gpu
def test_prefetch_to_gpu(tf):
    """The last step of the pipeline copies the pixels to a GPU."""
    (gpu, *_) = tf.config.list_logical_devices("GPU")
    batches = list(prefetch_pixels(numbered(10, []), gpu.name))
    assert {batch.pixels.device[-5:] for batch in batches} == {"GPU:0"}


def test_prefetch_keeps_errors():
    """An error of the batches is raised as it is, after the batches before it."""

    def broken():
        yield from numbered(2, [])
        raise KeyError("a bug")

    batches = prefetch_pixels(broken(), None)
    assert [next(batches).number, next(batches).number] == [0, 1]
    with pytest.raises(KeyError, match="a bug"):
        next(batches)


def test_prefetch_is_bounded_and_closes():
    """Only a few batches are taken ahead; once closed no more are taken, and the batches can be closed."""
    taken = []
    batches = numbered(100, taken)
    prefetched = prefetch_pixels(batches, None)
    next(prefetched)
    prefetched.close()
    n_taken = len(taken)
    batches.close()
    assert n_taken <= 5
