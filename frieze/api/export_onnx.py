"""Backbone and head as one ONNX file."""

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import core
from frieze.api.export_folder import N_SAMPLES, describe_export
from frieze.api.export_samples import ExportSamples

if TYPE_CHECKING:
    from frieze.classifiers import Head
    from frieze.embedder import Backbone

_LIBRARIES = ("onnx", "onnxruntime", "tf2onnx")
_DOCUMENT, _CLASSES = "frieze", "classes"
"""Keys of the file's metadata: what it is as JSON, and the names of the classes as a JSON list."""
_SUFFIX = ".onnx"


def check_onnx(out: Path, *, force: bool) -> None:
    """Check that an ONNX file can be written.

    Raises:
        FeatureFileError: It can't, has another suffix, or `out` is something else than an exported model.
        InputError: A library is missing.
    """
    missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise core.InputError(
            f"An ONNX file is written with {' and '.join(missing)}, which can't be imported here.",
            hint="Type: pip install 'frieze[onnx]'",
        )
    core.check_writable(out, force=force)
    if out.suffix != _SUFFIX:
        raise core.FeatureFileError(
            f"{out} ends in {out.suffix or 'no suffix'}; expected {_SUFFIX}.",
            hint=f"Give a name that ends in {_SUFFIX}.",
        )
    if out.exists() and not _is_ours(out):
        raise core.FeatureFileError(
            f"{out} already exists and is not an exported model.",
            hint="Use another `out`: `force=True` replaces only an exported model.",
        )


def _is_ours(path: Path) -> bool:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError):
        return False
    return any(one.key == _DOCUMENT for one in model.metadata_props)


def write_onnx(head: "Head", backbone: "Backbone", out: Path, *, force: bool) -> dict[str, Any]:
    """Write a backbone with a head as an ONNX file, which appears once its outputs are those of the head.

    Args:
        head: The head.
        backbone: Its backbone.
        out: The file, checked by `check_onnx`.
        force: Not read: `check_onnx` has done so.

    Returns:
        `checked` (images) and `largest_difference` of a probability.

    Raises:
        ModelError: It can't be converted, or gives other probabilities.
    """
    del force
    import onnx

    import frieze.embedder

    model = frieze.embedder.to_onnx(backbone, head.as_function())
    document = describe_export({"backbone": head.spec.to_json(), "head": head.document["head"]})
    properties = {_DOCUMENT: document, _CLASSES: head.classes.tolist()}
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in properties.items()})
    samples = ExportSamples(head, backbone, out)
    differences = []

    def write(staging: Path) -> None:
        onnx.save(model, staging)
        differences.append(_check(staging, samples))

    with core.translate_io_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    core.write_file(out, write)
    return {"checked": N_SAMPLES, "largest_difference": differences[0]}


def _check(path: Path, samples: ExportSamples) -> float:
    """Run a written file by ONNX Runtime, and compare; return the largest difference of a probability."""
    import onnxruntime

    import frieze.embedder

    with core.muted():  # it warns of what it can't do on this machine
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    step = session.get_inputs()[0].shape[0]
    batches = [samples.pixels[i : i + step] for i in range(N_SAMPLES)] if step == 1 else [samples.pixels]
    names = [frieze.embedder.ONNX_OUTPUT]
    outputs = [session.run(names, {frieze.embedder.ONNX_INPUT: batch})[0] for batch in batches]
    probabilities = np.concatenate(outputs)
    classes = json.loads(session.get_modelmeta().custom_metadata_map[_CLASSES])
    return samples.check([probabilities], [[classes[column] for column in probabilities.argmax(axis=1)]])
