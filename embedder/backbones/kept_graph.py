"""Kept graphs: networks as OpenVINO IR in the user's cache, so that inference on a CPU does not load TensorFlow.

A graph belongs to one network, by the sha256 of its files, and to one input size and range of pixels; precision, fit
and decoding do not change it.
"""

import contextlib
import dataclasses
import datetime as dt
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import platformdirs

from frieze.core import (
    FeatureFileError,
    check_own_checksum,
    find_altered_files,
    has_checksums,
    new_folder,
    read_json,
    write_with_checksums,
)
from frieze.embedder.backbones.base import Backbone, StatedPixels
from frieze.embedder.backbones.catalogue import BUILTIN, BUILTIN_FILE, KERASHUB
from frieze.embedder.backbones.fingerprint import fingerprint_of_files
from frieze.embedder.backbones.keras_applications import PREFIX
from frieze.embedder.backbones.request import ONNX, BackboneRequest
from frieze.features import BackboneSpec

CONTRACT = 1
DOCUMENT, MODEL = "graph.json", "model.xml"
SHIPPED = BUILTIN_FILE.with_suffix(".graph")
"""The graph of `builtin`, which comes with the package."""
_VERSIONS = ("frieze", "openvino", "tensorflow", "keras", "keras-hub")
_LISTED = ("name", "handle", "layer", "image_size", "pixels", "drift", "versions")
_LARGEST_BYTES, _OLDEST_S = 4 << 30, 90 * 86_400
"""All graphs together take at most so much; one that was not used for so long is deleted."""


@dataclasses.dataclass(frozen=True)
class KeptGraph:
    """A kept graph.

    Attributes:
        path: The IR: uint8 [B, H, W, 3] -> float32 [B, D].
        document: The content of its graph.json.
    """

    path: Path
    document: dict[str, Any]

    @property
    def drift(self) -> dict[str, Any]:
        """Distance of its embeddings from TensorFlow's in float32, measured when it was written."""
        return dict(self.document["drift"])

    @property
    def stated_pixels(self) -> StatedPixels:
        """The pixel range that the network itself declares."""
        return StatedPixels(*self.document["stated_pixels"])

    def to_spec(self, request: BackboneRequest) -> BackboneSpec:
        """Return the spec of the network with the options of a request."""
        one = self.document
        size = (one["image_size"][0], one["image_size"][1])
        spec = make_spec(one["name"], one["handle"], one["fingerprint"], one["dim"], size, one["pixels"], request)
        return dataclasses.replace(spec, text_encoder=one.get("text_encoder"))

    def fits(self, request: BackboneRequest) -> bool:
        """Return whether it has the input size and range of pixels of a request."""
        size, pixels = self.document["image_size"], self.document["pixels"]
        is_size = size == (self.document["default_size"] if request.size is None else list(request.size))
        return bool(is_size and pixels == (request.pixels or self.stated_pixels.name))


def make_spec(  # noqa: PLR0913, PLR0917  a network's facts
    name: str,
    handle: str,
    fingerprint: str,
    dim: int,
    size: tuple[int, int],
    pixels: str,
    request: BackboneRequest,
) -> BackboneSpec:
    """Return the spec of a network that was opened with the options of a request."""
    return BackboneSpec(
        name=name,
        handle=handle,
        fingerprint=fingerprint,
        dim=dim,
        image_size=size,
        fit=request.fit,
        pixels=pixels,
        layer=request.layer,
        pool=request.pool,
        weights=request.weights if request.weights_path is None else str(request.weights_path),
        precision=request.precision,
        decoding=request.decoding,
    )


def cache_dir() -> Path:
    """Return the folder of kept graphs, one below the user's cache; one that can't exist for a user without a home."""
    try:
        return platformdirs.user_cache_path("frieze") / "graphs"
    except RuntimeError:
        return Path(os.devnull) / "graphs"


def find_graph(request: BackboneRequest, fingerprint: str | None) -> KeptGraph | None:
    """Return the kept graph of a request, its bytes checked; None where there is none.

    A network that was changed has no graph. Nothing is kept of an untrusted network that was run with trust, nor of a
    URL whose module lies in no cache that we know.

    Args:
        request: The requested backbone.
        fingerprint: From `fingerprint_of_files`.
    """
    if request.trust or importlib.util.find_spec("openvino") is None:
        return None
    shipped = [SHIPPED] if request.handle == BUILTIN and request.layer is request.pool is None else []
    graphs = (_open(folder) for folder in (*shipped, *_graphs_of(_network_folder(request, fingerprint))))
    for graph in graphs:
        if graph is not None and graph.fits(request) and fingerprint in (None, graph.document["fingerprint"]):
            return graph
    return None


def has_graph(spec: BackboneSpec) -> bool:
    """Return whether a stored backbone starts without TensorFlow: its graph is kept, or OpenVINO reads its file."""
    request = BackboneRequest.of(spec)
    fingerprint = fingerprint_of_files(request)
    if request.handle.endswith(ONNX):
        return fingerprint == spec.fingerprint
    return find_graph(request, fingerprint) is not None


