"""A SavedModel in hub form as a layer of Keras 3, which `hub.KerasLayer`, a layer of tf_keras, can't be."""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frieze.core import InputError, MismatchError, import_keras, import_tensorflow
from frieze.embedder.backbones.hub_layer import archive as hub_archive
from frieze.embedder.backbones.hub_layer.module import HubModule, Shape, check_trains, choose_weights, open_module

# A class needs its base when the module is loaded. Nothing loads this one but who asks for HubLayer.
_keras: Any = import_keras()

MODES = ("inference", "train")


class _BoundVariable(_keras.Variable):  # type: ignore[misc]  # Keras has no types
    """A weight of the layer that is the module's own tf.Variable, not a copy."""

    def __init__(self, variable: Any, *, name: str, trainable: bool) -> None:
        super().__init__(
            lambda *_, **__: variable,
            shape=tuple(variable.shape),
            dtype=variable.dtype.name,
            trainable=trainable,
            autocast=False,  # the module's graph has it in the type it was saved with
            name=name.replace("/", "."),
        )

    def _initialize_with_initializer(self, initializer: Any) -> None:
        self._initialize(initializer())  # Keras takes a tf.Variable as it is

    def bind(self, variable: Any) -> None:
        """Move to another tf.Variable, with the present value."""
        variable.assign(self._value)
        variable._unique_id = self._value._unique_id  # noqa: SLF001  by this an optimizer that is built knows it
        self._initialize(variable)


