"""Where a fine-tuning computes: a replica of the network on each GPU, in mixed precision where GPUs are fast at it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self

from frieze.core import import_keras, import_tensorflow

FLOAT32, MIXED_FLOAT16 = "float32", "mixed_float16"
"""Keras' names of the dtype policies that are chosen from."""
_TENSOR_CORES = (7, 0)  # the compute capability from which on float16 is several times as fast; source: Keras' guide


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices that train, and their precision.

    Attributes:
        names: TensorFlow's names of the devices that hold a replica each; empty to leave the choice to TensorFlow.
        policy: Keras' dtype policy of the backbone's layers. `mixed_float16` was closer to float32 than
            `mixed_bfloat16` in each family of Keras' networks that was tried, and more GPUs have it.
    """

    names: tuple[str, ...] = ()
    policy: str = FLOAT32

    @classmethod
    def find(cls) -> Self:
        """Return all visible GPUs, in mixed precision where each of them has tensor cores; float32 on a CPU."""
        config = import_tensorflow().config
        details = [config.experimental.get_device_details(gpu) for gpu in config.get_visible_devices("GPU")]
        is_fast = bool(details) and all(one.get("compute_capability", (0, 0)) >= _TENSOR_CORES for one in details)
        names = tuple(gpu.name for gpu in config.list_logical_devices("GPU"))
        return cls(names, MIXED_FLOAT16 if is_fast else FLOAT32)

    @property
    def n_replicas(self) -> int:
        """Number of replicas."""
        return max(1, len(self.names))

    def replicate(self, network: Any) -> Any:
        """Return a Keras model of the same layers that computes a share of each batch on each device.

        The variables stay where they are. Not by tf.distribute: there Keras' loss scaling looks at the gradients of the
        first replica alone, the last batch leaves replicas without an image, which convolutions fail on, and a
        SavedModel can't be loaded and stored in one.
        """
        keras, names = import_keras(), self.names
        if len(names) <= 1:
            return keras.Model(network.inputs, network.outputs)

        class ReplicatedModel(keras.Model):  # type: ignore[name-defined,misc]  # Keras has no types
            def train_step(self, data: Any) -> dict[str, Any]:
                return _train_step(self, names, *data)

        return ReplicatedModel(network.inputs, network.outputs)

    def predictor(self, network: Any) -> Callable[[Any], Any]:
        """Return a compiled function: the inputs of a batch -> the outputs of a network, a share on each device."""

        def predict(inputs: Any) -> Any:
            return _predict(network, self.names, inputs) if len(self.names) > 1 else network(inputs, training=False)

        return import_tensorflow().function(predict, autograph=False, reduce_retracing=True)  # type: ignore[no-any-return]


def _train_step(network: Any, devices: Sequence[str], inputs: Any, codes: Any) -> dict[str, Any]:
    """Take a step by the gradient of the batch's mean loss; return the metrics so far."""
    tf = import_tensorflow()
    positions, weights = _shares(codes, len(devices))
    losses, gradients, predicted = [], [], []
    for device, rows, row_weights in zip(devices, positions, weights, strict=True):
        own_inputs, own_codes = _take(inputs, rows), tf.gather(codes, rows)
        with tf.device(device), tf.GradientTape() as tape:
            predicted.append(network(own_inputs, training=True))
            losses.append(network.compute_loss(own_inputs, own_codes, predicted[-1], row_weights) / len(devices))
            scaled = network.optimizer.scale_loss(losses[-1])
        with tf.device(device):
            gradients.append(tape.gradient(scaled, network.trainable_weights))
    summed = [None if each[0] is None else tf.add_n(each) for each in zip(*gradients, strict=True)]
    network.optimizer.apply_gradients(list(zip(summed, network.trainable_weights, strict=True)))
    n_rows = tf.shape(codes)[0]
    for metric in network.metrics:
        if metric.name == "loss":
            metric.update_state(tf.add_n(losses), sample_weight=n_rows)
    metrics: dict[str, Any] = network.compute_metrics(inputs, codes, tf.concat(predicted, 0)[:n_rows])
    return metrics


def _predict(network: Any, devices: Sequence[str], inputs: Any) -> Any:
    """Compute the outputs of a batch, in its order."""
    tf = import_tensorflow()
    first = tf.nest.flatten(inputs)[0]
    outputs = []
    for device, rows in zip(devices, _shares(first, len(devices))[0], strict=True):
        own_inputs = _take(inputs, rows)
        with tf.device(device):
            outputs.append(network(own_inputs, training=False))
    return tf.concat(outputs, 0)[: tf.shape(first)[0]]


def _shares(batch: Any, n_shares: int) -> tuple[list[Any], list[Any]]:
    """Cut a batch [b, ...] into shares of the same size; the last ones are filled up with its first rows.

    Returns:
        positions: Of each share, int32 [ceil(b / n)].
        weights: Of these rows, float32, 0 for those that fill up: the mean over shares of the weighted mean over rows
            is the mean over the batch.
    """
    tf = import_tensorflow()
    n_rows = tf.shape(batch)[0]
    n_filled = n_shares * -(-n_rows // n_shares)
    places = tf.range(n_filled)
    weights = tf.where(places < n_rows, tf.cast(n_filled / n_rows, tf.float32), 0.0)
    return tf.split(places % n_rows, n_shares), tf.split(weights, n_shares)


def _take(inputs: Any, rows: Any) -> Any:
    tf = import_tensorflow()
    return tf.nest.map_structure(lambda array: tf.gather(array, rows), inputs)
