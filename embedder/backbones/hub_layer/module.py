"""A SavedModel that is trained as well as called: its function, its weights by name, its losses."""

import dataclasses
import inspect
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from frieze.core import InputError, ModelError, import_tensorflow
from frieze.embedder.backbones import fingerprint, saved_model
from frieze.embedder.backbones import hub_download as hub
from frieze.embedder.backbones.op_safety import check_only_computes

_HOW = "HubLayer(..., trust=True)"
_N_NAMES_SHOWN = 8

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Weight:
    """A variable of the module.

    Attributes:
        name: Its name in the module, without `:0`, and with `_1` and so on where others have the same.
        variable: The module's own tf.Variable.
        is_trainable: Whether the module calls it trainable; statistics of batch norm are not.
    """

    name: str
    variable: Any
    is_trainable: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class HubModule:
    """A module to be called and trained, or one that is told of and whose files are still to come.

    Attributes:
        name: For people.
        handle: What was typed to get it; None for a module that was loaded elsewhere.
        fingerprint: sha256 of its files; None for a module that was loaded elsewhere.
        folder: Where its files lie; None where there are none, or not yet.
        call: Its function; None where it is not loaded yet.
        weights: Its variables, in the module's own order.
        shapes: Output's shape by the input's, as far as they were asked for.
    """

    name: str
    handle: str | None = None
    fingerprint: str | None = None
    folder: Path | None = None
    call: saved_model.Call | None = None
    weights: tuple[Weight, ...] = dataclasses.field(default=(), repr=False)  # Keras shows a layer's arguments in errors
    shapes: dict[Shape, Shape] = dataclasses.field(default_factory=dict)

    @property
    def takes_training(self) -> bool:
        """Tell whether its call has an argument `training`."""
        function = self._loaded()
        return not function.is_signature and "training" in inspect.signature(function.module.__call__).parameters

    @property
    def losses(self) -> list[Any]:
        """Give its losses of regularisation, each a function without arguments to a scalar."""
        function = self._loaded()
        return [] if function.is_signature else list(getattr(function.module, "regularization_losses", None) or [])

    def run(self, inputs: Any, *, training: bool, arguments: dict[str, Any]) -> Any:
        """Call it on a batch.

        Args:
            inputs: [B, ...]; numbers with a point are cast to what the module takes, mostly float32.
            training: Passed on where the module takes it.
            arguments: More for the module's call.

        Returns:
            The module's own output.

        Raises:
            ModelError: It is not loaded, or has several outputs.
        """
        given = self._loaded()
        mode = {"training": training} if self.takes_training else {}
        return given(self._cast(inputs), **mode, **arguments)

    def check_dtype(self, dtype: Any) -> None:
        """Refuse whole numbers where the module takes others.

        Args:
            dtype: Of the inputs, by name or as NumPy or TensorFlow has it.

        Raises:
            InputError: It takes numbers with a point and gets whole ones.
        """
        given, wanted = import_tensorflow().as_dtype(dtype), self._dtype()
        if wanted.is_floating and given.is_integer:
            raise InputError(
                f"{self.name} takes {wanted.name}, for images in [0, 1], and gets {given.name}.",
                hint="Put a keras.layers.Rescaling(1 / 255) before it.",
            )

    def output_shape(self, shape: Shape, *, arguments: dict[str, Any]) -> Shape:
        """Tell the shape of the output for inputs of a shape, both with the batch in front.

        Raises:
            InputError: The module does not take such inputs.
            ModelError: It is not loaded.
        """
        if shape not in self.shapes:
            self.shapes[shape] = self._infer(shape, arguments)
        return self.shapes[shape]

    def _loaded(self) -> saved_model.Call:
        if self.call is None:
            raise ModelError(
                f"The module {self.handle} is not at hand: another one lies there, or none.",
                hint="Load the whole model with keras.saving.load_model(FILE): its file holds the module.",
            )
        return self.call

    def _dtype(self) -> Any:
        specs = saved_model.inputs_of(self._loaded())
        return specs[0].dtype if specs else import_tensorflow().float32

    def _cast(self, inputs: Any) -> Any:
        tf = import_tensorflow()
        inputs, wanted = tf.convert_to_tensor(inputs), self._dtype()
        return tf.cast(inputs, wanted) if wanted.is_floating and inputs.dtype.is_floating else inputs

    def _infer(self, shape: Shape, arguments: dict[str, Any]) -> Shape:
        """Trace the call; where the graph does not tell, run one blank input."""
        tf = import_tensorflow()

        def run(inputs: Any) -> Any:
            return self.run(inputs, training=False, arguments=arguments)

        dtype = self._dtype()
        try:
            with tf.init_scope():
                found = tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec(shape, dtype)).outputs[0]
                if found.shape.rank is not None and found.shape[-1] is not None:
                    return tuple(found.shape)
                return None, *run(tf.zeros([1, *shape[1:]], dtype)).shape[1:]
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise InputError(
                f"{self.name} does not take inputs of the shape {shape}: {str(error).splitlines()[0]}",
                hint=self._size_mend(),
            ) from error

    def _size_mend(self) -> str:
        size = saved_model.stated_size(self._loaded())
        if size is None:
            return "Give it what it was made for, mostly images of [height, width, 3]."
        return "Put a keras.layers.Resizing({}, {}) before it.".format(*size)


