"""Opens a backbone by its handle."""

import dataclasses
import difflib
import functools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frieze.core import InputError, ModelError, import_tensorflow
from frieze.embedder.backbones.base import Backbone, Network, StatedPixels
from frieze.embedder.backbones.batch_dependence import probe_network
from frieze.embedder.backbones.builtin import open_builtin
from frieze.embedder.backbones.catalogue import APPLICATIONS, BUILTIN, BUILTIN_MODEL, BUILTIN_NAME, KERASHUB
from frieze.embedder.backbones.fingerprint import fingerprint_of_files
from frieze.embedder.backbones.hub_download import open_remote
from frieze.embedder.backbones.in_program import PREFIX as PROGRAM_PREFIX
from frieze.embedder.backbones.in_program import open_registered
from frieze.embedder.backbones.kept_graph import KeptGraph, find_graph, make_spec
from frieze.embedder.backbones.keras_applications import PREFIX, open_application, to_row
from frieze.embedder.backbones.keras_file import open_keras_file
from frieze.embedder.backbones.kerashub import open_preset
from frieze.embedder.backbones.onnx_file import open_onnx_file
from frieze.embedder.backbones.open_text_encoder import describe_text_encoder
from frieze.embedder.backbones.pooling import POOLS, pool_tensor
from frieze.embedder.backbones.request import MODEL_FILES, ONNX, PRECISIONS, BackboneRequest
from frieze.embedder.backbones.saved_model import check_listed_files, open_saved_model
from frieze.embedder.backbones.views import VIEWS, average_views
from frieze.embedder.images.resize import FITS, PIXELS
from frieze.features import BackboneSpec, check_same_backbone

_SIDE_PX = 224
"""Default side for modules whose graph takes any size and whose name has none: most were trained at it."""


_TORCH = (
    "Write it as ONNX with torch.onnx.export, as docs/howto.md shows, then: `backbone={onnx_as_text}`. Or embed with"
    " PyTorch, save the vectors with numpy.save, and type: frieze import VECTORS.npy --out FEATURES"
)
_PACKED = "Unpack it, and give the folder that holds saved_model.pb: mkdir {folder}; {unpack} {path} {into} {folder}"

