"""TensorFlow, imported without its chatter."""

import contextlib
import importlib
import os
import random
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from frieze.core.errors import InputError
from frieze.core.resources import count_cores


def import_tensorflow() -> Any:
    """Import TensorFlow the first time it is needed.

    Its own log keeps to fatal errors, and it takes as many threads as this process may use cores, unless the
    environment tells otherwise. Who has imported it before has set it up.
    """
    if "tensorflow" not in sys.modules:
        level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")
        with environment(TF_CPP_MIN_LOG_LEVEL=level), _quiet_stderr(), _undrawn():
            tensorflow = importlib.import_module("tensorflow")
        _set_threads(tensorflow.config.threading)
    return sys.modules["tensorflow"]


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set variables of the environment while the block runs; what the caller had comes back."""
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
    """Have Keras draw the same numbers every time while the block runs; the caller's generators go on as before it.

    Keras draws the seed of each layer from Python's own generator, and from no other.
    """
    with _undrawn():
        random.seed(seed)
        yield


@contextlib.contextmanager
def _undrawn() -> Iterator[None]:
    """Let Python's own generator go on after the block as it would have before it: some modules draw when imported."""
    before = random.getstate()
    try:
        yield
    finally:
        random.setstate(before)


def _set_threads(threading: Any) -> None:
    """Divide one operation's work over all cores, and let as many operations run at once: one a replica."""
    if "TF_NUM_INTRAOP_THREADS" not in os.environ:
        threading.set_intra_op_parallelism_threads(count_cores())
    if "TF_NUM_INTEROP_THREADS" not in os.environ:
        threading.set_inter_op_parallelism_threads(count_cores())


def import_keras() -> Any:
    """Import Keras on top of a quiet TensorFlow.

    Raises:
        InputError: It runs on another backend.
    """
    import_tensorflow()
    try:
        with _undrawn():
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


def import_tensorflow_hub() -> Any:
    """Import tensorflow_hub, whose use of pkg_resources warns on every import (tensorflow/hub#934)."""
    import_tensorflow()
    with warnings.catch_warnings(), _undrawn():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="pkg_resources|tensorflow_hub")
        import tensorflow_hub
    return tensorflow_hub


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Close file descriptor 2 to the C++ lines that no setting silences; Python's errors are exceptions and survive."""
    try:
        stderr = os.dup(2)
    except OSError:  # started without a stderr: nothing to silence
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(nowhere)
        os.close(stderr)
