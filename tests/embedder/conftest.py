"""The judge of embedder/: a fixed tiny SavedModel, and a plain loop over it like one in a notebook."""

import ctypes
import functools
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frieze.core import import_tensorflow
from frieze.embedder import BackboneRequest, JobOptions, SourceOptions, embed_source, open_backbone
from frieze.embedder.backbones import fingerprint_of_files
from frieze.embedder.backbones.catalogue import APPLICATIONS, Application
from frieze.embedder.engines import EngineSettings
from frieze.embedder.engines.openvino import OpenVINOEngine
from frieze.embedder.engines.tensorflow import TensorFlowEngine

SIDE_PX, DIM = 32, 16


def _tiny_module(seed):
    """Build a module of convolution, batch norm and a dense layer: float32 [B, 32, 32, 3] -> [B, 16]."""
    tf = import_tensorflow()
    rng = np.random.default_rng(seed)

    def variable(*shape, mean=0.0, scale=1.0):
        return tf.Variable(rng.normal(mean, scale, shape).astype(np.float32))

    class Tiny(tf.Module):
        def __init__(self):
            super().__init__()
            self.kernel = variable(4, 4, 3, 8, scale=0.2)
            self.mean, self.deviation = variable(8, scale=0.1), tf.abs(variable(8, mean=0.5, scale=0.1))
            self.dense = variable(8 * 8 * 8, DIM, scale=0.05)

        @tf.function(autograph=False)
        def __call__(self, images, training=False):
            maps = tf.nn.conv2d(images, self.kernel, 4, "VALID")  # [B, 8, 8, 8]
            mean = tf.reduce_mean(maps, (0, 1, 2)) if training else self.mean
            maps = tf.nn.relu((maps - mean) / self.deviation)
            return tf.reshape(maps, [-1, 8 * 8 * 8]) @ self.dense

    return Tiny()


def _save_tiny(path, seed=0):
    tf = import_tensorflow()
    module = _tiny_module(seed)
    images = tf.TensorSpec([None, SIDE_PX, SIDE_PX, 3], tf.float32)
    for training in (False, True):
        module.__call__.get_concrete_function(images, training=training)
    tf.saved_model.save(module, str(path))
    return path


def _live_module(seed=0, side=8):
    """Build a module in hub form with live batch norm and a penalty on its kernels: [B, side, side, 3] -> [B, 4]."""
    tf = import_tensorflow()
    rng = np.random.default_rng(seed)

    def variable(name, *shape, value=None, trainable=True):
        values = rng.normal(0, 0.4, shape) if value is None else np.full(shape, value)
        return tf.Variable(values.astype(np.float32), name=name, trainable=trainable)

    module = tf.train.Checkpoint()
    conv, top = variable("conv/kernel", 2, 2, 3, 6), variable("top/kernel", 6, 4)
    gamma, beta = variable("norm/gamma", 6, value=1.0), variable("norm/beta", 6, value=0.1)
    mean = variable("norm/moving_mean", 6, value=0.2, trainable=False)
    variance = variable("norm/moving_variance", 6, value=0.5, trainable=False)

    def call(images, training=False):
        maps = tf.nn.conv2d(images, conv, 2, "VALID")
        moments = tf.nn.moments(maps, (0, 1, 2)) if training else (mean, variance)
        if training:
            mean.assign(0.9 * mean + 0.1 * moments[0])
            variance.assign(0.9 * variance + 0.1 * moments[1])
        maps = tf.nn.relu(tf.nn.batch_normalization(maps, *moments, beta, gamma, 1e-3))
        return tf.reduce_mean(maps, (1, 2)) @ top

    module.__call__ = tf.function(call, autograph=False)
    for training in (False, True):
        module.__call__.get_concrete_function(tf.TensorSpec([None, side, side, 3]), training=training)
    module.variables = [top, mean, conv, variance, gamma, beta]  # not in the graph's order, as often
    module.trainable_variables = [top, conv, gamma, beta]
    module.regularization_losses = [tf.function(lambda: 0.1 * tf.nn.l2_loss(conv), input_signature=[])]
    module.regularization_losses += [tf.function(lambda: 0.2 * tf.nn.l2_loss(top), input_signature=[])]
    return module


