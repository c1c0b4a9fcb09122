"""Epochs of a network, from where they were cut off, until it no longer gets better on rows that it does not see."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.config import FinetuneConfig
from frieze.core import InputError, ModelError, import_keras, write_file

_WARM_UP_SHARE = 0.1  # of the steps; Adam's first steps are the largest, and would undo what the head knows
_LISTS = ("best", "state", "seeds")
Arrays = list[Any]


@dataclasses.dataclass
class Progress:
    """Where a network stands after its last whole epoch.

    Attributes:
        history: Of each epoch `loss`, `accuracy`, `val_loss`, `val_accuracy`, `seconds`; the first is before any.
        best: The trained weights that did best on the validation images.
        state: Trained weights and the optimizer's numbers.
        seeds: Where the network's random generators are, in the order of its layers.
    """

    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: Arrays = dataclasses.field(default_factory=list)
    state: Arrays = dataclasses.field(default_factory=list)
    seeds: Arrays = dataclasses.field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights did best; 0 is the start."""
        return int(np.argmin([epoch["val_loss"] for epoch in self.history]))

    def save(self, path: Path) -> None:
        """Write it whole, over what was there."""
        lists = {name: getattr(self, name) for name in _LISTS}
        arrays = {f"{name}_{number}": array for name, one in lists.items() for number, array in enumerate(one)}
        history = np.frombuffer(json.dumps(self.history).encode(), np.uint8)

        def write(staging: Path) -> None:
            with staging.open("wb") as file:
                np.savez(file, history=history, **arrays)

        write_file(path, write)

    @classmethod
    def load(cls, path: Path) -> "Progress":
        """Read what `save` wrote; at the beginning where there is nothing."""
        if not path.exists():
            return cls()
        with np.load(path, allow_pickle=False) as file:
            lists = {
                name: [
                    file[f"{name}_{number}"] for number in range(sum(one.startswith(f"{name}_") for one in file.files))
                ]
                for name in _LISTS
            }
            return cls(json.loads(file["history"].tobytes()), **lists)


class Learning:
    """A network with its optimizer."""

    def __init__(self, network: Any, course: FinetuneConfig, *, n_rows: int) -> None:
        """Compile the network for so many rows an epoch."""
        keras = import_keras()

        self._network, self._course = network, course
        self.n_steps = -(-n_rows // course.batch_size)
        self._optimizer = keras.optimizers.Adam(_rate(course, self.n_steps * course.epochs))
        # XLA takes long to compile, and on a CPU its convolutions are several times slower.
        network.compile(
            self._optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
        )
        self._optimizer.build(network.trainable_variables)

    def run(
        self, draw: Callable[[int], Any], watched: Callable[[], Any], checkpoint: Path, step: Callable[[int, int], None]
    ) -> Progress:
        """Go through the epochs that are missing, and leave the network with its best weights.

        Args:
            draw: Gives an epoch's batches, the same ones for the same number.
            watched: Gives the validation batches.
            checkpoint: File that is written after each epoch, and gone on from where it is there.
            step: Told the steps done and those there are.

        Raises:
            ModelError: The loss is no number any more.
        """
        progress = Progress.load(checkpoint)
        if not progress.history:
            start = self._network.evaluate(watched(), verbose=0, return_dict=True)
            progress = Progress([{f"val_{name}": value for name, value in start.items()}], self._trained())
        else:
            self._restore(progress, checkpoint)
        for epoch in range(len(progress.history), self._course.epochs + 1):
            if epoch - progress.best_epoch > self._course.patience:
                break
            progress.history.append(self._epoch(epoch, draw(epoch), watched, step))
            if progress.best_epoch == epoch:
                progress.best = self._trained()
            progress.state, progress.seeds = _copies(self._variables()), _copies(self._seeds())
            progress.save(checkpoint)
        for variable, value in zip(self._network.trainable_variables, progress.best, strict=True):
            variable.assign(value)
        return progress

    def _epoch(
        self, epoch: int, batches: Any, watched: Callable[[], Any], step: Callable[[int, int], None]
    ) -> dict[str, float]:
        started = time.perf_counter()
        before = (epoch - 1) * self.n_steps
        telling = _telling(lambda done: step(before + done, self._course.epochs * self.n_steps))
        found = self._network.fit(
            batches, shuffle=False, epochs=1, validation_data=watched(), callbacks=[telling], verbose=0
        )
        told = {name: float(values[-1]) for name, values in found.history.items()}
        if not np.isfinite(told["val_loss"]):
            raise _no_number()
        return told | {"seconds": time.perf_counter() - started}

    def _trained(self) -> Arrays:
        return _copies(self._network.trainable_variables)

    def _variables(self) -> Sequence[Any]:
        return [*self._network.trainable_variables, *self._optimizer.variables]

    def _seeds(self) -> Sequence[Any]:
        """Give the variables of random generators, which Keras counts as no weights: those of the augmentation."""
        weights = {id(weight) for weight in self._network.non_trainable_weights}
        return [one for one in self._network.non_trainable_variables if id(one) not in weights]

    def _restore(self, progress: Progress, checkpoint: Path) -> None:
        variables, values = [*self._variables(), *self._seeds()], [*progress.state, *progress.seeds]
        if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
            raise InputError(
                f"{checkpoint} is of another network.", hint=f"Remove {checkpoint.parent}, or give another --out."
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _rate(course: FinetuneConfig, n_steps: int) -> Any:
    """Give the rate of each of so many steps, as Keras takes it."""
    if course.schedule == "constant":
        return course.learning_rate
    warm_up, schedules = max(1, round(_WARM_UP_SHARE * n_steps)), import_keras().optimizers.schedules
    falling = max(1, n_steps - warm_up)
    return schedules.CosineDecay(0.0, falling, warmup_target=course.learning_rate, warmup_steps=warm_up)


def _copies(variables: Sequence[Any]) -> Arrays:
    # What TensorFlow gives may be the variable's own memory, which learns on.
    return [np.asarray(variable).copy() for variable in variables]


def _telling(step: Callable[[int], None]) -> Any:
    """Give a callback that tells each batch that is done, and ends a fit whose loss is no number."""
    keras = import_keras()

    class Telling(keras.callbacks.Callback):  # type: ignore[name-defined,misc]  # Keras has no types
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if logs is not None and not np.isfinite(logs["loss"]):
                raise _no_number()
            step(batch + 1)

    return Telling()


def _no_number() -> ModelError:
    return ModelError(
        "The loss is no number any more: the steps are too large for this network.",
        hint="Begin anew with smaller ones: --learning-rate 1e-5 --force",
    )
