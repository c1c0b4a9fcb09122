"""A trainable SavedModel: its function, its weights by name, its regularization losses."""

import dataclasses
import inspect
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from frieze.core import InputError, ModelError, import_tensorflow
from frieze.embedder.backbones import fingerprint, saved_model
from frieze.embedder.backbones import hub_download as hub

_HOW = "HubLayer(..., trust=True)"
_MAX_NAMES = 8

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Weight:
    """A variable of the module.

    Attributes:
        name: Its name in the module, without `:0`, with a suffix `_1` and so on for repeated names.
        variable: The module's tf.Variable.
        is_trainable: Whether the module declares it trainable; batch norm statistics are not.
    """

    name: str
    variable: Any
    is_trainable: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class HubModule:
    """A module to call and train, or the config of one whose files are not loaded yet.

    Attributes:
        name: Its name in messages.
        handle: The handle that opened it; None for a module that was loaded elsewhere.
        fingerprint: sha256 of its files; None for a module that was loaded elsewhere.
        folder: Folder of its files; None without files, or not yet.
        call: Its function; None if it is not loaded yet.
        weights: Its variables, in the module's order.
        shapes: Shape of the input -> shape of the output, a cache.
    """

    name: str
    handle: str | None = None
    fingerprint: str | None = None
    folder: Path | None = None
    call: saved_model.ServingFunction | None = None
    weights: tuple[Weight, ...] = dataclasses.field(default=(), repr=False)  # Keras prints arguments in errors
    shapes: dict[Shape, Shape] = dataclasses.field(default_factory=dict)

    @property
    def takes_training(self) -> bool:
        """Whether its call has an argument `training`."""
        function = self.loaded()
        return not function.is_signature and "training" in inspect.signature(function.module.__call__).parameters

    @property
    def losses(self) -> list[Any]:
        """Its regularization losses, each a function without arguments that returns a scalar."""
        function = self.loaded()
        return [] if function.is_signature else list(getattr(function.module, "regularization_losses", None) or [])

    def run(self, inputs: Any, *, training: bool, arguments: dict[str, Any]) -> Any:
        """Call the module on a batch.

        Args:
            inputs: [B, ...]; floats are cast to the module's type, mostly float32.
            training: Passed on if the module takes it.
            arguments: Further arguments of the module's call.

        Returns:
            The output of the module.

        Raises:
            ModelError: The module is not loaded, or has several outputs.
        """
        function = self.loaded()
        mode = {"training": training} if self.takes_training else {}
        return function(self._cast(inputs), **mode, **arguments)

    def check_dtype(self, dtype: Any) -> None:
        """Reject integers if the module takes floats.

        Args:
            dtype: Type of the inputs, as a name, NumPy or TensorFlow type.

        Raises:
            InputError: The module takes floats and the inputs are integers.
        """
        actual, expected = import_tensorflow().as_dtype(dtype), self._dtype()
        if expected.is_floating and actual.is_integer:
            raise InputError(
                f"{self.name} takes {expected.name}, for images in [0, 1], and gets {actual.name}.",
                hint="Put a keras.layers.Rescaling(1 / 255) before it.",
            )

    def output_shape(self, shape: Shape, *, arguments: dict[str, Any]) -> Shape:
        """Return the shape of the output for a shape of inputs, both batch first.

        Raises:
            InputError: The module does not take such inputs.
            ModelError: The module is not loaded.
        """
        if shape not in self.shapes:
            self.shapes[shape] = self._infer(shape, arguments)
        return self.shapes[shape]

    def loaded(self) -> saved_model.ServingFunction:
        """Return its function.

        Raises:
            ModelError: It is not loaded.
        """
        if self.call is None:
            raise ModelError(
                f"The module {self.handle} is not loaded: its files are missing or have changed.",
                hint="Load the whole model with keras.saving.load_model(FILE): its file holds the module.",
            )
        return self.call

    def _dtype(self) -> Any:
        specs = saved_model.inputs_of(self.loaded())
        return specs[0].dtype if specs else import_tensorflow().float32

    def _cast(self, inputs: Any) -> Any:
        tf = import_tensorflow()
        inputs, dtype = tf.convert_to_tensor(inputs), self._dtype()
        return tf.cast(inputs, dtype) if dtype.is_floating and inputs.dtype.is_floating else inputs

    def _infer(self, shape: Shape, arguments: dict[str, Any]) -> Shape:
        """Infer the shape by tracing; if the graph leaves it open, run one blank input."""
        tf = import_tensorflow()

        def run(inputs: Any) -> Any:
            return self.run(inputs, training=False, arguments=arguments)

        dtype = self._dtype()
        try:
            with tf.init_scope():
                graph = tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec(shape, dtype))
                inferred = graph.outputs[0].shape
                if inferred.rank is not None and None not in inferred[-1:]:
                    return tuple(inferred)
                return None, *run(tf.zeros([1, *shape[1:]], dtype)).shape[1:]
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise InputError(
                f"{self.name} does not take inputs of the shape {shape}: {str(error).splitlines()[0]}",
                hint=self._size_hint(),
            ) from error

    def _size_hint(self) -> str:
        size = saved_model.graph_input_size(self.loaded())
        if size is None:
            return "Pass inputs of its shape, mostly images of [height, width, 3]."
        return "Put a keras.layers.Resizing({}, {}) before it.".format(*size)


