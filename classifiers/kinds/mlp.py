"""The `keras` head: hidden layers and a softmax, trained until it no longer gets better on rows it does not see."""

import json
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from frieze.classifiers.config import FitMemory, FitOptions, Network
from frieze.classifiers.data.embedding_rows import Embeddings
from frieze.classifiers.kinds.mlp_batches import Batches, part_watched
from frieze.core import Floats, Rows, Strings, import_keras, seeded

_LEARNING_RATE = 1e-3
_LEAST_GAIN = 2e-3  # of the watched loss; without it that of separable classes falls by nothing for ever
_PREDICT_ROWS = 4096
_LEAST_PROBABILITY = 1e-12


class KerasHead:
    """Hidden layers (128 units by default) and a softmax on embeddings scaled to length sqrt(D), with early stopping.

    Scaling by the length alone keeps a dimension that is rarely active from growing without bound, as dividing by its
    standard deviation would. A tenth of each class of the training rows is watched; the weights that did best there
    stay. Fitting sets the seeds of Python, NumPy and TensorFlow.
    """

    file_name: ClassVar[str] = "head.keras"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "keras", "tensorflow")
    streams: ClassVar[bool] = True
    memory: ClassVar[FitMemory] = FitMemory(fixed_bytes=400_000_000)
    note: str = ""
    is_calibrated: ClassVar[bool] = True  # it stops where rows that it does not see are explained best
    setting: ClassVar[str] = ""
    values: ClassVar[tuple[float, ...]] = (1.0,)
    usual: ClassVar[float] = 1.0
    classes: Strings
    fit_seconds: float
    converged: bool

    def __init__(self, *, classes: Strings, network: Any) -> None:
        self.classes = classes
        self.network = network

    @classmethod
    def new(cls, dim: int, classes: Strings, network: Network, *, seed: int) -> Self:
        """Give a head of this form that has learnt nothing yet."""
        with seeded(seed):
            head = cls(classes=classes, network=_new_network(dim, len(classes), network))
        head.fit_seconds, head.converged = 0.0, False
        return head

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, values: Sequence[float], terms: FitOptions
    ) -> Iterator[Self]:
        """Fit on float32 [N, D], N labels of two classes or more, and their weights; nothing is chosen by a value."""
        classes, codes = np.unique(labels, return_inverse=True)
        for _ in values:
            head = cls.new(embeddings.shape[1], classes, terms.network, seed=terms.seed)
            head.fit(embeddings, codes, terms)
            yield head

    def fit(self, embeddings: Embeddings, codes: Rows, terms: FitOptions) -> None:
        """Train the network on class numbers [N]."""
        keras = import_keras()

        adam = keras.optimizers.Adam(_LEARNING_RATE)
        # XLA takes longer to compile so small a network than to train it.
        self.network.compile(adam, loss="sparse_categorical_crossentropy", jit_compile=False, steps_per_execution=32)
        started = time.perf_counter()
        fitted, watched = part_watched(embeddings, codes, terms.seed)
        batches = Batches(embeddings, codes, fitted, terms)
        with batches.telling():
            history = self.network.fit(
                batches.dataset(),
                steps_per_epoch=batches.n_steps,
                shuffle=False,  # the batches are drawn at random
                validation_data=watched,
                validation_batch_size=_PREDICT_ROWS,
                epochs=terms.network.epochs,
                callbacks=[_early_stopping(terms.network.patience)],
                verbose=0,
            )
        self.fit_seconds = time.perf_counter() - started
        self.converged = len(history.epoch) < terms.network.epochs

    @property
    def form(self) -> Network:
        """What its network looks like; how long it learnt is not in it."""
        return _told_network({"config": self.network.get_config()})

    def margins(self, embeddings: Floats) -> Floats:
        """Give the logarithms of the probabilities, float32 [N, C] for float32 [N, D]."""
        return np.log(np.maximum(self.probabilities(embeddings), _LEAST_PROBABILITY))

    def as_function(self) -> Callable[[Any], Any]:
        """Give `probabilities` as a TensorFlow function: float32 [B, D] -> float32 [B, C]."""
        return lambda embeddings: self.network(embeddings, training=False)

    def scale_logits(self, factor: float) -> None:
        """Multiply the margins by a factor > 0: one over a temperature."""
        last = self.network.layers[-1]
        last.set_weights([factor * values for values in last.get_weights()])

    def probabilities(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D]."""
        pieces = [
            np.asarray(self.network(embeddings[start : start + _PREDICT_ROWS]))
            for start in range(0, len(embeddings), _PREDICT_ROWS)
        ]
        return np.concatenate(pieces)

    def save(self, path: Path) -> None:
        """Write the network as a `.keras` file."""
        self.network.save(path)

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Build the network anew and take only the weights from the file: its description is compared, never built.

        Raises:
            ValueError: The file describes other layers, or weights of other shapes.
            InputError: It describes more or larger layers than a head has.
            zipfile.BadZipFile: It is no whole `.keras` file.
        """
        told = json.loads(_description(path))
        with seeded(0):  # layers draw numbers before they get those of the file
            head = cls(classes=classes, network=_new_network(dim, len(classes), _told_network(told)))
        if _layers(told) != _layers({"config": head.network.get_config()}):
            raise ValueError("it describes another network")
        head.network.load_weights(path)
        return head


def _new_network(dim: int, n_classes: int, network: Network) -> Any:
    keras = import_keras()

    hidden = [
        layer
        for units in network.layers
        for layer in (keras.layers.Dense(units, activation="relu"), keras.layers.Dropout(network.dropout))
        if network.dropout or isinstance(layer, keras.layers.Dense)
    ]
    return keras.Sequential(
        [
            keras.Input((dim,)),
            keras.layers.UnitNormalization(),
            keras.layers.Rescaling(dim**0.5),  # unit vectors of width D have entries of about 1 / sqrt(D)
            *hidden,
            keras.layers.Dense(n_classes, activation="softmax"),
        ]
    )


def _early_stopping(patience: int) -> Any:
    keras = import_keras()

    return keras.callbacks.EarlyStopping(min_delta=_LEAST_GAIN, patience=patience, restore_best_weights=True)


def _description(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("config.json")


def _told_network(description: dict[str, Any]) -> Network:
    """Give the hidden layers that a file describes; all else of it is compared, never built."""
    layers = description["config"]["layers"]
    units = [int(layer["config"]["units"]) for layer in layers if layer["class_name"] == "Dense"][:-1]
    rates = [float(layer["config"]["rate"]) for layer in layers if layer["class_name"] == "Dropout"]
    return Network(layers=tuple(units), dropout=max(rates, default=0.0))


def _layers(description: dict[str, Any]) -> list[tuple[str, str]]:
    return [(layer["module"], layer["class_name"]) for layer in description["config"]["layers"]]