_ADVICE = {
    **dict.fromkeys((".pt", ".pth", ".pth.tar", ".safetensors", ".ckpt", ".bin"), _TORCH),
    ".tflite": "A TFLite file can't be converted back: give the SavedModel or .keras file that it was made from.",
    ".pb": "Give the folder of the SavedModel, not the file in it: `backbone={parent_as_text}`",
    ".json": "This is a network without its weights: save both with model.save('NAME.keras').",
    **dict.fromkeys((".tar.gz", ".tgz", ".tar"), _PACKED.replace("{unpack}", "tar xf").replace("{into}", "-C")),
    ".zip": _PACKED.replace("{unpack}", "unzip").replace("{into}", "-d"),
}
"""Suffix of a model file of another framework -> how to convert it; the longest match wins."""


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A kind of backbone: how its handles look, and the function that opens them."""

    matches: Callable[[str], bool]
    open: Callable[[BackboneRequest], Network]


_KINDS = (
    _Kind(lambda handle: handle == BUILTIN, open_builtin),
    _Kind(lambda handle: handle.startswith(PREFIX), open_application),
    _Kind(lambda handle: handle.startswith(KERASHUB), open_preset),
    _Kind(lambda handle: handle.startswith(PROGRAM_PREFIX), open_registered),
    _Kind(lambda handle: "://" in handle, open_remote),
    _Kind(lambda handle: Path(handle).is_dir(), open_saved_model),
    _Kind(lambda handle: handle.endswith(MODEL_FILES), open_keras_file),
    _Kind(lambda handle: handle.endswith(ONNX), open_onnx_file),
)


def open_backbone(request: BackboneRequest) -> Backbone:
    """Open a backbone; TensorFlow is loaded only where no graph of it was kept by an earlier run.

    Args:
        request: The requested backbone.

    Returns:
        The backbone, and the spec that decides its embeddings.

    Raises:
        ModelError: The backbone can't be found, loaded or understood.
        InputError: An option does not fit it.
    """
    _check(request)
    fingerprint = fingerprint_of_files(request)
    graph = find_graph(request, fingerprint)
    backbone = _load(request, fingerprint) if graph is None else _of_graph(graph, request)
    if request.text_encoder is None:
        return backbone
    described = describe_text_encoder(request.text_encoder, dim=backbone.spec.dim)
    return dataclasses.replace(backbone, spec=dataclasses.replace(backbone.spec, text_encoder=described))


def _of_graph(graph: KeptGraph, request: BackboneRequest) -> Backbone:
    """Return the backbone of a kept graph, which loads itself in TensorFlow where more is needed than inference.

    Raises:
        FeatureFileError: It is a model that Frieze wrote, and a file of it was altered.
    """
    if Path(request.handle).is_dir():
        check_listed_files(Path(request.handle).absolute())
    load = functools.cache(lambda: load_backbone(request))

    def call(images: Any) -> Any:
        with import_tensorflow().init_scope():  # not into the graph that is being traced
            loaded = load()
        return loaded.call(images)

    return Backbone(
        graph.to_spec(request),
        call,
        lambda: load().model,
        lambda: graph.stated_pixels,
        request.pixels is not None,
        request,
        graph_path=graph.path,
        graph_drift=graph.drift,
    )


def load_backbone(request: BackboneRequest) -> Backbone:
    """Load a backbone itself, in TensorFlow as a rule, not its kept graph."""
    return _load(request, fingerprint_of_files(request))


def _load(request: BackboneRequest, files_before: str | None) -> Backbone:
    kind = next((kind for kind in _KINDS if kind.matches(request.handle)), None)
    if kind is None:
        raise ModelError(
            f"{request.handle} is no backbone: no name, URL, SavedModel folder, .keras or .onnx file.",
            hint=conversion_hint(Path(request.handle)) or f"{_suggest(request.handle)}See: frieze backbones",
        )
    network = kind.open(request)
    size = request.size or network.image_size or (_SIDE_PX, _SIDE_PX)
    stated = StatedPixels() if request.pixels else network.read_pixels()
    pixels = request.pixels or _require_pixels(stated, network)
    graph = None if network.to_openvino is None else network.to_openvino(size, pixels)
    call = average_views(_images_to_embeddings(network, pixels, request.pool), request.views)
    dim = _try_out(call, network, size, is_known=request.has_known_pixels) if graph is None else graph.dim
    spec = make_spec(network.name, network.handle, network.fingerprint, dim, size, pixels, request)
    spec = dataclasses.replace(spec, text_encoder=network.text_encoder)
    is_pixels_explicit = request.pixels is not None
    read_pixels = network.read_pixels if is_pixels_explicit else lambda: stated
    default_size = size if request.size is None else None
    return Backbone(
        spec,
        call,
        network.model,
        read_pixels,
        is_pixels_explicit,
        request,
        files_before,
        default_size,
        openvino_graph=graph,
    )


def reopen_backbone(spec: BackboneSpec, *, where: str) -> Backbone:
    """Load the backbone behind stored embeddings.

    Args:
        spec: The stored spec.
        where: What stores the spec, for the message.

    Raises:
        ModelError: The backbone no longer exists.
        MismatchError: Another network has its handle now.
    """
    if Path(spec.handle).is_absolute() and not Path(spec.handle).exists():
        raise ModelError(
            f"{where} was made with {spec.handle}, which is not there.",
            hint="Put it back; or, if it was moved, embed with its new path, which embeds nothing anew, and type"
            " frieze index again, or frieze train with --force.",
        )
    backbone = open_backbone(BackboneRequest.of(spec))
    first = "Another Frieze made it:" if spec.handle == BUILTIN else f"Put the first one back at {spec.handle}, or"
    hint = f"{first} embed again."
    check_same_backbone(backbone.spec, spec, where=where, hint=hint)
    return backbone


def list_backbones() -> list[dict[str, Any]]:
    """List the named backbones: handle, width, input size, parameters and pixel range of each."""
    built_in = to_row(BUILTIN, BUILTIN_MODEL) | {"name": BUILTIN_NAME}
    return [built_in, *(to_row(PREFIX + name, application) for name, application in APPLICATIONS.items())]


def conversion_hint(path: Path) -> str | None:
    """Return how to convert a model file of another framework; None for an unknown extension.

    >>> conversion_hint(Path("nets/small.tflite"))
    "A TFLite file can't be converted back: give the SavedModel or .keras file that it was made from."
    """
    suffix = max((one for one in _ADVICE if path.name.lower().endswith(one)), key=len, default=None)
    if suffix is None:
        return None
    folder = path.parent / path.name[: -len(suffix)]
    names = {"path": path, "folder": folder}
    texts = {"onnx_as_text": repr(f"{folder}{ONNX}"), "parent_as_text": repr(str(path.parent))}
    return _ADVICE[suffix].format(**texts, **{name: shlex.quote(str(value)) for name, value in names.items()})


def _suggest(handle: str) -> str:
    handles = {BUILTIN: BUILTIN} | {name.lower(): f"{PREFIX}{name}" for name in APPLICATIONS}
    near = difflib.get_close_matches(handle.lower(), handles, n=1)
    return f"Did you mean {handles[near[0]]}? " if near else ""


def _check(request: BackboneRequest) -> None:
    is_application = request.handle.startswith(PREFIX)
    is_file = request.handle.endswith((*MODEL_FILES, ONNX)) and not Path(request.handle).is_dir()
    has_graph = not (request.has_known_pixels or is_file or request.handle.startswith(KERASHUB))
    if request.trust and not has_graph:
        raise InputError(
            f"`trust_backbone` does not go with {request.handle}: it runs only code of Frieze, Keras or OpenVINO.",
            hint="Leave `trust_backbone` out: it is for SavedModels.",
        )
    if request.weights is not None and not is_application:
        raise InputError(
            f"`weights` does not go with {request.handle}: its weights are in it.", hint="Leave `weights` out."
        )
    if request.pixels is not None and request.has_known_pixels:
        raise InputError(f"{request.handle} has its own preprocessing.", hint="Leave `pixels` out.")
    _ = request.size  # raises for an invalid one
    choices = (
        ("fit", request.fit, FITS),
        ("pool", request.pool, POOLS),
        ("pixels", request.pixels, PIXELS),
        ("precision", request.precision, PRECISIONS),
        ("views", request.views, VIEWS),
    )
    for option, value, table in choices:
        if value is not None and value not in table:
            raise InputError(f"Unknown `{option}`: {value}.", hint=f"Use one of: {', '.join(table)}.")


def _require_pixels(stated: StatedPixels, network: Network) -> str:
    """Return the declared pixel range, or raise: a range is never guessed."""
    if stated.name is None:
        names = list(PIXELS)
        raise ModelError(
            f"{network.handle} does not show what pixels it was trained on: none of its layers rescales them by known"
            " numbers.",
            hint=f"Set it with `pixels` {', '.join(names[:-1])} or {names[-1]}: a wrong range is a silent loss.",
        )
    return stated.name


def _images_to_embeddings(network: Network, pixels: str, pool: str | None) -> Callable[[Any], Any]:
    to_range = PIXELS[pixels]

    def embed(images: Any) -> Any:
        values = pool_tensor(network.call(to_range(images)), pool)
        return import_tensorflow().cast(values, "float32")

    return embed


def _try_out(call: Callable[[Any], Any], network: Network, size: tuple[int, int], *, is_known: bool) -> int:
    """Embed synthetic images: return the width, and raise if the network does not take the size."""
    tf = import_tensorflow()
    try:
        return probe_network(lambda images: call(tf.constant(images)), size, name=network.name, is_known=is_known)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ModelError(
            f"{network.name} can't embed images of {size[0]} x {size[1]} pixels: {str(error).splitlines()[0]}",
            hint=f"It was made for {_stated(network)}; set that size with `image_size`, or its output with `layer`.",
        ) from error


def _stated(network: Network) -> str:
    return "a size that it does not state" if network.image_size is None else "{} x {}".format(*network.image_size)
