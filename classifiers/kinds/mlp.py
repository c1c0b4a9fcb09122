"""The `keras` head: a multilayer perceptron (hidden layers and softmax) with early stopping."""

import json
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from frieze.classifiers.config import FitMemory, FitOptions, Network
from frieze.classifiers.data.embedding_rows import Embeddings
from frieze.classifiers.kinds.mlp_batches import Batches, split_for_early_stopping
from frieze.core import Floats, Rows, Strings, import_keras, seeded

_LEARNING_RATE = 1e-3
_LEAST_GAIN = 2e-3  # of the validation loss; without it that of separable classes improves for ever
_PREDICT_ROWS = 4096
_LEAST_PROBABILITY = 1e-12


class KerasHead:
    """Hidden layers (128 units by default) and a softmax on embeddings scaled to length sqrt(D), with early stopping.

    Dividing by the standard deviation instead would blow up a dimension that is rarely active. A tenth of each class of
    the training rows is for validation, in whole groups where there are groups; the weights of lowest validation loss
    are kept. Fitting sets the seeds of Python, NumPy and TensorFlow.
    """

    file_name: ClassVar[str] = "head.keras"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "keras", "tensorflow")
    streams: ClassVar[bool] = True
    is_iterative: ClassVar[bool] = False
    memory: ClassVar[FitMemory] = FitMemory(fixed_bytes=400_000_000)
    note: str = ""
    is_calibrated: ClassVar[bool] = True  # early stopping picks the weights of lowest validation loss
    hyperparameter: ClassVar[str] = ""
    grid: ClassVar[tuple[float, ...]] = (1.0,)
    default: ClassVar[float] = 1.0
    classes: Strings
    fit_seconds: float
    converged: bool

    def __init__(self, *, classes: Strings, network: Any) -> None:
        self.classes = classes
        self.network = network

    @classmethod
    def new(cls, dim: int, classes: Strings, network: Network, *, seed: int) -> Self:
        """Return an untrained head of this architecture."""
        with seeded(seed):
            head = cls(classes=classes, network=_new_network(dim, len(classes), network))
        head.fit_seconds, head.converged = 0.0, False
        return head

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, grid: Sequence[float], options: FitOptions
    ) -> Iterator[Self]:
        """Fit on float32 [N, D], N labels of two classes or more, and sample weights; there is no hyperparameter."""
        classes, codes = np.unique(labels, return_inverse=True)
        for _ in grid:
            head = cls.new(embeddings.shape[1], classes, options.network, seed=options.seed)
            head.fit(embeddings, codes, options)
            yield head

    def fit(self, embeddings: Embeddings, codes: Rows, options: FitOptions) -> None:
        """Train the network on class numbers [N]."""
        keras = import_keras()

        adam = keras.optimizers.Adam(_LEARNING_RATE)
        # XLA takes longer to compile so small a network than to train it.
        self.network.compile(adam, loss="sparse_categorical_crossentropy", jit_compile=False, steps_per_execution=32)
        started = time.perf_counter()
        fit_rows, validation = split_for_early_stopping(embeddings, codes, options)
        batches = Batches(embeddings, codes, fit_rows, options)
        with batches.reraising():
            history = self.network.fit(
                batches.dataset(),
                steps_per_epoch=batches.n_steps,
                shuffle=False,  # the batches are random already
                validation_data=validation,
                validation_batch_size=_PREDICT_ROWS,
                epochs=options.network.epochs,
                callbacks=[_early_stopping(options.network.patience)],
                verbose=0,
            )
        self.fit_seconds = time.perf_counter() - started
        self.converged = len(history.epoch) < options.network.epochs

    @property
    def architecture(self) -> Network:
        """Architecture of the network, without epochs and patience."""
        return _stored_network({"config": self.network.get_config()})

    def logits(self, embeddings: Floats) -> Floats:
        """Compute the logarithms of the probabilities, float32 [N, C] for float32 [N, D]."""
        return np.log(np.maximum(self.probabilities(embeddings), _LEAST_PROBABILITY))

    def as_function(self) -> Callable[[Any], Any]:
        """Return `probabilities` as a TensorFlow function: float32 [B, D] -> float32 [B, C]."""
        return lambda embeddings: self.network(embeddings, training=False)

    def scale_logits(self, factor: float) -> None:
        """Multiply the logits by a factor > 0, 1 / temperature."""
        last = self.network.layers[-1]
        last.set_weights([factor * values for values in last.get_weights()])

    def probabilities(self, embeddings: Floats) -> Floats:
        """Predict float32 [N, C] for float32 [N, D]."""
        chunks = [
            np.asarray(self.network(embeddings[start : start + _PREDICT_ROWS]))
            for start in range(0, len(embeddings), _PREDICT_ROWS)
        ]
        return np.concatenate(chunks)

    def save(self, path: Path) -> None:
        """Write the network as a `.keras` file."""
        self.network.save(path)

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Build a new network and load only weights from the file: its config is compared, never built.

        Raises:
            ValueError: The file describes other layers, or weights of other shapes.
            InputError: It describes more or larger layers than a head may have.
            zipfile.BadZipFile: It is no complete `.keras` file.
        """
        config = json.loads(_description(path))
        with seeded(0):  # layers draw random weights before they load those of the file
            head = cls(classes=classes, network=_new_network(dim, len(classes), _stored_network(config)))
        if _layers(config) != _layers({"config": head.network.get_config()}):
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


def _stored_network(config: dict[str, Any]) -> Network:
    """Return the hidden layers that a config describes; the rest of it is compared, never built."""
    layers = config["config"]["layers"]
    units = [int(layer["config"]["units"]) for layer in layers if layer["class_name"] == "Dense"][:-1]
    rates = [float(layer["config"]["rate"]) for layer in layers if layer["class_name"] == "Dropout"]
    return Network(layers=tuple(units), dropout=max(rates, default=0.0))


def _layers(config: dict[str, Any]) -> list[tuple[str, str]]:
    return [(layer["module"], layer["class_name"]) for layer in config["config"]["layers"]]