def _photo(seed, width=48, height=36):
    """Draw a smooth image like a photograph: mode RGB, another one for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def _write_photos(folder, names, *, first_seed=0):
    """Write a small JPEG under each name."""
    for seed, name in enumerate(names, first_seed):
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _photo(seed).save(path, "JPEG", quality=95)
    return Path(folder)


def _no_progress(done, total):
    """Ignore progress."""


def _cosines(some, others):
    """Compute the cosine of each pair of rows; float64 [n]."""
    a, b = (np.asarray(rows, np.float64) for rows in (some, others))
    return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


@pytest.fixture
def needs_openvino():
    """Skip the test if OpenVINO is not installed."""
    if (reason := OpenVINOEngine.unsupported_reason(EngineSettings(devices=("CPU:0",)))) is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def needs_nncf():
    """Skip the test if NNCF or OpenVINO is not installed; neither is imported."""
    missing = [name for name in ("nncf", "openvino") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="session")
def save_tiny():
    """`save_tiny(path, seed=0)`: a SavedModel in hub form; another seed is another network."""
    return _save_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of the fixed tiny SavedModel: 32 x 32 pixels, D = 16."""
    return _save_tiny(tmp_path_factory.mktemp("backbones") / "tiny")


@pytest.fixture(scope="session")
def live(tmp_path_factory):
    """The folder of a tiny SavedModel in hub form that trains: 8 x 8 pixels, D = 4, batch norm, two penalties."""
    folder = tmp_path_factory.mktemp("backbones") / "live"
    import_tensorflow().saved_model.save(_live_module(), str(folder))
    return folder


@pytest.fixture(scope="session")
def module(tiny, tf):
    """The tiny SavedModel, loaded by TensorFlow."""
    return tf.saved_model.load(str(tiny))


@pytest.fixture(scope="session")
def plain_loop(module):
    """Paths -> float32 [n, 16]: Pillow's full decode, bilinear resize, / 255, the loaded module."""

    def embed_one(path):
        image = Image.open(path).convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
        return module(np.asarray(image, np.float32)[None] / 255).numpy()[0]

    return lambda paths: np.stack([embed_one(path) for path in paths])


@pytest.fixture(scope="session")
def photo():
    """`photo(seed, width=48, height=36)`: a smooth picture."""
    return _photo


@pytest.fixture(scope="session")
def write_photos():
    """`write_photos(folder, names, first_seed=0)`: a small JPEG under each name."""
    return _write_photos


@pytest.fixture(scope="session")
def cosines():
    """`cosines(some, others)`: one for each pair of rows."""
    return _cosines


@pytest.fixture(scope="session")
def gallery(tmp_path_factory):
    """24 photographs in three folders, small ones and one that is large enough for JPEG draft mode."""
    folder = tmp_path_factory.mktemp("gallery")
    for number in range(24):
        path = folder / f"c{number % 3}" / f"{number:02}.jpg"
        path.parent.mkdir(exist_ok=True)
        scale = 60 if number == 23 else (1, 4, 12, 16)[number % 4]
        _photo(number, 40 * scale + number, 30 * scale).save(path, quality=92)
    return folder


@pytest.fixture
def folder(tmp_path):
    """Ten small photographs `a.jpg` to `j.jpg`, which a test may change."""
    return _write_photos(tmp_path / "photos", [f"{name}.jpg" for name in "abcdefghij"])


@pytest.fixture(scope="session")
def _opened_once(tiny):
    """All jobs of this session that ask for the same of the tiny SavedModel get the same open backbone."""
    opened_by = functools.cache(lambda request, _fingerprint: open_backbone(request))

    def open_for_job(request):
        is_tiny = request.handle == str(tiny)
        return opened_by(request, fingerprint_of_files(request)) if is_tiny else open_backbone(request)

    with pytest.MonkeyPatch.context() as patch:
        for job in ("embed", "cluster.worker"):
            patch.setattr(f"frieze.embedder.{job}.open_backbone", open_for_job)
        yield


