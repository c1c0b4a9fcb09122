"""`HubLayer`: a SavedModel in TensorFlow Hub form as a Keras 3 layer; `hub.KerasLayer` is one of tf_keras."""

import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import InputError, MismatchError, import_keras, import_tensorflow
from frieze.embedder.backbones.hub_layer import archive as hub_archive
from frieze.embedder.backbones.hub_layer.module import HubModule, Shape, check_trains, choose_weights, open_module

# A class needs its base at import time; only users of HubLayer import this module.
_keras: Any = import_keras()

MODES = ("inference", "train")
_LOADED = "Load the module yourself, and pass it: HubLayer(tf.saved_model.load(FOLDER, {}=...))."
_OF_HUB = {
    "signature": "Name it with `output='SIGNATURE'`.",
    "output_key": "Name it with `output='KEY'`, or `output='SIGNATURE:KEY'`.",
    "signature_outputs_as_dict": "Make a layer for each output that you need, with `output='KEY'`.",
    "output_shape": "Leave it out: the layer finds the shape of its output by itself.",
    "tags": _LOADED.format("tags"),
    "load_options": _LOADED.format("options"),
}
"""Options of `hub.KerasLayer` that this layer does not take -> what to do."""


class _BoundVariable(_keras.Variable):  # type: ignore[misc]  # Keras has no types
    """A weight of the layer that is the module's tf.Variable, not a copy."""

    def __init__(self, variable: Any, *, name: str, trainable: bool) -> None:
        super().__init__(
            lambda *_, **__: variable,
            shape=tuple(variable.shape),
            dtype=variable.dtype.name,
            trainable=trainable,
            autocast=False,  # the module's graph requires the saved type
            name=name.replace("/", "."),
        )

    def _initialize_with_initializer(self, initializer: Any) -> None:
        self._initialize(initializer())  # Keras takes a tf.Variable as it is

    def bind(self, variable: Any) -> None:
        """Bind to another tf.Variable, keeping the current value."""
        variable.assign(self._value)
        variable._unique_id = self._value._unique_id  # noqa: SLF001  a built optimizer finds it by this id
        self._initialize(variable)


