import importlib.util
import os
import subprocess
import sys
import types

import pytest

from frieze.core import InputError, import_keras
from frieze.core import lazy_imports as quiet


def test_the_same_tensorflow(tf):
    """TensorFlow is imported once, and is the one that `import tensorflow` gives."""
    assert quiet.import_tensorflow() is tf is sys.modules["tensorflow"]


@pytest.mark.parametrize(
    ("n_cores", "environment", "expected"),
    [(3, {}, "3 3"), (1, {}, "1 2"), (3, {"TF_NUM_INTRAOP_THREADS": "1"}, "0 3")],
)
def test_threads(n_cores, environment, expected, monkeypatch):
    """TensorFlow takes a thread a core, two at least to run functions, unless the environment says how many."""
    monkeypatch.setattr(quiet, "count_cores", lambda: n_cores)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    message = types.SimpleNamespace(intra=0, inter=0)
    message.set_intra_op_parallelism_threads = lambda n: setattr(message, "intra", n)
    message.set_inter_op_parallelism_threads = lambda n: setattr(message, "inter", n)
    quiet._set_threads(message)
    assert f"{message.intra} {message.inter}" == expected


def test_threads_are_set(tf):
    """The TensorFlow that runs here has as many threads as this process may use cores."""
    assert tf.config.threading.get_intra_op_parallelism_threads() == quiet.count_cores()


def test_hub_without_warnings(tf):
    """tensorflow_hub is imported without the warnings that it gives at every import."""
    assert callable(quiet.import_tensorflow_hub().resolve)


_WITHOUT_PKG_RESOURCES = """
import importlib.util, sys, types
from frieze.core import lazy_imports

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "pkg_resources" else find_spec(name)
sys.modules["tensorflow"] = types.SimpleNamespace(__version__="2.20.0")  # the import is not what is tested
sys.path.insert(0, sys.argv[1])
hub = lazy_imports.import_tensorflow_hub()
print(hub.newer, "pkg_resources" in sys.modules)
"""


def test_hub_without_pkg_resources(tmp_path):
    """tensorflow_hub is imported where setuptools has no pkg_resources, and that name is gone afterwards."""
    package = "from pkg_resources import parse_version\nnewer = parse_version('2.9') < parse_version('2.20')\n"
    (tmp_path / "tensorflow_hub.py").write_text(package)
    command = [sys.executable, "-c", _WITHOUT_PKG_RESOURCES, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.skipif(importlib.util.find_spec("pkg_resources") is not None, reason="setuptools before 82 is installed")
def test_hub_on_new_setuptools(tf):
    """The real tensorflow_hub is imported beside a setuptools without pkg_resources; `make test-lowest` has one."""
    hub = quiet.import_tensorflow_hub()
    assert callable(hub.KerasLayer)
    assert importlib.util.find_spec("pkg_resources") is None


def test_stderr_is_closed_for_a_while(capfd):
    """What C++ writes to stderr during the import is dropped; before and after it is not."""
    os.write(2, b"before ")
    with quiet._quiet_stderr():
        os.write(2, b"noise ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_stderr_is_opened_again_after_an_error(capfd):
    """An import that fails leaves stderr open for its traceback."""
    with pytest.raises(ImportError), quiet._quiet_stderr():
        raise ImportError
    os.write(2, b"seen")
    assert capfd.readouterr().err == "seen"


def test_no_stderr(monkeypatch):
    """A process that was started without a stderr has nothing to silence."""

    def refuse(_):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", refuse)
    with quiet._quiet_stderr():
        pass


@pytest.mark.slow
def test_nothing_is_said():
    """Importing TensorFlow and running something on it prints nothing at all."""
    code = "from frieze.core import import_tensorflow as tf; assert float(tf().reduce_sum([1.0, 2.0])) == 3.0"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_keras_on_another_backend(tf, monkeypatch):
    """Where the environment has Keras run on something else, that is said before anything ends in a traceback."""
    import keras

    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(InputError, match=r"runs on jax here(?s:.)*KERAS_BACKEND=tensorflow"):
        import_keras()
