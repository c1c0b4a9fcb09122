"""Lazy imports of TensorFlow, Keras, TensorFlow Hub, OpenVINO and NNCF, without warnings, log lines and telemetry."""

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import random
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from typing import Any

from frieze.core.errors import InputError
from frieze.core.resources import count_cores


def import_tensorflow() -> Any:
    """Import TensorFlow the first time it is needed.

    It logs only fatal errors, and uses as many threads as this process may use cores, unless environment variables
    say otherwise. If it was imported before, its settings stay.
    """
    if "tensorflow" not in sys.modules:
        level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")
        with environment(TF_CPP_MIN_LOG_LEVEL=level), _quiet_stderr(), _preserve_random_state():
            tensorflow = importlib.import_module("tensorflow")
        _set_threads(tensorflow.config.threading)
    return sys.modules["tensorflow"]


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables while the block runs, then restore them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Keras while the block runs; the state of the caller's random generators is restored.

    Keras draws the seed of each layer from Python's `random` alone.
    """
    with _preserve_random_state():
        random.seed(seed)
        yield


@contextlib.contextmanager
def _preserve_random_state() -> Iterator[None]:
    """Restore the state of Python's `random` after the block: some modules draw numbers when imported."""
    before = random.getstate()
    try:
        yield
    finally:
        random.setstate(before)


def _set_threads(threading: Any) -> None:
    """Set intra-op and inter-op threads to the number of cores: replicas run their operations in parallel.

    Two inter-op threads at least: with one, a function that waits for another function waits for ever
    (tensorflow/tensorflow#48418, #32454).
    """
    if "TF_NUM_INTRAOP_THREADS" not in os.environ:
        threading.set_intra_op_parallelism_threads(count_cores())
    if "TF_NUM_INTEROP_THREADS" not in os.environ:
        threading.set_inter_op_parallelism_threads(max(2, count_cores()))


def import_keras() -> Any:
    """Import Keras, after TensorFlow.

    Raises:
        InputError: Keras uses another backend.
    """
    import_tensorflow()
    try:
        with _preserve_random_state():
            keras = importlib.import_module("keras")
        backend = keras.config.backend()
    except ModuleNotFoundError as error:  # Keras imports the backend that the environment names
        backend = error.name
    if backend != "tensorflow":
        raise InputError(
            f"Keras runs on {backend} here; Frieze's backbones and heads need it on TensorFlow.",
            hint="Type: export KERAS_BACKEND=tensorflow",
        )
    return keras


def import_keras_hub(needed_by: str) -> Any:
    """Import KerasHub, after Keras.

    Args:
        needed_by: What needs it, for the message.

    Raises:
        InputError: It is not installed, or Keras uses another backend.
    """
    import_keras()
    try:
        with muted(), _preserve_random_state():
            return importlib.import_module("keras_hub")
    except ImportError as error:
        raise InputError(
            f"{needed_by} requires KerasHub, which can't be imported here: {error}.",
            hint="Type: pip install 'frieze[kerashub]'",
        ) from error


def import_tensorflow_hub() -> Any:
    """Import tensorflow_hub without the warning of its pkg_resources, or without that package (tensorflow/hub#934)."""
    import_tensorflow()
    with warnings.catch_warnings(), _preserve_random_state(), _pkg_resources():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="pkg_resources|tensorflow_hub")
        import tensorflow_hub
    return tensorflow_hub


@contextlib.contextmanager
def _pkg_resources() -> Iterator[None]:
    """Supply `pkg_resources` while the block runs, where setuptools has none (from 82 on).

    tensorflow_hub 0.16.1 imports `parse_version` from it without declaring that it needs setuptools.
    """
    name = "pkg_resources"
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        yield
        return
    module: Any = types.ModuleType(name)
    module.parse_version = importlib.import_module("packaging.version").parse
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which reports each import to its makers from a process of its own.

    If it was imported before, its settings stay.
    """
    with without_module("openvino_telemetry"):  # then OpenVINO takes its own stub
        return importlib.import_module("openvino")


def import_nncf() -> Any:
    """Import NNCF, which quantizes OpenVINO's graphs, without its telemetry and its log lines on stdout.

    Raises:
        InputError: It is not installed.
    """
    kind = logging.getLoggerClass()  # NNCF sets its own for the whole process
    try:
        with without_module("openvino_telemetry"), environment(NNCF_CI="1"), muted(), _preserve_random_state():
            nncf = importlib.import_module("nncf")
    except ImportError as error:
        raise InputError(
            "`precision='int8'` requires NNCF, which can't be imported here.", hint="Type: pip install 'frieze[int8]'"
        ) from error
    finally:
        logging.setLoggerClass(kind)
    logging.getLogger("nncf").setLevel(logging.CRITICAL)  # its own function changes handlers of others, too
    return nncf


class _BlockedModule:
    """An import hook that hides one module from one thread."""

    def __init__(self, name: str) -> None:
        self._name, self._thread = name, threading.get_ident()

    def find_spec(self, name: str, *_: Any) -> None:
        """Raise for the hidden module; leave all others to the next finder."""
        if name == self._name and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {name}", name=name)


@contextlib.contextmanager
def without_module(name: str) -> Iterator[None]:
    """Hide a module from imports of this thread; a module that is imported already stays."""
    hook: Any = _BlockedModule(name)
    sys.meta_path.insert(0, hook)
    try:
        yield
    finally:
        sys.meta_path.remove(hook)


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Discard what a library prints while the block runs, to Python's stdout and stderr and to file descriptor 2."""
    nowhere = io.StringIO()
    with (
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
        _quiet_stderr(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Redirect file descriptor 2 to /dev/null: no setting silences TensorFlow's C++ lines; exceptions still show."""
    try:
        stderr = os.dup(2)
    except OSError:  # started without a stderr: nothing to silence
        yield
        return
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(devnull)
        os.close(stderr)
