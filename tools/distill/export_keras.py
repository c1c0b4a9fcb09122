"""Export of the trained student: one Keras file, batch norm folded in, weights stored as float16."""

import collections
import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import frieze.core
import frieze.features
from tools.distill.architecture import WIDTH, network
from tools.distill.crops import SIDE_PX


def write_keras(weights: dict[str, np.ndarray], path: Path, *, name: str) -> None:
    """Write a trained student as a `.keras` file that takes pixels in [0, 1].

    Args:
        weights: The PyTorch module's, by their names there.
        path: The file.
        name: The model's name.
    """
    keras = frieze.core.import_keras()
    images = keras.Input((SIDE_PX, SIDE_PX, 3), name="images")
    layers = _KerasLayers(keras, weights)
    model = keras.Model(images, network(images, layers), name=name)
    for layer, values in layers.folded.items():
        model.get_layer(layer).set_weights(values)
    frieze.core.write_file(path, lambda file: _save(model, file))


class _KerasLayers:
    """A factory of Keras layers, which folds each batch norm into the convolution before it."""

    def __init__(self, keras: Any, weights: dict[str, np.ndarray]) -> None:
        self._layers = keras.layers
        self._weights = weights
        self._numbers: dict[str, Iterator[int]] = collections.defaultdict(itertools.count)
        self.folded: dict[str, list[np.ndarray]] = {}

    def convolve(self, maps: Any, name: str, shape: tuple[int, int, int, int]) -> Any:
        _, n_out, kernel, stride = shape
        values = {key: self._weights[f"units.{name}.{key}"] for key in _CONVOLUTION}
        gain = values["1.weight"] / np.sqrt(values["1.running_var"] + _EPSILON)
        kernels = values["0.weight"] * gain[:, None, None, None]  # [out, in, h, w]
        self.folded[name] = [kernels.transpose(2, 3, 1, 0), values["1.bias"] - values["1.running_mean"] * gain]
        if stride > 1 and kernel > stride:  # PyTorch pads both sides alike, of which the far one is not reached
            maps = self._layers.ZeroPadding2D(((1, 0), (1, 0)), name=f"{name}_pad")(maps)
        padding = "valid" if stride > 1 else "same"
        return self._layers.Conv2D(n_out, kernel, stride, padding, name=name)(maps)

    def relu(self, maps: Any) -> Any:
        return self._layers.ReLU(name=self._next("relu"))(maps)

    def add(self, one: Any, other: Any) -> Any:
        return self._layers.Add(name=self._next("add"))([one, other])

    def embed(self, maps: list[Any], name: str, _: int) -> Any:
        self.folded[name] = [self._weights[f"units.{name}.weight"].T, self._weights[f"units.{name}.bias"]]
        pooled = [self._layers.GlobalAveragePooling2D(name=self._next("pool"))(one) for one in maps]
        return self._layers.Dense(WIDTH, name=name)(self._layers.Concatenate(name="pooled")(pooled))

    def _next(self, kind: str) -> str:
        """Number the layers of a kind: Keras's own numbers go on from model to model."""
        return f"{kind}{next(self._numbers[kind])}"


_CONVOLUTION = ("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var")
_EPSILON = 1e-5  # PyTorch's default for batch norm


def _save(model: Any, path: Path) -> None:
    """Save float32 weights as float16; Keras converts them to its layers' float32 when it loads them."""
    whole = path.with_suffix(".float32.keras")
    model.save(whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for entry in source.infolist():
            change = _CHANGES.get(entry.filename, bytes)
            undated = zipfile.ZipInfo(entry.filename)  # equal weights are equal bytes
            out.writestr(undated, change(source.read(entry)), zipfile.ZIP_DEFLATED)
    whole.unlink()


def _undate(data: bytes) -> bytes:
    return json.dumps({name: value for name, value in json.loads(data).items() if name != "date_saved"}).encode()


def _remove_addresses(data: bytes) -> bytes:
    """Remove the ids of shared objects, which are addresses in memory."""
    return json.dumps(
        json.loads(data, object_hook=lambda one: {key: one[key] for key in one if key != "shared_object_id"})
    ).encode()


def _halve(data: bytes) -> bytes:
    """Copy an HDF5 file with its arrays as float16."""
    out = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as source, h5py.File(out, "w") as target:

        def copy(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                target[name] = item[()].astype(np.float16)
                made = target[name]
            else:
                made = target.require_group(name)
            made.attrs.update(item.attrs)

        source.visititems(copy)
        target.attrs.update(source.attrs)
    return out.getvalue()


_CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "config.json": _remove_addresses,
    "metadata.json": _undate,
    "model.weights.h5": _halve,
}
