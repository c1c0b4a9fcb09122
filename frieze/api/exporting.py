"""`frieze.export`: preprocessing, backbone and head in one SavedModel; and tables for other programs."""

import dataclasses
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieze import core, terminal
from frieze import features as stored
from frieze.api.export_builtin import export_built_in
from frieze.api.export_folder import N_SAMPLES, check_out, count_bytes, draw_samples, write_document
from frieze.api.exports.formats import TABLE_FORMATS, export_table
from frieze.api.folder_kinds import check_kind, folder_kind
from frieze.api.paths import is_url, scratch_folder, to_local_path

if TYPE_CHECKING:
    import numpy as np

    from frieze.classifiers import Head
    from frieze.embedder import Backbone

_BUILT_IN, _MODEL = "builtin", "savedmodel"
_TOLERANCE = 1e-3  # of a probability: another order of summation changes one by far less, another network by far more


def export(
    head: str | Path,
    *,
    out: str | Path,
    format: str = _MODEL,  # noqa: A002  the option's own name
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
    exports the built-in backbone alone as a TensorFlow Hub module.

    Args:
        head: The head's folder, or `builtin`; for the format of a table the folder of a table of features.
        out: Folder of the SavedModel; for the format of a table its file or folder.
        format: `savedmodel`; of a table `csv`: a file of ids, labels and all other columns.
        predictions: Of a table: a head, whose predictions become the columns `prediction`, `probability` and, where it
            abstains, `abstained`.
        vectors: Of a table: add the vectors, as columns `embedding_0`, `embedding_1` and so on.
        force: Replace an existing export; anything else stays.

    Returns:
        `out`, `head` (its kind), `backbone`, `classes`, `checked` (images), `largest_difference` of a probability
        between the two, in [0, 1], `bytes`, `seconds`, and `stale` as in `evaluate`; for `builtin` `out`, `backbone`,
        `dim`, `checked`, `least_cosine` between the two, `bytes` and `seconds`. Of a table `out`, `format`, `rows`,
        `opened_by` (what to type), `bytes`, `notes`, `seconds`, and `stale` of the head that predicts.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    if format in TABLE_FORMATS:
        return export_table(head, to_local_path(out), format, predictions=predictions, vectors=vectors, force=force)
    _check_of_model(head, format, predictions=predictions, vectors=vectors)
    return _export_model(head, to_local_path(out), force=force)


def _check_of_model(head: str | Path, format_name: str, **of_tables: Any) -> None:
    """Check what is asked for in the format of a model.

    Raises:
        InputError: There is no such format, an option of tables is given, or `head` is a table.
    """
    if format_name != _MODEL:
        names = ", ".join([_MODEL, *TABLE_FORMATS])
        raise core.InputError(f"There is no format {format_name}.", hint=f"Use one of: {names}.")
    hint = f"Name the format of a table with `format`: {', '.join(TABLE_FORMATS)}."
    for name, value in of_tables.items():
        if value:
            raise core.InputError(
                f"`{name}` is for exports of tables, and `format={format_name!r}` is a model.", hint=hint
            )
    if not is_url(head) and folder_kind(to_local_path(head)) == "features":
        raise core.InputError(f"{head} is a table of features; expected a head.", hint=hint)


def _export_model(head: str | Path, model_path: Path, *, force: bool) -> dict[str, Any]:
    import frieze.classifiers
    import frieze.embedder

    started = time.perf_counter()
    if str(head) == _BUILT_IN and not Path(head).exists():
        return export_built_in(model_path, force=force)
    check_kind(to_local_path(head), "head")
    check_out(model_path, force=force)
    opened = frieze.classifiers.open_head(to_local_path(head))
    hint = "Embed the images with a backbone, and train on that."
    stored.check_can_embed(opened.spec, where=str(head), hint=hint)
    with terminal.spinner("Exporting"):
        backbone = frieze.embedder.reopen_backbone(opened.spec, where=str(head))
        with core.new_folder(model_path, replace=force) as folder:
            _write(folder, opened, backbone)
            checks = {"checked": N_SAMPLES, "largest_difference": _check(folder, opened, backbone, model_path)}
            fields = {"head": opened.document["head"], "classes": opened.classes.tolist(), **checks}
            sources = {"backbone": opened.spec.to_json(), "features": opened.document["features"]}
            write_document(folder, sources | fields)
    return fields | {
        "out": str(model_path),
        "backbone": opened.spec.name,
        "bytes": count_bytes(model_path),
        "stale": opened.staleness(),
        "seconds": time.perf_counter() - started,
    }


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
    import numpy as np

    tf = core.import_tensorflow()
    pixels = draw_samples(head.spec.image_size)
    files = [_to_png(one) for one in pixels]
    expected = head.probabilities(_embed(files, backbone, out))
    signatures = tf.saved_model.load(str(folder)).signatures
    labelled = (
        signatures["pixels"](pixels=tf.constant(pixels)),
        signatures["serving_default"](image_bytes=tf.constant(files)),
    )
    outputs = (*labelled, signatures["network"](pixels=tf.constant(pixels)))
    difference = float(max(np.abs(one["probabilities"].numpy() - expected).max() for one in outputs))
    are_same = all(_predicts_the_same(one["prediction"].numpy(), head, expected) for one in labelled)
    if not (difference <= _TOLERANCE and are_same):
        raise core.ModelError(
            f"The exported model is not {head.path}: on {len(pixels)} images its probabilities differ by up to"
            f" {difference:.2g} (at most {_TOLERANCE} is allowed){'' if are_same else ', and its predictions too'}.",
            hint=f"Nothing was written. Use the head itself: frieze predict {head.path} SOURCE --out FILE.parquet",
        )
    return difference


def _predicts_the_same(names: "np.ndarray", head: "Head", expected: core.Floats) -> bool:
    """Return whether the predicted classes are the head's; of equal probabilities either may win."""
    columns = {name.encode(): column for column, name in enumerate(head.classes)}
    of_names = [row[columns[name]] if name in columns else -1.0 for name, row in zip(names, expected, strict=True)]
    return bool((expected.max(axis=1) - of_names <= _TOLERANCE).all())


def _to_png(pixels: "np.ndarray") -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _embed(files: list[bytes], backbone: "Backbone", out: Path) -> core.Floats:
    """Embed as `embed` does, but always in float32, as the exported model does."""
    import frieze.embedder

    exact = dataclasses.replace(backbone, spec=dataclasses.replace(backbone.spec, precision="float32"))
    with scratch_folder(out) as folder:
        paths = [folder / f"{number}.png" for number in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        return frieze.embedder.embed_images(paths, exact)