def graph_folder(backbone: Backbone) -> Path | None:
    """Return the folder of a backbone's graph in the cache; None where it must not be kept.

    That is where it was run with trust, or its files are not known or were changed while it was loaded.
    """
    spec, request = backbone.spec, backbone.request
    if request is None or request.trust:
        return None
    fingerprint = fingerprint_of_files(request)
    if fingerprint is None and not _is_name(request.handle):
        return None
    is_just_downloaded = "://" in request.handle and backbone.files_before is None
    before = fingerprint if is_just_downloaded else backbone.files_before
    if fingerprint is not None and not fingerprint == before == spec.fingerprint:
        return None
    return _network_folder(request, fingerprint) / "{}x{} {}".format(*spec.image_size, spec.pixels)


def _is_name(handle: str) -> bool:
    """Return whether a name stands for the same network as long as our libraries stay: their versions name it, too."""
    return handle.startswith((PREFIX, KERASHUB)) and "://" not in handle


def store_graph(backbone: Backbone, folder: Path, drift: dict[str, Any], write: Callable[[Path], None]) -> None:
    """Keep the graph of a backbone; delete those that were not used for long, or exceed the limit of all.

    Args:
        backbone: The backbone.
        folder: From `graph_folder`.
        drift: Distance of its embeddings from TensorFlow's, from `measure_drift`.
        write: Writes the IR to a path.

    Raises:
        FeatureFileError: The disk is full or the cache can't be written.
    """
    spec = backbone.spec
    with new_folder(folder, replace=True) as staging:
        write(staging / MODEL)
        document = {
            "contract": CONTRACT,
            "kind": "graph",
            "name": spec.name,
            "handle": spec.handle,
            "layer": spec.layer,
            "fingerprint": spec.fingerprint,
            "dim": spec.dim,
            "image_size": list(spec.image_size),
            "default_size": backbone.default_size and list(backbone.default_size),
            "pixels": spec.pixels,
            "text_encoder": spec.text_encoder,
            "stated_pixels": list(dataclasses.astuple(backbone.stated_pixels)),
            "drift": drift,
            "versions": _versions(),
        }
        write_with_checksums(staging, DOCUMENT, document)
    _clean()


def is_writable() -> bool:
    """Return whether graphs can be kept here: a user may have no folder for caches."""
    with contextlib.suppress(OSError):
        cache_dir().mkdir(parents=True, exist_ok=True)
        return os.access(cache_dir(), os.W_OK)
    return False


def list_graphs() -> list[dict[str, Any]]:
    """List the kept graphs, the one that was used last first."""
    folders = [graph for network in _children(cache_dir()) for graph in _graphs_of(network)]
    graphs = [graph for graph in map(_open_unchecked, folders) if graph is not None]
    rows = [
        {name: graph.document[name] for name in _LISTED}
        | {"bytes": _count_bytes(graph.path.parent), "used": _to_text(_used_at(graph.path.parent))}
        for graph in graphs
    ]
    return sorted(rows, key=lambda row: str(row["used"]), reverse=True)


def clear_graphs() -> None:
    """Delete all kept graphs."""
    shutil.rmtree(cache_dir().resolve(), ignore_errors=True)


def _open(folder: Path) -> KeptGraph | None:
    """Open a graph whose files are as they were written; note its use."""
    graph = _open_unchecked(folder)
    if graph is None or find_altered_files(folder, graph.document):
        return None
    if folder != SHIPPED:
        with contextlib.suppress(OSError):
            os.utime(folder / DOCUMENT)
    return graph


def _open_unchecked(folder: Path) -> KeptGraph | None:
    try:
        document = read_json(folder / DOCUMENT, hint="")
        if document.get("contract") != CONTRACT or not has_checksums(document):
            return None
        check_own_checksum(folder / DOCUMENT, document, hint="")
    except FeatureFileError:
        return None
    return KeptGraph(folder / MODEL, document)


def _network_folder(request: BackboneRequest, fingerprint: str | None) -> Path:
    """Return the folder of a network's graphs: its files, or for a named network its name, and our libraries decide."""
    options = request.to_json()
    parts = [options["handle"], options["weights"], options["layer"], fingerprint, _versions()]
    parts += [request.pool] if request.pool else []
    return cache_dir() / hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _versions() -> dict[str, str]:
    versions = {}
    for name in _VERSIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # installed under another name
            versions[name] = importlib.metadata.version(name)
    return versions


def _graphs_of(network: Path) -> Iterator[Path]:
    """Yield the folders of a network's graphs, but for one that is being written: its name begins with a dot."""
    return (path for path in _children(network) if path.name[0] != "." and os.path.isfile(path / DOCUMENT))  # noqa: PTH113  false where it may not be read


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _count_bytes(folder: Path) -> int:
    with contextlib.suppress(OSError):  # another process deletes it
        return sum(path.stat().st_size for path in _children(folder))
    return 0


def _to_text(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def _used_at(folder: Path) -> float:
    with contextlib.suppress(OSError):  # another process deletes it
        return (folder / DOCUMENT).stat().st_mtime
    return 0.0


def _clean() -> None:
    """Delete graphs that were not used for long, and the oldest beyond the limit."""
    graphs = sorted(
        (graph for network in _children(cache_dir()) for graph in _graphs_of(network)), key=_used_at, reverse=True
    )
    total = 0
    for graph in graphs:
        total += _count_bytes(graph)
        if total > _LARGEST_BYTES or time.time() - _used_at(graph) > _OLDEST_S:
            shutil.rmtree(graph, ignore_errors=True)
