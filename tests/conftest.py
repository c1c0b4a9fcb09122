"""What all rooms' tests share."""

import contextlib
import io
import os
import re
import runpy
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from frieze.core import InputError, import_keras, import_tensorflow, lazy_imports
from frieze.embedder.engines import tensorflow

# Before FAISS and scikit-learn are loaded: their threads sleep while they wait. Spinning cost five times the CPU.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
settings.register_profile("frieze", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("frieze")  # before any test is collected: each keeps the settings of that moment
os.environ["XDG_CACHE_HOME"] = os.devnull  # no test reads what another one, or the user, keeps in a cache
sys.modules["openvino_telemetry"] = None  # which forks the whole process for each message that it sends
if "PYTEST_XDIST_WORKER" in os.environ:  # then TensorFlow's threads keep to a core in each process
    lazy_imports.count_cores = lambda: 1
EXAMPLES = Path(__file__).parents[1] / "examples"
_WITH_RAYLETS = ("test_ray.py", "test_add_on_ray.py", "test_ray_client.py")
_LONG = (
    "test_cli.py",
    *_WITH_RAYLETS,
    "test_real_data.py",
    "test_conversion.py",
    "test_finetuning_real.py",
)
"""Names of files: those that start raylets, and with them those that take longest."""
_WITHOUT = os.environ.get("FRIEZE_WITHOUT", "").split()
"""What the tests are to do without, as on a machine that lacks it: names of packages, or `bfloat16`."""
for _package in set(_WITHOUT) - {"bfloat16"}:
    sys.modules[_package] = None  # neither found nor imported from here on


def pytest_collection_modifyitems(items):
    """Run the files that take longest first, so that two processes end at about the same time."""
    items.sort(key=lambda item: _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep each file's tests in one process, those of all files that start raylets, and those that share heads."""
    from xdist.scheduler import LoadScopeScheduling

    class _ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            path = nodeid.partition("::")[0]
            if path.endswith(_WITH_RAYLETS):
                return "ray"
            return "heads" if path.startswith("tests/classifiers/") else path

    return _ByFile(config, log)


@pytest.fixture(autouse="bfloat16" in _WITHOUT)
def _no_bfloat16(monkeypatch):
    """A processor without bfloat16: OpenVINO knows that it has none, and TensorFlow rewrites nothing."""
    monkeypatch.setattr("frieze.embedder.engines.openvino._has_bfloat16", lambda: False)
    monkeypatch.setitem(tensorflow._REWRITES, ("CPU", "bfloat16"), "auto_mixed_precision")  # which is a GPU's


@pytest.fixture
def skip_without_bfloat16():
    """A block that skips the test where it finds that this machine has no bfloat16."""

    @contextlib.contextmanager
    def skipping():
        try:
            yield
        except InputError as error:
            if not re.search("no bfloat16|bfloat16 changes nothing of it|OpenVINO is not installed", error.message):
                raise
            pytest.skip(error.message)

    return skipping


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real weights and photographs; the test is skipped where it is absent."""
    folder = Path(os.environ.get("FRIEZE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set FRIEZE_DATA")
    return folder


@pytest.fixture(scope="session")
def tf():
    """TensorFlow, imported once."""
    return import_tensorflow()


def _build_residual(seed):
    """Build a network of three convolutions, live batch norm and a connection past the second, [B, 16, 16, 3] -> 12."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    images = keras.Input((16, 16, 3))
    maps = layers.Conv2D(8, 3, 2, "same", name="low")(layers.Rescaling(1 / 127.5, -1, name="scale")(images))
    past = layers.BatchNormalization(name="low_norm")(maps)
    maps = layers.Conv2D(8, 3, padding="same", name="high")(layers.ReLU(name="low_relu")(past))
    maps = layers.Add(name="add")([layers.BatchNormalization(name="high_norm")(maps), past])
    maps = layers.Conv2D(12, 3, activation="relu", name="top")(maps)
    return keras.Model(images, layers.GlobalAveragePooling2D(name="mean")(maps), name="residual")


@pytest.fixture(scope="session")
def residual(tmp_path_factory, tf):
    """A `.keras` file of a tiny network with batch norm, whose statistics are not those of a new one."""
    model, rng = _build_residual(3), np.random.default_rng(0)
    for name in ("low_norm", "high_norm"):
        gamma, beta, mean, variance = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([gamma, beta, mean + 0.2, variance * rng.uniform(0.3, 0.6, variance.shape)])
    path = tmp_path_factory.mktemp("residual") / "residual.keras"
    model.save(path)
    return path


_ONNX_SIDE_PX, _ONNX_DIM = 16, 8


def _save_onnx(path, shape, nodes, *, outputs=("y",), domains=(), element_type="FLOAT", **constants):
    """Write an ONNX file: input x of a shape, nodes such as `Relu a -> b`, weights and numbers by name."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper

    parsed = [(name.split(), target) for name, _, target in (node.partition(" -> ") for node, _ in nodes)]
    made = [
        helper.make_node(
            operator.rpartition(".")[2], inputs, [target], domain=operator.rpartition(".")[0], **attributes
        )
        for ((operator, *inputs), target), (_, attributes) in zip(parsed, nodes, strict=True)
    ]
    images = helper.make_tensor_value_info("x", getattr(onnx.TensorProto, element_type), shape)
    results = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs]
    weights = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    graph = helper.make_graph(made, "graph", [images], results, weights)
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def _random(*shape):
    rng = np.random.default_rng(shape)
    return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)


def _save_onnx_network(kind, folder):
    """Write a tiny network with random weights."""
    side, dim = _ONNX_SIDE_PX, _ONNX_DIM
    kernel, conv = _random(dim, 3, 4, 4), {"strides": [4, 4]}
    top = [("GlobalAveragePool r -> g", {}), ("Flatten g -> f", {}), ("MatMul f dense -> y", {})]
    attention = [
        ("Conv x kernel -> patches", conv), ("Reshape patches sides -> rows", {}),
        ("Transpose rows -> tokens", {"perm": [0, 2, 1]}), ("Pad tokens pads -> padded", {}),
        ("Add padded positions -> first", {}), ("MatMul first query -> q", {}), ("MatMul first key -> k", {}),
        ("MatMul first value -> v", {}), ("Transpose k -> kt", {"perm": [0, 2, 1]}), ("MatMul q kt -> s", {}),
        ("Softmax s -> shares", {"axis": -1}), ("MatMul shares v -> mixed", {}), ("Add mixed first -> y", {}),
    ]  # fmt: skip
    weights = {"positions": _random(1, 17, dim), "query": _random(dim, dim), "key": -_random(dim, dim)}
    numbers = {"sides": np.array([0, dim, 16]), "pads": np.array([0, 1, 0, 0, 0, 0])}
    networks = {
        "tokens": (["b", 3, side, side], attention, weights | numbers | {"value": _random(dim, dim).T.copy()}),
        "maps": (["b", "c", "h", "w"], [("Conv x kernel -> m", conv), ("Relu m -> y", {})], {}),
        "nhwc": (
            ["b", 32, 24, 3],
            [("Transpose x -> t", {"perm": [0, 3, 1, 2]}), ("Conv t kernel -> m", conv), ("Relu m -> r", {}), *top],
            {"dense": _random(dim, 6)},
        ),
        "299": (
            ["b", 3, 299, 299],
            [("Conv x kernel -> m", {"strides": [32, 32]}), ("Relu m -> r", {}), *top],
            {"dense": _random(dim, 6)},
        ),
        "alone": (
            [1, 3, side, side],
            [("Conv x kernel -> m", conv), ("Reshape m flat -> f", {}), ("MatMul f dense -> y", {})],
            {"flat": np.array([1, -1]), "dense": _random(16 * dim, 6)},
        ),
    }  # fmt: skip
    shape, nodes, constants = networks[kind]
    return _save_onnx(folder / f"{kind}.onnx", shape, nodes, kernel=kernel, **constants)


@pytest.fixture(scope="session")
def save_onnx():
    """`save_onnx(path, shape, nodes, outputs=("y",), domains=(), **constants)`: an ONNX file with the input x."""
    return _save_onnx


@pytest.fixture(scope="session")
def onnx_network(tmp_path_factory):
    """`onnx_network(kind)`: a tiny network of random weights, 16 pixels and width 8 where its kind has no others.

    `tokens` is a transformer with 17 tokens, `maps` has any size and order of axes, `nhwc` takes [B, 32, 24, 3], `299`
    only that size, and `alone` one image at once.
    """
    folder = tmp_path_factory.mktemp("onnx")
    return lambda kind: _save_onnx_network(kind, folder)


def _write_text_tower(folder, vectors, *, length=None, is_masked=True):
    """Write a text tower whose text is the sum of its words' vectors: model.onnx and tokenizer.json.

    Args:
        folder: Where to; made.
        vectors: Word -> float32 [D]; other words have a vector of zeros.
        length: Number of tokens that the graph requires; None for any.
        is_masked: Whether it takes a mask, by which the tokens that fill up a short text do not count.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rows = np.array([np.zeros_like(next(iter(vectors.values()))), *vectors.values()], np.float32)
    ids, mask = (
        helper.make_tensor_value_info(name, TensorProto.INT64, [1, length]) for name in ("input_ids", "attention_mask")
    )
    nodes = [
        helper.make_node("Gather", ["rows", "input_ids"], ["tokens"]),
        helper.make_node("Cast", ["attention_mask" if is_masked else "input_ids"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["numbers", "tokens"], ["sums"]),  # [1, L] @ [1, L, D]
        helper.make_node("Reshape", ["sums", "shape"], ["text_embeds"]),
    ]
    constants = {"rows": rows, "shape": np.array([1, rows.shape[1]], np.int64)}
    out = helper.make_tensor_value_info("text_embeds", TensorProto.FLOAT, [1, rows.shape[1]])
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "text", [ids, mask][: 1 + is_masked], [out], weights)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), folder / "model.onnx")
    _write_tokenizer(folder, vectors)
    return folder