@_keras.saving.register_keras_serializable(package="frieze")
class HubLayer(_keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A SavedModel in TensorFlow Hub's form as a layer of Keras 3 that trains, saves and loads as others do.

    It takes the module's input, mostly float32 [B, H, W, 3] with pixels in [0, 1], and returns its output, mostly
    [B, D]. The weights of the layer *are* the module's variables: an assignment to one changes the other. Each layer
    made from a folder or URL loads its own copy with separate variables; layers of one loaded module share them.

    Under a policy of mixed precision the module runs in float32, which its graph was saved with, and inputs are not
    narrowed before it; the output is cast to the policy's type. Keras casts what a model is given to the type of its
    `keras.Input`, float32 by default: uint8 pixels arrive in 0..255 then, and want a `keras.layers.Rescaling(1 / 255)`.

    `model.save("FILE.keras")` takes the SavedModel's files along, so that the file loads where the folder or the URL is
    gone: `from frieze import HubLayer`, then `keras.saving.load_model`. The module's files are checked against their
    fingerprint when saved and loaded. A module that does more than compute, such as one that reads a vocabulary from
    its assets, is loaded from a model's file only after `HubLayer.trust_module(FINGERPRINT)`; `model.save` warns of
    that. The weights are in that file twice: as in the original module, and with their current values.

    Attributes:
        variable_names: The module's names of its variables, in the module's order.
        batch_norm: As given.

    >>> layer = HubLayer("photos.module")  # doctest: +SKIP
    >>> model = keras.Sequential([layer, keras.layers.Dense(5, activation="softmax")])  # doctest: +SKIP
    """

    def __init__(
        self,
        handle: Any,
        trainable: bool | str | Sequence[str] = False,
        *,
        batch_norm: str = "inference",
        output: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        trust: bool = False,
        **options: Any,
    ) -> None:
        """Load the module.

        Args:
            handle: A SavedModel's folder; `https://tfhub.dev/...`, `https://www.kaggle.com/models/...` or `gs://...`,
                downloaded once into the user's cache; or a loaded module.
            trainable: `False` freezes the module. `True` or `"all"` trains all of its trainable variables. Names of
                variables, or patterns with `*`, `?` and `[...]`, train only those: `["block_16/*", "Conv_1/*"]`. Use
                names, not positions: the order of a module's variables is not that of its graph. `layer.trainable`
                freezes and unfreezes the chosen variables later, before `compile`.
            batch_norm: `"inference"` always runs the module in inference mode, also in `fit`: batch norm uses its
                moving statistics unchanged, dropout does nothing; right for most fine-tuning. `"train"` runs it in
                training mode where the layer is trainable and called in training, as `hub.KerasLayer` does: batch
                norm uses the batch's statistics and the module moves its own, in all of it, whatever was chosen.
            output: A signature to call, or one of several outputs.
            arguments: More for the module's call, as plain JSON values: `{"batch_norm_momentum": 0.99}`.
            trust: Also load a SavedModel that reads or writes files or calls Python.
            **options: `name` and `dtype` of a Keras layer.

        Raises:
            ModelError: The module can't be downloaded, loaded or called, or is not trusted.
            InputError: There is nothing to train, a name matches no trainable variable, the module has no training
                mode, `dtype` is no floating type, or an option is one of `hub.KerasLayer` alone.
        """
        _check_options(options)
        _check_floats(options.get("dtype"))
        module = open_module(handle, output=output, trust=trust)
        chosen = choose_weights(module, trainable)
        super().__init__(trainable=trainable is not False, autocast=False, **options)
        self.supports_jit = False  # a module may hold what XLA can't compile, and on CPUs XLA is far slower
        self.batch_norm, self.output_name, self.arguments = batch_norm, output, dict(arguments or {})
        self._chosen = tuple(sorted(chosen))
        self._bound = [
            _BoundVariable(weight.variable, name=weight.name, trainable=weight.name in chosen)
            for weight in module.weights
        ]
        for bound in self._bound:  # created as trainable, so that Keras tracks them as such
            bound.trainable = bound.trainable and self.trainable
        self._take(module)

    @staticmethod
    def trust_module(fingerprint: str) -> None:
        """Let this process load a module that does more than compute from a model's file.

        Args:
            fingerprint: sha256 of the module's files, as in the error message.
        """
        hub_archive.trust_module(fingerprint)

    @property
    def resolved_object(self) -> Any:
        """The loaded module, with what else it holds: signatures, assets, attributes.

        Raises:
            ModelError: It is not loaded.
        """
        return self._module.loaded().module

    @property
    def variable_names(self) -> list[str]:
        """The module's names of its variables, in the module's order, which is not that of its graph."""
        return [weight.name for weight in self._module.weights]

    @property
    def learnable(self) -> list[Any]:
        """The module's trainable variables, whether or not this layer trains them."""
        return [weight.variable for weight in self._module.weights if weight.is_trainable]

    def __call__(self, inputs: Any, *others: Any, **options: Any) -> Any:
        """Run the module on a batch, as Keras has it.

        Raises:
            InputError: The module takes floats, and the inputs are integers; or they are several.
        """
        _check_one_input(inputs, others, self.name)
        # Here and not in `call`, whose errors Keras rewrites without their hint.
        if self._module.call is not None and hasattr(inputs, "dtype"):
            self._module.check_dtype(inputs.dtype)
        return super().__call__(inputs, *others, **options)

    @property
    def trainable(self) -> bool:
        """Whether the chosen variables of the module train.

        Unfreezing a model unfreezes its layers; a layer whose module has nothing to train stays frozen with a warning.
        (`model.trainable = True` does nothing in Keras if it is True already: unfreeze a layer that was made frozen by
        its own `layer.trainable = True`.)

        Raises:
            InputError: It is set on the layer itself, and the module has nothing to train.
        """
        return bool(_keras.layers.Layer.trainable.fget(self))

    @trainable.setter
    def trainable(self, value: bool) -> None:
        if value:
            try:
                check_trains(self._module)
            except InputError as error:
                if not _is_set_by_keras():
                    raise
                warnings.warn(f"{self.name} stays frozen: {error.args[0]}", stacklevel=2)
                return
        _keras.layers.Layer.trainable.fset(self, value)

    def _get_own_losses(self) -> list[Any]:
        """Compute the module's regularization losses from its current weights, as Keras does for its layers."""
        return [loss() for loss in self._module.losses] if self.trainable and self._module.call is not None else []

    def build(self, input_shape: Any) -> None:
        """Check that the module takes inputs of this shape.

        Raises:
            InputError: It does not.
        """
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Run the module on a batch: [B, ...] -> the output, cast to the policy's type."""
        tf = import_tensorflow()
        is_training = bool(training) and self.trainable and self.batch_norm == "train"
        output = self._module.run(inputs, training=is_training, arguments=self.arguments)
        if output.shape.rank is None:  # some graphs leave it open, and a Dense layer needs it
            output.set_shape(self.compute_output_shape(inputs.shape))
        return tf.cast(output, self.compute_dtype) if output.dtype.is_floating else output

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of the output, batch first."""
        return self._module.output_shape(tuple(input_shape), arguments=self.arguments)

    def get_config(self) -> dict[str, Any]:
        """Return the config of the layer: handle, fingerprint and weights of the module, and the settings.

        Raises:
            InputError: The layer was made from a module that was loaded elsewhere, or with `arguments` that JSON can't
                hold.
        """
        _check_json(self.arguments)
        settings = {"batch_norm": self.batch_norm, "output": self.output_name, "arguments": dict(self.arguments)}
        state = {"chosen": list(self._chosen), "saved_model": hub_archive.to_config(self._module)}
        base: dict[str, Any] = super().get_config()
        return base | settings | state

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "HubLayer":
        """Create the layer from its config; its module is loaded now if present, else from the .keras file."""
        config = dict(config)
        is_trainable, chosen = config.pop("trainable"), config.pop("chosen")
        module = hub_archive.from_config(config.pop("saved_model"), output=config["output"])
        layer: HubLayer = super().from_config(config | {"handle": module, "trainable": chosen or False})
        layer.trainable = is_trainable
        return layer

    def save_own_variables(self, store: Any) -> None:
        """Store the weights in the module's order, which does not depend on what trains."""
        for number, weight in enumerate(self._bound):
            store[str(number)] = weight

    def load_own_variables(self, store: Any) -> None:
        """Assign stored weights.

        Raises:
            MismatchError: The number of stored weights differs.
        """
        if len(store.keys()) != len(self._bound):
            raise MismatchError(
                f"{self.name} has {len(self._bound)} weights, and {len(store.keys())} are stored.",
                hint="Load them into a layer of the same module.",
            )
        for number, weight in enumerate(self._bound):
            weight.assign(store[str(number)])

    def save_assets(self, inner_path: str) -> None:
        """Copy the module's files into the .keras file."""
        hub_archive.write_module(self._module, Path(inner_path))

    def load_assets(self, inner_path: str) -> None:
        """Check the module's files in the .keras file; load the module from there if it is not loaded."""
        module = hub_archive.read_module(self._module, Path(inner_path), output=self.output_name)
        if module is not self._module:
            for bound, weight in zip(self._bound, module.weights, strict=True):
                bound.bind(weight.variable)
            self._take(module)

    def _take(self, module: HubModule) -> None:
        """Use this module from now on; TensorFlow has to track it too, for `model.export`."""
        self._module = module
        if module.call is not None:
            _check_mode(module, self.batch_norm)
            self._tracked_module = module.call.module


def _is_set_by_keras() -> bool:
    """Return whether an enclosing model or layer sets `trainable` on its children."""
    setter, frame = _keras.layers.Layer.trainable.fset.__code__, inspect.currentframe()
    while frame is not None and frame.f_code is not setter:
        frame = frame.f_back
    return frame is not None


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that `hub.KerasLayer` has and this layer has not."""
    for name in options:
        if name in _OF_HUB:
            raise InputError(f"HubLayer has no `{name}`, as hub.KerasLayer has.", hint=_OF_HUB[name])


def _check_one_input(inputs: Any, others: Sequence[Any], name: str) -> None:
    """Refuse several inputs, as modules of texts take them in a dict."""
    if others or isinstance(inputs, dict | list | tuple):
        kind = "several arguments" if others else f"a {type(inputs).__name__}"
        raise InputError(
            f"{name} gets {kind} of inputs; HubLayer takes one batch of images.",
            hint="Pass one batch as an array or tensor, such as tf.constant([...]). Call a module of several inputs in"
            " a layer of your own: self.module = tf.saved_model.load(FOLDER), then self.module(inputs) in `call`.",
        )


def _check_json(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that would not come back from the config, such as tensors."""
    for name, value in arguments.items():
        try:
            json.dumps(value.item() if isinstance(value, np.generic) else value)  # Keras stores these as plain numbers
        except TypeError as error:
            raise InputError(
                f"HubLayer can't be saved: `arguments` has a {type(value).__name__} in {name!r}.",
                hint="Pass plain numbers, texts, lists and dicts: arguments={'scale': 2.0}.",
            ) from error


def _check_floats(dtype: Any) -> None:
    """Reject a dtype of integers, which would round the output, or of texts, which describes the input."""
    names = (getattr(dtype, name, None) for name in ("compute_dtype", "name", "__name__"))
    name = next(filter(None, names), str(dtype))
    if name.startswith(("int", "uint", "bool", "string")):
        raise InputError(
            f"HubLayer has the dtype {name}: its output holds floats, and the type of its input is the module's own.",
            hint="Leave dtype out, or pass float32, mixed_float16 or mixed_bfloat16.",
        )


def _check_mode(module: HubModule, batch_norm: str) -> None:
    if batch_norm not in MODES:
        raise InputError(f"Unknown batch_norm: {batch_norm}.", hint=f"Use one of: {', '.join(MODES)}.")
    if batch_norm == "train" and not module.takes_training:
        raise InputError(
            f"{module.name} has no training mode: its call takes no argument `training`.",
            hint="Leave batch_norm out: its statistics stay as they are.",
        )
