"""The `keras` head: one hidden layer, trained until it no longer gets better on rows it does not see."""

import json
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from classifiers.splits import split_rows
from features import Floats, Rows, Strings, import_keras

_HIDDEN = 128
_LEARNING_RATE = 1e-3
_BATCH_ROWS = 64
_MAX_EPOCHS = 100
_EPOCH_ROWS = 2048  # at least; an epoch of few rows would cost more time in looking than in learning
_PATIENCE_EPOCHS = 5
_LEAST_GAIN = 2e-3  # of the watched loss; without it that of separable classes falls by nothing for ever
_WATCHED_SHARE = 0.1
_PREDICT_ROWS = 4096
_LEAST_PROBABILITY = 1e-12


class KerasHead:
    """Dense(128, relu) and a softmax on embeddings scaled to length sqrt(D), with early stopping.

    Scaling by the length alone keeps a dimension that is rarely active from growing without bound, as dividing by its
    standard deviation would. A tenth of each class of the training rows is watched; the weights that did best there
    stay. Fitting sets the seeds of Python, NumPy and TensorFlow.
    """

    file_name: ClassVar[str] = "head.keras"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "keras", "tensorflow")
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
    def fit_each(
        cls, embeddings: Floats, labels: Strings, values: Sequence[float], *, weights: Floats | None, seed: int
    ) -> Iterator[Self]:
        """Fit on float32 [N, D], N labels of two classes or more, and their weights; nothing is chosen by a value."""
        keras = import_keras()

        for _ in values:
            keras.utils.set_random_seed(seed)
            classes, codes = np.unique(labels, return_inverse=True)
            head = cls(classes=classes, network=_new_network(embeddings.shape[1], len(classes)))
            head.fit(embeddings, codes, weights=weights, seed=seed)
            yield head

    def fit(self, embeddings: Floats, codes: Rows, *, weights: Floats | None, seed: int) -> None:
        """Train the network on class numbers [N]."""
        keras = import_keras()

        adam = keras.optimizers.Adam(_LEARNING_RATE)
        # XLA takes longer to compile so small a network than to train it.
        self.network.compile(adam, loss="sparse_categorical_crossentropy", jit_compile=False, steps_per_execution=32)
        seen, watched = _watched_rows(codes, seed)
        seen = np.tile(seen, -(-_EPOCH_ROWS // len(seen)))
        started = time.perf_counter()
        history = self.network.fit(
            embeddings[seen],
            codes[seen],
            validation_data=(embeddings[watched], codes[watched]),
            sample_weight=None if weights is None else weights[seen],
            batch_size=_BATCH_ROWS,
            epochs=_MAX_EPOCHS,
            callbacks=[_early_stopping()],
            verbose=0,
        )
        self.fit_seconds = time.perf_counter() - started
        self.converged = len(history.epoch) < _MAX_EPOCHS

    def margins(self, embeddings: Floats) -> Floats:
        """Give the logarithms of the probabilities, float32 [N, C] for float32 [N, D]."""
        return np.log(np.maximum(self.probabilities(embeddings), _LEAST_PROBABILITY))

    def as_function(self) -> Callable[[Any], Any]:
        """Give `probabilities` as a TensorFlow function: float32 [B, D] -> float32 [B, C]."""
        return lambda embeddings: self.network(embeddings, training=False)

    def soften(self, factor: float) -> None:
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
            zipfile.BadZipFile: It is no whole `.keras` file.
        """
        head = cls(classes=classes, network=_new_network(dim, len(classes)))
        if _layers(json.loads(_description(path))) != _layers({"config": head.network.get_config()}):
            raise ValueError("it describes another network")
        head.network.load_weights(path)
        return head


def _new_network(dim: int, n_classes: int) -> Any:
    keras = import_keras()

    return keras.Sequential(
        [
            keras.Input((dim,)),
            keras.layers.UnitNormalization(),
            keras.layers.Rescaling(dim**0.5),  # unit vectors of width D have entries of about 1 / sqrt(D)
            keras.layers.Dense(_HIDDEN, activation="relu"),
            keras.layers.Dense(n_classes, activation="softmax"),
        ]
    )


def _early_stopping() -> Any:
    keras = import_keras()

    return keras.callbacks.EarlyStopping(min_delta=_LEAST_GAIN, patience=_PATIENCE_EPOCHS, restore_best_weights=True)


def _description(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("config.json")


def _layers(description: dict[str, Any]) -> list[tuple[str, str]]:
    return [(layer["module"], layer["class_name"]) for layer in description["config"]["layers"]]


def _watched_rows(codes: Rows, seed: int) -> tuple[Rows, Rows]:
    """Part the training rows into those to fit and those to watch; where each class has one row, all are both."""
    if len(np.unique(codes)) == len(codes):
        return np.arange(len(codes)), np.arange(len(codes))
    return split_rows(codes, test_size=_WATCHED_SHARE, seed=seed)