def _write_saved_text_tower(folder, vectors, *, length=None, is_masked=True):
    """Write the same as a SavedModel with tokenizer.json; arguments as above."""
    import tensorflow as tf

    module = tf.Module()
    module.rows = tf.Variable(np.array([np.zeros_like(next(iter(vectors.values()))), *vectors.values()], np.float32))
    specs = [tf.TensorSpec([None, length], tf.int64, name) for name in ("input_ids", "attention_mask")]

    def serve(ids, mask=None):
        numbers = tf.cast(ids if mask is None else mask, tf.float32)
        return {"text_embeds": tf.einsum("bl,bld->bd", numbers, tf.gather(module.rows, ids))}

    module.serve = tf.function(serve, specs[: 1 + is_masked], autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.serve)
    _write_tokenizer(folder, vectors)
    return folder


def _write_tokenizer(folder, tokens):
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"[UNK]": 0} | {word: number for number, word in enumerate(tokens, 1)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106  a token of text
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="session")
def write_text_tower():
    """`write_text_tower(folder, {word: vector}, length=None)`: a text tower of two files; a text is its words' sum."""
    return _write_text_tower


@pytest.fixture(scope="session")
def write_saved_text_tower():
    """`write_saved_text_tower(folder, {word: vector}, length=None)`: the same text tower, its network a SavedModel."""
    return _write_saved_text_tower


