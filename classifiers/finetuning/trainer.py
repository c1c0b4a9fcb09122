"""Train a network with early stopping; write a checkpoint after each epoch and resume an interrupted run from it."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.config import FinetuneConfig
from frieze.classifiers.finetuning.devices import MIXED_FLOAT16, Devices
from frieze.classifiers.finetuning.validation import Validation, loss_not_finite
from frieze.core import InputError, import_keras, write_file

_WARM_UP_SHARE = 0.1  # of the steps; Adam's first steps are the largest and would destroy the weights of the head
_INITIAL_SCALE = 2.0**10  # of the loss; from Keras' 2**15 on, the few steps of a small data set were skipped
_LISTS = ("best", "state", "seeds")
Arrays = list[Any]


@dataclasses.dataclass
class TrainingState:
    """The state of a training after its last complete epoch: what a checkpoint stores.

    Attributes:
        history: `loss`, `accuracy`, `seconds` and the figures of `Validation.measure` of each epoch; the first has the
            latter only, before training.
        best: The trainable weights of the best epoch.
        state: Trainable weights and the variables of the optimizer.
        seeds: States of the random generators, in the order of the layers.
    """

    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best: Arrays = dataclasses.field(default_factory=list)
    state: Arrays = dataclasses.field(default_factory=list)
    seeds: Arrays = dataclasses.field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch of lowest validation loss at its own temperature; 0 is before training."""
        # Checkpoints of earlier versions have the plain loss alone.
        return int(np.argmin([epoch.get("val_calibrated_loss", epoch["val_loss"]) for epoch in self.history]))

    def save(self, path: Path) -> None:
        """Write the checkpoint, replacing the one before atomically."""
        lists = {name: getattr(self, name) for name in _LISTS}
        arrays = {f"{name}_{number}": array for name, one in lists.items() for number, array in enumerate(one)}
        history = np.frombuffer(json.dumps(self.history).encode(), np.uint8)

        def write(staging: Path) -> None:
            with staging.open("wb") as file:
                np.savez(file, history=history, **arrays)

        write_file(path, write)

    @classmethod
    def load(cls, path: Path) -> "TrainingState":
        """Load a checkpoint; without one, return the empty state."""
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


class Trainer:
    """Trains a network with Adam, epoch by epoch."""

    def __init__(self, network: Any, config: FinetuneConfig, *, n_rows: int, devices: Devices | None = None) -> None:
        """Compile the network for `n_rows` rows an epoch; by default in float32, on the device TensorFlow chooses."""
        keras, devices = import_keras(), devices or Devices()

        self._network, self._config = devices.replicate(network), config
        self._predict = devices.predictor(self._network)
        self.n_steps = -(-n_rows // config.batch_size)
        optimizer = self._optimizer = keras.optimizers.Adam(_rate(config, self.n_steps * config.epochs))
        if devices.policy == MIXED_FLOAT16:
            # The scale is in no checkpoint: a run may resume in another precision.
            optimizer = keras.optimizers.LossScaleOptimizer(self._optimizer, initial_scale=_INITIAL_SCALE)
        # XLA takes long to compile, and on a CPU its convolutions are several times slower.
        self._network.compile(
            optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
        )
        optimizer.build(self._network.trainable_variables)

    def run(
        self,
        draw: Callable[[int], Any],
        validation: Validation,
        checkpoint: Path,
        step: Callable[[int, int], None],
    ) -> TrainingState:
        """Run the missing epochs, and leave the network with its best weights, also where an error ends them.

        Args:
            draw: Returns the batches of an epoch, the same ones for the same number.
            validation: The images that choose the epoch.
            checkpoint: File that is written after each epoch; an existing one is resumed from.
            step: Called with the steps done and the number of steps.

        Raises:
            ModelError: The loss is no longer finite.
        """
        state = TrainingState.load(checkpoint)
        if not state.history:
            state = TrainingState([validation.measure(self._predict)], self._trained())
        else:
            self._restore(state, checkpoint)
        try:
            for epoch in range(len(state.history), self._config.epochs + 1):
                if epoch - state.best_epoch > self._config.patience:
                    break
                state.history.append(self._epoch(epoch, draw(epoch), validation, step))
                if state.best_epoch == epoch:
                    state.best = self._trained()
                state.state, state.seeds = _copies(self._variables()), _copies(self._seeds())
                state.save(checkpoint)
        finally:
            for variable, value in zip(self._network.trainable_variables, state.best, strict=True):
                variable.assign(value)
        return state

    def _epoch(
        self, epoch: int, batches: Any, validation: Validation, step: Callable[[int, int], None]
    ) -> dict[str, float]:
        started = time.perf_counter()
        before = (epoch - 1) * self.n_steps
        progress = _progress_callback(lambda done: step(before + done, self._config.epochs * self.n_steps))
        history = self._network.fit(batches, shuffle=False, epochs=1, callbacks=[progress], verbose=0)
        figures = {name: float(values[-1]) for name, values in history.history.items()}
        return figures | validation.measure(self._predict) | {"seconds": time.perf_counter() - started}

    def _trained(self) -> Arrays:
        return _copies(self._network.trainable_variables)

    def _variables(self) -> Sequence[Any]:
        return [*self._network.trainable_variables, *self._optimizer.variables]

    def _seeds(self) -> Sequence[Any]:
        """Return the variables of random generators (augmentation), which Keras does not count as weights."""
        weights = {id(weight) for weight in self._network.non_trainable_weights}
        return [one for one in self._network.non_trainable_variables if id(one) not in weights]

    def _restore(self, state: TrainingState, checkpoint: Path) -> None:
        variables, values = [*self._variables(), *self._seeds()], [*state.state, *state.seeds]
        if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
            raise InputError(
                f"{checkpoint} is of another network.", hint=f"Remove {checkpoint.parent}, or use another `out`."
            )
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _rate(config: FinetuneConfig, n_steps: int) -> Any:
    """Return the learning rate or schedule for Keras."""
    if config.schedule == "constant":
        return config.learning_rate
    warm_up, schedules = max(1, round(_WARM_UP_SHARE * n_steps)), import_keras().optimizers.schedules
    decay_steps = max(1, n_steps - warm_up)
    return schedules.CosineDecay(0.0, decay_steps, warmup_target=config.learning_rate, warmup_steps=warm_up)


def _copies(variables: Sequence[Any]) -> Arrays:
    # TensorFlow may return the memory of the variable, which training changes.
    return [np.asarray(variable).copy() for variable in variables]


def _progress_callback(step: Callable[[int], None]) -> Any:
    """Return a callback that reports each batch, and stops a fit whose loss is not finite."""
    keras = import_keras()

    class ProgressCallback(keras.callbacks.Callback):  # type: ignore[name-defined,misc]  # Keras has no types
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if logs is not None and not np.isfinite(logs["loss"]):
                raise loss_not_finite()
            step(batch + 1)

    return ProgressCallback()
