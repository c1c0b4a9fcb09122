"""A trainable SavedModel in hub form, whose variables are unfrozen by name."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frieze.core import InputError
from frieze.embedder.backbones import BackboneRequest, fingerprint
from frieze.embedder.backbones.hub_layer.layer import HubLayer
from frieze.embedder.backbones.pooling import pool_keras_tensor
from frieze.embedder.backbones.trainable.base import ALL, count_parameters, save_module
from frieze.embedder.images.resize import PIXELS
from frieze.features import BackboneSpec

_BYTES = 4
_MOMENTS = 3  # the gradient, and Adam's two moments


class TrainableSavedModel:
    """A SavedModel: variables are unfrozen by name, because their order is not that of the graph."""

    maps: tuple[int, int, int] | None = None

    def __init__(self, spec: BackboneSpec, request: BackboneRequest, unfreeze: str) -> None:
        self.spec = spec
        names = ALL if unfreeze == ALL else unfreeze.split(",")
        folder = spec.handle if "://" in spec.handle else str(fingerprint.model_folder(Path(spec.handle)))
        self._layer = HubLayer(folder, trainable=names, output=request.layer, trust=request.trust)
        free = self._layer.trainable_weights
        self.n_free = count_parameters(free)
        self.free = f"{len(free)} of {len(self._layer.weights)} variables"

    def embeddings(self, images: Any) -> Any:
        """Return [B, D] for float32 [B, H, W, 3] in [0, 1]."""
        return pool_keras_tensor(self._layer(PIXELS[self.spec.pixels](images)), self.spec.pool)

    def split(self) -> tuple[Any, Any]:
        """Raise an InputError: a SavedModel is one graph and can't be split.

        Raises:
            InputError: Always.
        """
        raise InputError(
            f"{self.spec.name} is a SavedModel, whose frozen part can't be separated from the rest.",
            hint="Leave `cache` out, or use a Keras model.",
        )

    @contextlib.contextmanager
    def computing(self, policy: str) -> Iterator[str]:  # noqa: ARG002  the interface
        """Yield float32 for any policy: the graph of a SavedModel is of fixed types."""
        yield "float32"

    def count_bytes(self, batch_size: int) -> int:
        """Estimate bytes: weights and Adam's moments; activations of the graph are unknown before it runs."""
        pixels = batch_size * self.spec.image_size[0] * self.spec.image_size[1] * 3
        return (count_parameters(self._layer.weights) + _MOMENTS * self.n_free + pixels) * _BYTES

    def save(self, folder: Path) -> None:
        """Write a SavedModel in hub form."""
        variables = [weight.value for weight in self._layer.weights]
        save_module(folder, self.embeddings, variables, self._layer.learnable, self.spec)