@pytest.fixture(scope="session")
def embed(tiny, _opened_once):
    """`embed(source, out, backbone=, labels=, progress=, **options)`: shards of 4, batches of 2."""

    def run(source, out, /, *, backbone=tiny, labels="folder", progress=_no_progress, **options):
        backbone_options = {
            name: options.pop(name) for name in ("fit", "precision", "pixels", "pool") if name in options
        }
        request = BackboneRequest(handle=str(backbone), **backbone_options)
        source_options = SourceOptions(labels=labels)
        options = JobOptions(**{"shard_size": 4, "batch_size": 2, "workers": 2, "source": source_options} | options)
        return embed_source(source, out, request=request, options=options, progress=progress)

    return run


@pytest.fixture(scope="session")
def whole(gallery, embed, tmp_path_factory):
    """The gallery's table, made in one uninterrupted run, and the run's document."""
    out = tmp_path_factory.mktemp("whole") / "gallery.features"
    return out, embed(gallery, out)


def _obey_rights(rights):
    """Make this thread of root obey file permissions, or not: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    libc = ctypes.CDLL(None)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, data)
    data[0] = data[0] & ~6 if rights else data[0] | data[1] & 6
    libc.capset(header, data)


@pytest.fixture
def lock():
    """`lock(path, mode=0)`: removes the permissions of a file or folder until the test ends, also for root."""
    locked = []

    def take(path, mode=0):
        locked.append((path, path.stat().st_mode))
        path.chmod(mode)
        if os.geteuid() == 0:
            _obey_rights(rights=True)

    yield take
    if os.geteuid() == 0:
        _obey_rights(rights=False)
    for path, mode in reversed(locked):
        path.chmod(mode)


@pytest.fixture
def out(tmp_path):
    """The path of a test's table."""
    return tmp_path / "photos.features"


@pytest.fixture
def infers(monkeypatch):
    """The number of images in each batch that an engine runs; the first is the warm-up's one."""
    counts, infer = [], TensorFlowEngine.infer_on

    def counting(engine, device, pixels):
        counts.append(len(pixels))
        return infer(engine, device, pixels)

    monkeypatch.setattr(TensorFlowEngine, "infer_on", counting)
    return counts


@pytest.fixture(scope="session")
def opened():
    """`opened(handle, **options)`: an open backbone, cached for the session."""

    @functools.cache
    def get(handle, **options):
        return open_backbone(BackboneRequest(handle=handle, **options))

    return get


def _build_small(*, include_top, weights, pooling, input_shape):
    """Build a network of two layers as the functions of keras.applications build theirs: D = 8."""
    import keras

    assert (include_top, weights, pooling) == (False, None, "avg")
    if input_shape[0] < 8:
        raise ValueError("Input size must be at least 8x8.")
    images = keras.Input(input_shape)
    maps = keras.layers.Conv2D(6, 3, activation="relu", name="first")(images)
    maps = keras.layers.Conv2D(8, 3, activation="relu", name="second")(maps)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="mean")(maps), name="Small")


@pytest.fixture
def small_application(monkeypatch, tf):
    """`keras:Small`, one more model of keras.applications, built instantly; pixels -1..1."""
    import keras

    monkeypatch.setattr(keras.applications, "Small", _build_small, raising=False)
    monkeypatch.setitem(APPLICATIONS, "Small", Application(8, SIDE_PX, 614, "-1..1"))
    return "keras:Small"


@pytest.fixture(scope="session")
def small_network(tmp_path_factory, tf):
    """`keras:Small` with other weights, and the folder where it is saved as `.keras` and `.weights.h5`."""
    import keras

    keras.utils.set_random_seed(7)
    model = _build_small(include_top=False, weights=None, pooling="avg", input_shape=(SIDE_PX, SIDE_PX, 3))
    folder = tmp_path_factory.mktemp("keras")
    model.save(folder / "small.keras")
    model.save_weights(folder / "small.weights.h5")
    return model, folder


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real photographs and backbones; skips the test if there is none."""
    path = Path(os.environ.get("FRIEZE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("there are no shared data: set FRIEZE_DATA")
    return path


@pytest.fixture
def named_photos(tmp_path):
    """`named_photos(names)`: a folder `photos` of images of these names, all different."""

    def write(names):
        for name in names:
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(100) + name.encode())
        return tmp_path / "photos"

    return write