@_keras.saving.register_keras_serializable(package="frieze")
class HubLayer(_keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """A SavedModel in TensorFlow Hub's form as a layer of Keras 3 that trains, saves and loads as others do.

    It takes what the module takes: mostly float32 [B, H, W, 3] with pixels in [0, 1], and gives its output, mostly
    [B, D]. The weights of the layer *are* the module's variables: what either side assigns, the other sees. Each layer
    made from a folder or URL loads it anew and has variables of its own; layers of one loaded module share them.

    Under a policy of mixed precision the module runs in float32, which its graph was saved with, and inputs are not
    narrowed before it; the output is cast to the policy's type. Keras casts what a model is given to the type of its
    `keras.Input`, float32 by default: uint8 pixels arrive in 0..255 then, and want a `keras.layers.Rescaling(1 / 255)`.

    `model.save("FILE.keras")` takes the SavedModel's files along, so that the file loads where the folder or the URL is
    gone: `from frieze import HubLayer`, then `keras.saving.load_model`. The module's files are held against their
    fingerprint on both ways. A module that does more than compute, such as one that reads a vocabulary from its assets,
    is loaded from a model's file only after `HubLayer.trust_module(FINGERPRINT)`; `model.save` says so. The weights
    stand in that file twice: as the module came, and as they are now.

    Attributes:
        variable_names: The module's names of its variables, in the module's order.
        batch_norm: As given.

    >>> layer = HubLayer("photos.module")  # doctest: +SKIP
    >>> model = keras.Sequential([layer, keras.layers.Dense(5, activation="softmax")])  # doctest: +SKIP
    """

    def __init__(
        self,
        handle: Any,
        *,
        trainable: bool | str | Sequence[str] = False,
        batch_norm: str = "inference",
        output: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        trust: bool = False,
        **options: Any,
    ) -> None:
        """Load the module.

        Args:
            handle: A SavedModel's folder; `https://tfhub.dev/...`, `https://www.kaggle.com/models/...` or `gs://...`,
                fetched once into the user's cache; or a module that is loaded already.
            trainable: `False` freezes the module. `True` or `"all"` trains all of its trainable variables. Names of
                variables, or patterns with `*`, `?` and `[...]`, train only those: `["block_16/*", "Conv_1/*"]`. Go by
                names, never by places in the list: the order of a module's variables is not that of its graph.
                Whatever is chosen, `layer.trainable` freezes and frees it later, before `compile`.
            batch_norm: `"inference"` always runs the module as for use, whatever `fit` says: batch norm uses its moving
                statistics and leaves them alone, dropout does nothing; right for most fine-tuning. `"train"` runs it in
                training mode where the layer is trainable and called in training, as `hub.KerasLayer` does: batch
                norm uses the batch's statistics and the module moves its own, in all of it, whatever was chosen.
            output: A signature to call, or one of several outputs.
            arguments: More for the module's call, as plain JSON values: `{"batch_norm_momentum": 0.99}`.
            trust: Load a SavedModel that reads or writes files or calls Python, too.
            **options: `name` and `dtype` of a Keras layer.

        Raises:
            ModelError: The module can't be fetched, loaded or called, or is not trusted.
            InputError: There is nothing to train, a name is that of no trainable variable, the module has no training
                mode, or `dtype` is a type of whole numbers.
        """
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
        for bound in self._bound:  # made as those that would train, so that Keras knows them as such
            bound.trainable = bound.trainable and self.trainable
        self._take(module)

    @staticmethod
    def trust_module(fingerprint: str) -> None:
        """Let this process load a module that does more than compute from a model's file.

        Args:
            fingerprint: sha256 of the module's files, as the refusal names it.
        """
        hub_archive.trust_module(fingerprint)

    @property
    def variable_names(self) -> list[str]:
        """The module's names of its variables, in the module's order, which is not that of its graph."""
        return [weight.name for weight in self._module.weights]

    @property
    def learnable(self) -> list[Any]:
        """The module's own variables that it calls trainable, whatever of them trains here."""
        return [weight.variable for weight in self._module.weights if weight.is_trainable]

    def __call__(self, inputs: Any, *others: Any, **options: Any) -> Any:
        """Run the module on a batch, as Keras has it.

        Raises:
            InputError: The module takes numbers with a point, and the inputs are whole ones.
        """
        # Here and not in `call`, whose errors Keras writes anew without their mend.
        if self._module.call is not None and hasattr(inputs, "dtype"):
            self._module.check_dtype(inputs.dtype)
        return super().__call__(inputs, *others, **options)

    @property
    def trainable(self) -> bool:
        """Whether what was chosen of the module trains.

        A model that is freed frees its layers; where this one's module has nothing that trains, it stays frozen with a
        warning. (Keras itself does nothing at `model.trainable = True` where that is so already: a layer that was made
        frozen is freed by its own `layer.trainable = True`.)

        Raises:
            InputError: It is set on the layer itself, and the module has nothing that trains.
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
        """Compute the module's penalties from its weights as they are now, as Keras does for its own layers."""
        return [loss() for loss in self._module.losses] if self.trainable and self._module.call is not None else []

    def build(self, input_shape: Any) -> None:
        """Check that the module takes such inputs.

        Raises:
            InputError: It does not.
        """
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Run the module on a batch: [B, ...] -> the output, cast to the policy's type."""
        tf = import_tensorflow()
        is_training = bool(training) and self.trainable and self.batch_norm == "train"
        found = self._module.run(inputs, training=is_training, arguments=self.arguments)
        if found.shape.rank is None:  # some graphs do not tell, and a Dense layer has to know
            found.set_shape(self.compute_output_shape(inputs.shape))
        return tf.cast(found, self.compute_dtype) if found.dtype.is_floating else found

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Tell the output's shape, with the batch in front."""
        return self._module.output_shape(tuple(input_shape), arguments=self.arguments)

    def get_config(self) -> dict[str, Any]:
        """Give what brings the layer back: the module's handle, fingerprint and weights, and the settings.

        Raises:
            InputError: It was made of a module that was loaded elsewhere.
        """
        settings = {"batch_norm": self.batch_norm, "output": self.output_name, "arguments": dict(self.arguments)}
        described = {"chosen": list(self._chosen), "saved_model": hub_archive.describe(self._module)}
        own: dict[str, Any] = super().get_config()
        return own | settings | described

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "HubLayer":
        """Make the layer again; its module is loaded now where it is at hand, else with the model's file."""
        config = dict(config)
        is_trainable, chosen = config.pop("trainable"), config.pop("chosen")
        module = hub_archive.revive(config.pop("saved_model"), output=config["output"])
        layer: HubLayer = super().from_config(config | {"handle": module, "trainable": chosen or False})
        layer.trainable = is_trainable
        return layer

    def save_own_variables(self, store: Any) -> None:
        """Store the weights in the module's order, which stays the same whatever of them trains."""
        for place, weight in enumerate(self._bound):
            store[str(place)] = weight

    def load_own_variables(self, store: Any) -> None:
        """Assign stored weights.

        Raises:
            MismatchError: Others are stored than the module has.
        """
        if len(store.keys()) != len(self._bound):
            raise MismatchError(
                f"{self.name} has {len(self._bound)} weights, and {len(store.keys())} are stored.",
                hint="Load them into a layer of the same module.",
            )
        for place, weight in enumerate(self._bound):
            weight.assign(store[str(place)])

    def save_assets(self, inner_path: str) -> None:
        """Copy the module's files into the model's file."""
        hub_archive.write_module(self._module, Path(inner_path))

    def load_assets(self, inner_path: str) -> None:
        """Check the module's files in the model's file; load the module from there if it was not at hand."""
        module = hub_archive.read_module(self._module, Path(inner_path), output=self.output_name)
        if module is not self._module:
            for bound, weight in zip(self._bound, module.weights, strict=True):
                bound.bind(weight.variable)
            self._take(module)

    def _take(self, module: HubModule) -> None:
        """Call this module from now on; TensorFlow must know of it too, for `model.export`."""
        self._module = module
        if module.call is not None:
            _check_mode(module, self.batch_norm)
            self._tracked_module = module.call.module


def _is_set_by_keras() -> bool:
    """Tell whether a model, or another layer around, hands its `trainable` down."""
    handing_down, frame = _keras.layers.Layer.trainable.fset.__code__, inspect.currentframe()
    while frame is not None and frame.f_code is not handing_down:
        frame = frame.f_back
    return frame is not None


def _check_floats(dtype: Any) -> None:
    """Refuse a type that would cut the output's numbers down to whole ones."""
    names = (getattr(dtype, name, None) for name in ("compute_dtype", "name", "__name__"))
    name = next(filter(None, names), str(dtype))
    if name.startswith(("int", "uint", "bool")):
        raise InputError(
            f"HubLayer is given the dtype {name}: that is its output's, whose numbers are no whole ones.",
            hint="Leave dtype out, or give float32, mixed_float16 or mixed_bfloat16.",
        )


def _check_mode(module: HubModule, batch_norm: str) -> None:
    if batch_norm not in MODES:
        raise InputError(f"Unknown batch_norm: {batch_norm}.", hint=f"Use one of: {', '.join(MODES)}.")
    if batch_norm == "train" and not module.takes_training:
        raise InputError(
            f"{module.name} has no training mode: its call takes no argument `training`.",
            hint="Leave batch_norm out: its statistics stay as they are.",
        )
