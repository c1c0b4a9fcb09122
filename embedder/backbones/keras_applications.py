"""`keras:NAME`: every image model of keras.applications, with its preprocessing."""

import contextlib
import difflib
import sys
from pathlib import Path
from typing import Any

from frieze.core import ModelError, import_keras, seeded
from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.base import Network, StatedPixels
from frieze.embedder.backbones.catalogue import APPLICATIONS, Application
from frieze.embedder.backbones.keras_file import cut_model, load_model
from frieze.embedder.backbones.request import NAMED_WEIGHTS, BackboneRequest

PREFIX = "keras:"
_SEED = 0
_OBJECTS = "List of objects"  # precedes a list of a hundred layers
_MAX_CHARACTERS = 300


def open_application(request: BackboneRequest) -> Network:
    """Build a model of keras.applications without its top, with average pooling at its end.

    Raises:
        ModelError: The name or layer is unknown, or the weights can't be downloaded or do not fit.
    """
    name = request.handle.removeprefix(PREFIX)
    if name not in APPLICATIONS:
        near = difflib.get_close_matches(name, APPLICATIONS, n=3, cutoff=0.4)
        raise ModelError(
            f"keras.applications has no {name}." + (f" Did you mean {' or '.join(near)}?" if near else ""),
            hint="List all names with: frieze backbones",
        )
    application = APPLICATIONS[name]
    size = request.size or (application.side_px, application.side_px)
    model = _build(name, request.weights or "imagenet", size)
    cut = cut_model(model, request.layer)
    return Network(
        name=name,
        handle=request.handle,
        fingerprint=_fingerprint(request, model),
        image_size=size,
        read_pixels=lambda: StatedPixels(application.pixels),
        call=lambda images: cut(images, training=False),
        model=lambda: cut,
    )


def _build(name: str, weights: str, size: tuple[int, int]) -> Any:
    keras = import_keras()

    build = getattr(keras.applications, name)
    try:
        named = "imagenet" if weights == "imagenet" else None
        # Random weights are seeded locally; the progress of a download would mix with the results on stdout.
        with seeded(_SEED), contextlib.redirect_stdout(sys.stderr):
            model = build(include_top=False, weights=named, pooling="avg", input_shape=(*size, 3))
    except ValueError as error:
        raise ModelError(f"{name} can't be built: {error}", hint="Try another `image_size`.") from error
    except Exception as error:
        raise ModelError(
            f"The ImageNet weights of {name} can't be downloaded: {error}.",
            hint="Check the connection, or pass a file: `weights='FILE.keras'` (or `weights='random'`, to try"
            " things out).",
        ) from error
    if weights not in NAMED_WEIGHTS:
        _load_weights(model, Path(weights))
    return model


def _load_weights(model: Any, path: Path) -> None:
    try:
        if path.suffix == ".keras":
            model.set_weights(load_model(path).get_weights())
        else:
            model.load_weights(path)
    except (ValueError, OSError) as error:
        raise ModelError(
            f"{path} does not hold the weights of {model.name} without its top: {_shortened(error)}",
            hint="Pass a .keras, .weights.h5 or .h5 file of the same network, saved with include_top=False.",
        ) from error


def _shortened(error: Exception) -> str:
    """Shorten an error: drop the objects and arrays that Keras lists."""
    text = " ".join(str(error).split(_OBJECTS)[0].split())
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]} ..."


def _fingerprint(request: BackboneRequest, model: Any) -> str:
    if request.weights_path is None:
        return fingerprint.of_weights(request.handle, model.get_weights())
    return fingerprint.of_file(request.handle, request.weights_path)


def to_row(handle: str, application: Application) -> dict[str, Any]:
    """Return a row of `frieze backbones`."""
    return {
        "handle": handle,
        "dim": application.dim,
        "image_size": application.side_px,
        "parameters": application.n_parameters,
        "pixels": application.pixels,
    }