def open_module(handle: Any, *, output: str | None, trust: bool) -> HubModule:
    """Load a module, or wrap a loaded one.

    Args:
        handle: Folder of a SavedModel, URL, or the result of `tf.saved_model.load`.
        output: A signature, or one of several outputs.
        trust: Also load a module that does more than compute.

    Raises:
        ModelError: The module can't be downloaded, loaded or called, or is not trusted.
    """
    if isinstance(handle, HubModule):
        return handle
    if not isinstance(handle, str | Path):
        call = saved_model.choose_function(handle, output)
        return HubModule(name=type(handle).__name__.strip("_"), call=call, weights=_weights(call))
    handle = str(handle)
    folder = hub.download(handle) if "://" in handle else Path(handle).absolute()
    return open_folder(folder, handle=handle, output=output, trust=trust)


def open_folder(folder: Path, *, handle: str, output: str | None, trust: bool, how: str = _HOW) -> HubModule:
    """Load a module from a local folder, for any handle.

    Args:
        folder: Folder of its files.
        handle: The handle that the user typed.
        output: A signature, or one of several outputs.
        trust: Also load a module that does more than compute.
        how: How to trust it, for the hint.

    Raises:
        ModelError: The module can't be loaded or called, or is not trusted.
    """
    name = hub.module_name(handle) if "://" in handle else saved_model.module_name(Path(handle))
    call = saved_model.load_function(folder, name=name, output=output, trust=trust, how=how)
    return HubModule(
        name=name,
        handle=handle,
        fingerprint=fingerprint.of_saved_model(folder),
        folder=folder,
        call=call,
        weights=_weights(call),
    )


def is_module(folder: Path, digest: str) -> bool:
    """Return whether a folder holds the module with a fingerprint."""
    return saved_model.has_model(folder) and fingerprint.of_saved_model(folder) == digest


def _weights(call: saved_model.ServingFunction) -> tuple[Weight, ...]:
    """List the variables of a module: those it lists itself, else those of its graphs."""
    module = call.module
    variables = getattr(module, "variables", None)
    if variables is None or call.is_signature:
        graphs = [one for one in call.concrete_functions() if hasattr(one, "variables")]
        variables = [variable for graph in graphs for variable in graph.variables]
    trainable = getattr(module, "trainable_variables", None)
    if trainable is None:
        trainable = [variable for variable in variables if variable.trainable]
    chosen = set() if call.is_signature else {id(variable) for variable in trainable}
    unique = list({id(variable): variable for variable in variables}.values())
    names = _unique([variable.name.partition(":")[0] for variable in unique])
    return tuple(Weight(name, variable, id(variable) in chosen) for name, variable in zip(names, unique, strict=True))


def _unique(names: list[str]) -> list[str]:
    counts: dict[str, int] = {}
    unique = []
    for name in names:
        counts[name] = counts.get(name, -1) + 1
        unique.append(f"{name}_{counts[name]}" if counts[name] else name)
    return unique


def check_trains(module: HubModule) -> None:
    """Raise an error for a module without trainable variables.

    Raises:
        InputError: The module has none.
    """
    if not any(weight.is_trainable for weight in module.weights):
        raise InputError(
            f"{module.name} has no trainable variables: it is a frozen graph, or called by a signature.",
            hint="Leave it frozen, with trainable=False, or use a TF2 module with variables.",
        )


def choose_weights(module: HubModule, trainable: bool | str | Sequence[str]) -> set[str]:
    """Choose the weights that train while the layer is trainable.

    Args:
        module: The module with the weights.
        trainable: A boolean, `all`, or names and patterns with `*`, `?` and `[...]`.

    Returns:
        Their names; for False those that train if the layer is unfrozen later.

    Raises:
        InputError: A name or pattern matches no trainable weight, or there is none to train.
    """
    names = [weight.name for weight in module.weights if weight.is_trainable]
    if isinstance(trainable, bool) or trainable == "all":
        if trainable:
            check_trains(module)
        return set(names)
    patterns = [trainable] if isinstance(trainable, str) else trainable
    matches = {
        pattern: {name for name in names if name == pattern or fnmatchcase(name, pattern)} for pattern in patterns
    }
    if not patterns or not all(matches.values()):
        raise _no_match_error(module, [pattern for pattern, matched in matches.items() if not matched], names)
    return set().union(*matches.values())


def _no_match_error(module: HubModule, patterns: list[str], names: list[str]) -> InputError:
    step = max(1, len(names) // _MAX_NAMES)
    statistics = [weight.name for weight in module.weights if weight.name in patterns]
    why = f" ({', '.join(statistics)} exists and is not trainable)" if statistics else ""
    return InputError(
        f"No trainable variable of {module.name} is named {', '.join(patterns) or 'in an empty list'}{why}.",
        hint=f"It has {len(names)}, among them: {', '.join(names[::step][:_MAX_NAMES]) or 'none'}."
        " HubLayer(...).variable_names lists all; trainable=False trains none.",
    )