def open_module(handle: Any, *, output: str | None, trust: bool) -> HubModule:
    """Load a module, or take one that is loaded.

    Args:
        handle: A SavedModel's folder, a URL, or what `tf.saved_model.load` gave.
        output: A signature, or one of several outputs.
        trust: Load a module that does more than compute, too.

    Raises:
        ModelError: It can't be fetched, loaded or called, or is not trusted.
    """
    if isinstance(handle, HubModule):
        return handle
    if not isinstance(handle, str | Path):
        call = saved_model.call_of(handle, output)
        return HubModule(name=type(handle).__name__.strip("_"), call=call, weights=_weights(call))
    handle = str(handle)
    folder = hub.fetch(handle) if "://" in handle else Path(handle).absolute()
    return open_folder(folder, handle=handle, output=output, trust=trust)


def open_folder(folder: Path, *, handle: str, output: str | None, trust: bool, how: str = _HOW) -> HubModule:
    """Load a module that lies in a local folder, whatever handle led to it.

    Args:
        folder: Holds its files.
        handle: What was typed to get it.
        output: A signature, or one of several outputs.
        trust: Load it though it does more than compute.
        how: What to type to have it trusted.

    Raises:
        ModelError: It can't be loaded or called, or is not trusted.
    """
    name = hub.name_of(handle) if "://" in handle else saved_model.name_of(Path(handle))
    if not trust and saved_model.has_model(folder):
        check_only_computes(folder, name=name, how=how)
    call = saved_model.load_call(folder, name=name, output=output, trust=True)
    return HubModule(
        name=name,
        handle=handle,
        fingerprint=fingerprint.of_saved_model(folder),
        folder=folder,
        call=call,
        weights=_weights(call),
    )


def is_module(folder: Path, wanted: str) -> bool:
    """Tell whether a folder holds the module of a fingerprint."""
    return saved_model.has_model(folder) and fingerprint.of_saved_model(folder) == wanted


def _weights(call: saved_model.Call) -> tuple[Weight, ...]:
    """List the module's variables: as it lists them itself, else as its graphs name them."""
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
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, -1) + 1
        unique.append(f"{name}_{seen[name]}" if seen[name] else name)
    return unique


def check_trains(module: HubModule) -> None:
    """Refuse to train what has nothing that trains.

    Raises:
        InputError: It is such a module.
    """
    if not any(weight.is_trainable for weight in module.weights):
        raise InputError(
            f"{module.name} has no variables that train: it is a frozen graph, or called by a signature.",
            hint="Leave it frozen, with trainable=False, or take a TF2 module whose variables are live.",
        )


def choose_weights(module: HubModule, trainable: bool | str | Sequence[str]) -> set[str]:
    """Choose the weights that train while the layer is trainable.

    Args:
        module: Has the weights.
        trainable: A switch, `all`, or names and patterns with `*`, `?` and `[...]`.

    Returns:
        Their names; with False those that would train if the layer were made trainable later.

    Raises:
        InputError: A name or pattern is that of no trainable weight, or there is none to train.
    """
    names = [weight.name for weight in module.weights if weight.is_trainable]
    if isinstance(trainable, bool) or trainable == "all":
        if trainable:
            check_trains(module)
        return set(names)
    patterns = [trainable] if isinstance(trainable, str) else trainable
    found = {pattern: {name for name in names if name == pattern or fnmatchcase(name, pattern)} for pattern in patterns}
    if not patterns or not all(found.values()):
        raise _refusal(module, [pattern for pattern, those in found.items() if not those], names)
    return set().union(*found.values())


def _refusal(module: HubModule, patterns: list[str], names: list[str]) -> InputError:
    step = max(1, len(names) // _N_NAMES_SHOWN)
    statistics = [weight.name for weight in module.weights if weight.name in patterns]
    why = f" ({', '.join(statistics)} is there and does not train)" if statistics else ""
    return InputError(
        f"No trainable variable of {module.name} is named {', '.join(patterns) or 'in an empty list'}{why}.",
        hint=f"It has {len(names)}, among them: {', '.join(names[::step][:_N_NAMES_SHOWN]) or 'none'}."
        " HubLayer(...).variable_names lists all; trainable=False trains none.",
    )
