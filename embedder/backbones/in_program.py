"""`program:NAME`: networks of the running Python program: Keras models and functions."""

import collections
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from frieze.core import InputError, ModelError, import_keras, import_tensorflow
from frieze.embedder.backbones.base import Network, StatedPixels
from frieze.embedder.backbones.fingerprint import of_weights
from frieze.embedder.backbones.keras_file import network_of_model
from frieze.embedder.backbones.request import BackboneRequest

PREFIX = "program:"
_DIGITS = 12
"""Hex digits of the fingerprint in a handle."""


class _Registered(NamedTuple):
    """A network of this program.

    Attributes:
        model: The Keras model; None for a function.
        call: What embeds, in TensorFlow; None for a model.
        fingerprint: sha256, hex.
    """

    model: Any
    call: Callable[[Any], Any] | None
    fingerprint: str


_REGISTRY: dict[str, _Registered] = {}
"""Handle -> network. It also keeps functions alive, which a graph that calls them does not."""
_failures: collections.deque[ModelError] = collections.deque(maxlen=8)
"""The last failures of functions: of an error within its graph TensorFlow passes on the text alone."""


def as_backbone(network: Any, *, fingerprint: str | None = None) -> str:
    """Register a network of this program as a backbone.

    A table remembers its fingerprint, and can't be updated or searched by an image until the program has registered the
    same network again.

    Args:
        network: A Keras model of one input, or a function: float32 [B, H, W, 3] in [0, 1] -> [B, D], TensorFlow's or
            NumPy's.
        fingerprint: A text that is another one whenever the function gives other vectors, such as the sha256 of its
            weights; needed for a function, while that of a model is made of its weights.

    Returns:
        What `backbone` takes in this program.

    Raises:
        InputError: It is no network, or a function without a fingerprint.
    """
    if isinstance(network, import_keras().Model):
        return _register(network.name, _Registered(network, None, _fingerprint(network)))
    if not callable(network):
        raise InputError(
            f"{type(network).__name__} is no backbone.", hint="Give a handle, a Keras model or a function."
        )
    if not fingerprint:
        raise InputError(
            "A function has no weights by which its vectors can be told from those of another one.",
            hint="Use `backbone=frieze.as_backbone(function, fingerprint='...')`, with another text for other weights.",
        )
    name = getattr(network, "__name__", type(network).__name__)
    digest = hashlib.sha256(f"{PREFIX}{fingerprint}".encode()).hexdigest()
    return _register(name, _Registered(None, _in_graph(network, name), digest))


def _register(name: str, registered: _Registered) -> str:
    handle = f"{PREFIX}{name}-{registered.fingerprint[:_DIGITS]}"
    _REGISTRY[handle] = registered
    return handle


def open_registered(request: BackboneRequest) -> Network:
    """Return a network that this program has registered.

    Raises:
        ModelError: It has not.
    """
    registered, name = _REGISTRY.get(request.handle), request.handle.removeprefix(PREFIX)
    if registered is None:
        raise ModelError(
            f"{request.handle} is a network of the Python program that made the table: it can't be opened from disk.",
            hint="In Python, register the same network first: frieze.as_backbone(network)",
        )
    if registered.call is None:
        _check_unchanged(registered, name)
        facts = {"name": name, "handle": request.handle, "fingerprint": registered.fingerprint}
        return network_of_model(registered.model, request.layer, **facts)
    if request.layer is not None:
        raise InputError(f"{name} is a function, which has no layers.", hint="Leave `layer` out.")
    return Network(
        name=name,
        handle=request.handle,
        fingerprint=registered.fingerprint,
        image_size=None,
        read_pixels=lambda: StatedPixels("0..1"),
        call=registered.call,
    )


def _check_unchanged(registered: _Registered, name: str) -> None:
    """Check that a model still has the weights that it was registered with.

    Raises:
        ModelError: It was trained since.
    """
    if _fingerprint(registered.model) != registered.fingerprint:
        raise ModelError(
            f"{name} has other weights than when it was registered: its vectors would not fit those of before.",
            hint="Register it again: frieze.as_backbone(model); or pass the model itself, for a table of its own.",
        )


def _fingerprint(model: Any) -> str:
    return of_weights(model.to_json(), model.get_weights())


def find_failure(error: Exception) -> ModelError | None:
    """Return the failure of a function behind an error of TensorFlow; None where it is no function's."""
    text = str(error)
    return next((failure for failure in reversed(_failures) if failure.message in text), None)


def _rows_of(function: Callable[[Any], Any], images: Any) -> Any:
    """Return a function's float32 [B, D].

    Raises:
        ValueError: It returns another shape.
    """
    rows = np.asarray(function(images), np.float32)
    if rows.shape[:-1] != images.shape[:1]:
        raise ValueError(f"it returns the shape {list(rows.shape)}")
    return rows


def _in_graph(function: Callable[[Any], Any], name: str) -> Callable[[Any], Any]:
    """Return a TensorFlow function that calls a function of arrays."""

    def run(images: Any) -> Any:
        try:
            return _rows_of(function, images)
        except MemoryError:  # an engine tries a smaller batch then
            raise
        except Exception as error:
            failure = ModelError(
                f"The function {name} fails on a batch of the shape {list(images.shape)}:"
                f" {type(error).__name__}: {error}",
                hint="It takes float32 [B, H, W, 3] in [0, 1] and returns [B, D]; the cause has its own traceback.",
            )
            failure.__cause__ = error
            _failures.append(failure)
            raise failure from error

    def call(images: Any) -> Any:
        tf = import_tensorflow()
        if tf.executing_eagerly():  # errors keep their cause
            return tf.constant(run(images.numpy()))
        return tf.ensure_shape(tf.numpy_function(run, [images], np.float32), [None, None])

    return call