class Bucket:
    """A bucket of the server, and the requests that it was asked.

    Attributes:
        url: `s3://NAME`.
    """

    def __init__(self, system, name, endpoint, log):
        self.url = f"s3://{name}"
        self._system, self._name, self._endpoint, self._log = system, name, endpoint, log
        system.create_dir(name)

    def put(self, key, data):
        """Write an object."""
        with self._system.open_output_stream(f"{self._name}/{key}") as file:
            file.write(data)

    def put_raw(self, key, data):
        """Write an object as clients of other makers do: pyarrow's refuses some keys."""
        url, headers = f"{self._endpoint}/{self._name}/{key}", {"Content-Type": "image/jpeg"}
        request = urllib.request.Request(url, data, headers, method="PUT")  # noqa: S310  our own server
        urllib.request.urlopen(request, timeout=20).close()  # noqa: S310  our own server

    def put_folder(self, folder, prefix):
        """Write a folder's files below a prefix."""
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())

    def delete(self, key):
        """Delete an object."""
        self._system.delete_file(f"{self._name}/{key}")

    def reads(self):
        """Return the keys that were read so far, one for each request of their bytes."""
        return re.findall(rf'"GET /{self._name}/([^ ?]+) HTTP', self._log.read_text())


@pytest.fixture(scope="session")
def _server(tmp_path_factory):
    """The server: its URL, and the file where it notes each request."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in server.stderr:
            if "Running on" in line:
                break
        copier = subprocess.Popen(["cat"], stdin=server.stderr, stdout=file)
        yield f"http://127.0.0.1:{port}", log
        server.kill()
        server.wait()
        server.stderr.close()
        copier.wait()


def _environment(url):
    """Return what a user would set."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def bucket(_server, request, monkeypatch):
    """An empty bucket of its own, found through the environment as a user would set it."""
    url, log = _server
    for name, value in _environment(url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("frieze.core.storage.locks._SETTLE_S", 0.0)
    from pyarrow.fs import S3FileSystem

    system = S3FileSystem(endpoint_override=url.removeprefix("http://"), scheme="http", allow_bucket_creation=True)
    name = re.sub(r"[^a-z0-9]+", "-", request.node.nodeid.lower())[-60:].strip("-")  # two files may name a test alike
    return Bucket(system, name, url, log)


@pytest.fixture(scope="module")
def cluster(_server):
    """Two raylets, a core each, that find the server of buckets through their environment."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _environment(_server[0]).items():
            patch.setenv(name, value)
        head = {"num_cpus": 1, "include_dashboard": False}
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def run_recipe(tmp_path, monkeypatch, capsys):
    """`run_recipe(recipe, *args)`: what a recipe of examples/ prints, run in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run_script(recipe, *args):
        monkeypatch.setattr("sys.argv", [recipe, *map(str, args)])
        runpy.run_path(str(EXAMPLES / f"{recipe}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run_script


@pytest.fixture
def tour_home(tmp_path, monkeypatch):
    """The current folder, with what README's tour starts from: photographs in two classes, new ones, and a query."""
    from PIL import Image, ImageOps

    for folder, n_images in {"photos/sky": 8, "photos/grass": 8, "new-photos": 2}.items():
        (tmp_path / folder).mkdir(parents=True)
        for number in range(n_images):
            image = Image.new("RGB", (60 + number, 40), (40 + number, *((160, 60) if "grass" in folder else (60, 200))))
            ImageOps.expand(image, number + 1).save(tmp_path / folder / f"{number}.png")
    Image.new("RGB", (50, 40), (40, 60, 200)).save(tmp_path / "holiday.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def hostile_jpeg():
    """A progressive JPEG of very many scans: the file repeats its last one, and each costs a pass over it."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.zeros((1536, 1536, 3), np.uint8)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 3_000 + data[-2:]
