"""`frieze.export`: backbone and head in one model, a SavedModel or an ONNX file; and tables for other programs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from frieze import core, terminal
from frieze import features as stored
from frieze.api.export_builtin import export_built_in
from frieze.api.export_folder import N_SAMPLES, check_out, count_bytes, write_document
from frieze.api.export_onnx import check_onnx, write_onnx
from frieze.api.export_samples import ExportSamples
from frieze.api.exports.formats import TABLE_FORMATS, export_table
from frieze.api.folder_kinds import check_kind, folder_kind
from frieze.api.paths import is_url, to_local_path

if TYPE_CHECKING:
    from frieze.classifiers import Head
    from frieze.embedder import Backbone

_BUILT_IN, _SAVED_MODEL = "builtin", "savedmodel"


def export(
    head: str | Path,
    *,
    out: str | Path,
    format: str = _SAVED_MODEL,  # noqa: A002  the option's own name
    predictions: str | Path | None = None,
    vectors: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Write a head with its backbone as a model that runs without Frieze, or a table of features for other programs.

    A SavedModel has preprocessing, backbone and head in one, and needs TensorFlow alone. A head's model has three
    signatures: `serving_default` takes `image_bytes`, string [N], and `pixels` takes `pixels`, uint8 [N, H, W, 3] of
    any size. Both return `probabilities`, float32 [N, C], and `prediction`, string [N]. `network`, for conversion to
    TFLite, ONNX and OpenVINO, takes `pixels`, uint8 [N, H, W, 3] of the network's input size, and returns
    `probabilities` alone. Before the model appears at `out` it is loaded again and compared with the head. `builtin`
    exports the built-in backbone alone as a TensorFlow Hub module. An ONNX file takes `pixels` as `network` does and
    returns `probabilities`; it is checked in the same way, by ONNX Runtime.

    Args:
        head: The head's folder, or `builtin`; for the format of a table the folder of a table of features.
        out: Folder of the SavedModel, or the ONNX file; for the format of a table its file or folder.
        format: `savedmodel`, or `onnx` (pip install 'frieze[onnx]'), also of a head on an ONNX backbone; of a table
            `csv`, a file of ids, labels and all other columns; `datasets`, a Parquet file for the library `datasets`;
            `embedding-atlas`, one with points, neighbours and small pictures; `fiftyone`, a folder that FiftyOne
            imports; `lance`, a folder for LanceDB (pip install 'frieze[lance]').
        predictions: Of a table: a head, whose predictions become the columns `prediction`, `probability` and, where it
            abstains, `abstained`.
        vectors: Of `csv`: add the vectors, as columns `embedding_0`, `embedding_1` and so on; others have them.
        force: Replace an existing export; anything else stays.

    Returns:
        `out`, `format`, `head` (its kind), `backbone`, `classes`, `checked` (images), `largest_difference` of a
        probability between the two, in [0, 1], `bytes`, `seconds`, and `stale` as in `evaluate`; for `builtin` `out`,
        `backbone`, `dim`, `checked`, `least_cosine` between the two, `bytes` and `seconds`. Of a table `out`, `format`,
        `rows`, `opened_by` (what to type), `bytes`, `notes`, `seconds`, and `stale` of the head that predicts.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    if format in TABLE_FORMATS:
        return export_table(head, to_local_path(out), format, predictions=predictions, vectors=vectors, force=force)
    _check_of_model(head, format, predictions=predictions, vectors=vectors)
    if str(head) == _BUILT_IN and not Path(head).exists():
        return _export_built_in(to_local_path(out), format, force=force)
    return _export_model(head, to_local_path(out), format, force=force)


def _check_of_model(head: str | Path, format_name: str, **of_tables: Any) -> None:
    """Check what is asked for in the format of a model.

    Raises:
        InputError: There is no such format, an option of tables is given, or `head` is a table.
    """
    if format_name not in MODEL_FORMATS:
        names = ", ".join([*MODEL_FORMATS, *TABLE_FORMATS])
        raise core.InputError(f"There is no format {format_name}.", hint=f"Use one of: {names}.")
    hint = f"Name the format of a table with `format`: {', '.join(TABLE_FORMATS)}."
    for name, value in of_tables.items():
        if value:
            raise core.InputError(
                f"`{name}` is for exports of tables, and `format={format_name!r}` is a model.", hint=hint
            )
    if not is_url(head) and folder_kind(to_local_path(head)) == "features":
        raise core.InputError(f"{head} is a table of features; expected a head.", hint=hint)


def _export_built_in(out: Path, format_name: str, *, force: bool) -> dict[str, Any]:
    if format_name != _SAVED_MODEL:
        raise core.InputError(
            f"The built-in backbone alone is exported as a SavedModel, not as {format_name}.",
            hint="Leave `format` out, or export a head, which brings its backbone along.",
        )
    return export_built_in(out, force=force)


def _export_model(head: str | Path, out: Path, format_name: str, *, force: bool) -> dict[str, Any]:
    import frieze.classifiers
    import frieze.embedder

    started, model_format = time.perf_counter(), MODEL_FORMATS[format_name]
    check_kind(to_local_path(head), "head")
    model_format.check(out, force=force)
    opened = frieze.classifiers.open_head(to_local_path(head))
    hint = "Embed the images with a backbone, and train on that."
    stored.check_can_embed(opened.spec, where=str(head), hint=hint)
    with terminal.spinner("Exporting"):
        backbone = frieze.embedder.reopen_backbone(opened.spec, where=str(head))
        checks = model_format.write(opened, backbone, out, force=force)
    return checks | {
        "out": str(out),
        "format": format_name,
        "head": opened.document["head"],
        "classes": opened.classes.tolist(),
        "backbone": opened.spec.name,
        "bytes": count_bytes(out),
        "stale": opened.staleness(),
        "seconds": time.perf_counter() - started,
    }


def _write_saved_model(head: "Head", backbone: "Backbone", out: Path, *, force: bool) -> dict[str, Any]:
    """Write a SavedModel that gives the probabilities of the head; return `checked` and `largest_difference`."""
    with core.new_folder(out, replace=force) as folder:
        _write(folder, head, backbone)
        checks = {"checked": N_SAMPLES, "largest_difference": _check(folder, head, backbone, out)}
        fields = {"head": head.document["head"], "classes": head.classes.tolist(), **checks}
        sources = {"backbone": head.spec.to_json(), "features": head.document["features"]}
        write_document(folder, sources | fields)
    return checks


def _write(folder: Path, head: "Head", backbone: "Backbone") -> None:
    tf = core.import_tensorflow()
    module = tf.Module()
    module.functions = _functions(head, backbone)
    # A frozen network has constants where the gradients of its activations expect tensors.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    try:
        tf.saved_model.save(module, str(folder), signatures=dict(module.functions), options=options)
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise core.ModelError(
            f"{head.path} with {head.spec.name} can't be written as one SavedModel: {str(error).splitlines()[0]}",
            hint=f"Free some space if the disk is full; else use the head itself: frieze predict {head.path} SOURCE"
            " --out FILE.parquet",
        ) from error


def _functions(head: "Head", backbone: "Backbone") -> dict[str, Any]:
    """Return the model's signatures by name: TensorFlow functions from images to probabilities.

    `network` has no strings and no operations that decode or resize, which other formats lack.
    """
    import frieze.embedder

    tf = core.import_tensorflow()
    network = frieze.embedder.freeze_with(backbone, head.as_function())

    def predict(pixels: Any) -> dict[str, Any]:
        (probabilities,) = network(pixels=pixels)
        names = tf.constant(head.classes.tolist())
        return {"probabilities": probabilities, "prediction": tf.gather(names, tf.argmax(probabilities, axis=1))}

    files = tf.TensorSpec([None], tf.string, name="image_bytes")
    images = tf.TensorSpec([None, None, None, 3], tf.uint8, name="pixels")
    resized = tf.TensorSpec([None, *head.spec.image_size, 3], tf.uint8, name="pixels")
    functions = {
        "serving_default": (files, lambda image_bytes: predict(frieze.embedder.decode_batch(image_bytes, head.spec))),
        "pixels": (images, lambda pixels: predict(frieze.embedder.fit_batch(pixels, head.spec))),
        "network": (resized, lambda pixels: {"probabilities": network(pixels=pixels)[0]}),
    }
    return {name: tf.function(function, [spec], autograph=False) for name, (spec, function) in functions.items()}


def _check(folder: Path, head: "Head", backbone: "Backbone", out: Path) -> float:
    """Compare the written model with the head, in all signatures, on images of the network's input size.

    Returns:
        The largest difference of a probability.

    Raises:
        ModelError: One is too large, or another class is predicted.
    """
    tf = core.import_tensorflow()
    samples = ExportSamples(head, backbone, out)
    signatures = tf.saved_model.load(str(folder)).signatures
    labelled = (
        signatures["pixels"](pixels=tf.constant(samples.pixels)),
        signatures["serving_default"](image_bytes=tf.constant(samples.files)),
    )
    outputs = (*labelled, signatures["network"](pixels=tf.constant(samples.pixels)))
    probabilities = [one["probabilities"].numpy() for one in outputs]
    return samples.check(probabilities, [[name.decode() for name in one["prediction"].numpy()] for one in labelled])


class _ModelFormat(NamedTuple):
    """A format of models.

    Attributes:
        check: (out, force) -> nothing; raises an InputError where `out` can't be written.
        write: (head, backbone, out, force) -> `checked` and `largest_difference`.
    """

    check: Callable[..., None]
    write: Callable[..., dict[str, Any]]


MODEL_FORMATS = {
    _SAVED_MODEL: _ModelFormat(check_out, _write_saved_model),
    "onnx": _ModelFormat(check_onnx, write_onnx),
}
"""Name -> format of a model."""
