"""A head that leaves the house: preprocessing, backbone and head in one SavedModel."""

import dataclasses
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieze import core
from frieze import features as stored
from frieze import terminal as output
from frieze.api.export_builtin import export_built_in
from frieze.api.export_folder import N_SAMPLES, check_out, count_bytes, draw_samples, write_document
from frieze.api.folder_kinds import check_kind
from frieze.api.paths import scratch_folder, to_place

if TYPE_CHECKING:
    import numpy as np

    from frieze.classifiers import Head
    from frieze.embedder import Backbone

_BUILT_IN = "builtin"
_TOLERANCE = 1e-3  # of a probability: another order of sums moves one by far less, another network by far more


def export(head: str | Path, *, out: str | Path, force: bool = False) -> dict[str, Any]:
    """Write a head with its backbone and preprocessing as one SavedModel that needs TensorFlow alone.

    A head's model has three signatures: `serving_default` takes `image_bytes`, string [N], and `pixels` takes `pixels`,
    uint8 [N, H, W, 3] of any size. Both give `probabilities`, float32 [N, C], and `prediction`, string [N]. `network`,
    which TFLite, ONNX and OpenVINO can be made from, takes `pixels`, uint8 [N, H, W, 3] of the network's own size, and
    gives `probabilities` alone. It is loaded again and held against the head itself before it appears at `out`.
    `builtin` gives the built-in backbone alone, in the form of a TensorFlow Hub module, which `embed` and others'
    programs take as any other backbone.

    Args:
        head: The head's folder, or `builtin`.
        out: Folder of the SavedModel.
        force: Replace an exported model that is there; any other folder stays.

    Returns:
        `out`, `head` (its kind), `backbone`, `classes`, `checked` (images), `largest_difference` of a probability
        between the two, in [0, 1], `bytes`, `seconds`, and `stale` as `evaluate` has it; of `builtin` `out`,
        `backbone`, `dim`, `checked`, `least_cosine` between the two, `bytes` and `seconds`.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    import frieze.classifiers
    import frieze.embedder

    started = time.perf_counter()
    place = to_place(out)
    if str(head) == _BUILT_IN and not Path(head).exists():
        return export_built_in(place, force=force)
    check_kind(to_place(head), "head")
    check_out(place, force=force)
    opened = frieze.classifiers.open_head(to_place(head))
    stored.check_can_embed(opened.spec, where=str(head), hint="Embed the images with a backbone, and train on that.")
    with output.waiting("Exporting"):
        backbone = frieze.embedder.reopen_backbone(opened.spec, where=str(head))
        with core.new_folder(place, replace=force) as folder:
            _write(folder, opened, backbone)
            checks = {"checked": N_SAMPLES, "largest_difference": _check(folder, opened, backbone, place)}
            facts = {"head": opened.document["head"], "classes": opened.classes.tolist(), **checks}
            write_document(folder, {"backbone": opened.spec.to_json(), "features": opened.document["features"]} | facts)
    return facts | {
        "out": str(place),
        "backbone": opened.spec.name,
        "bytes": count_bytes(place),
        "stale": opened.staleness(),
        "seconds": time.perf_counter() - started,
    }


def _write(folder: Path, head: "Head", backbone: "Backbone") -> None:
    tf = core.import_tensorflow()
    module = tf.Module()
    module.functions = _functions(head, backbone)
    # A frozen network has constants where the gradients of its activations would look for tensors.
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

    Other formats know neither texts nor the operations that decode and resize: `network` does without.
    """
    import frieze.embedder

    tf = core.import_tensorflow()
    network = frieze.embedder.freeze_with(backbone, head.as_function())

    def answer(pixels: Any) -> dict[str, Any]:
        (probabilities,) = network(pixels=pixels)
        names = tf.constant(head.classes.tolist())
        return {"probabilities": probabilities, "prediction": tf.gather(names, tf.argmax(probabilities, axis=1))}

    files = tf.TensorSpec([None], tf.string, name="image_bytes")
    images = tf.TensorSpec([None, None, None, 3], tf.uint8, name="pixels")
    resized = tf.TensorSpec([None, *head.spec.image_size, 3], tf.uint8, name="pixels")
    functions = {
        "serving_default": (files, lambda image_bytes: answer(frieze.embedder.decode_batch(image_bytes, head.spec))),
        "pixels": (images, lambda pixels: answer(frieze.embedder.fit_batch(pixels, head.spec))),
        "network": (resized, lambda pixels: {"probabilities": network(pixels=pixels)[0]}),
    }
    return {name: tf.function(function, [spec], autograph=False) for name, (spec, function) in functions.items()}


def _check(folder: Path, head: "Head", backbone: "Backbone", place: Path) -> float:
    """Hold the written model against the head itself, on images of the network's size in all signatures.

    Returns:
        The largest difference of a probability.

    Raises:
        ModelError: One is too large, or another class is predicted.
    """
    import numpy as np

    tf = core.import_tensorflow()
    pixels = draw_samples(head.spec.image_size)
    files = [_to_png(one) for one in pixels]
    ours = head.probabilities(_embed(files, backbone, place))
    signatures = tf.saved_model.load(str(folder)).signatures
    named = (
        signatures["pixels"](pixels=tf.constant(pixels)),
        signatures["serving_default"](image_bytes=tf.constant(files)),
    )
    answers = (*named, signatures["network"](pixels=tf.constant(pixels)))
    difference = float(max(np.abs(one["probabilities"].numpy() - ours).max() for one in answers))
    are_same = all(_predicts_the_same(one["prediction"].numpy(), head, ours) for one in named)
    if not (difference <= _TOLERANCE and are_same):
        raise core.ModelError(
            f"The exported model is not {head.path}: on {len(pixels)} images its probabilities differ by up to"
            f" {difference:.2g} (at most {_TOLERANCE} is right){'' if are_same else ', and its predictions too'}.",
            hint=f"Nothing was written. Use the head itself: frieze predict {head.path} SOURCE --out FILE.parquet",
        )
    return difference


def _predicts_the_same(names: "np.ndarray", head: "Head", ours: core.Floats) -> bool:
    """Tell whether the predicted classes are our best ones, or as good: of equal probabilities either may win."""
    columns = {name.encode(): column for column, name in enumerate(head.classes)}
    found = [row[columns[name]] if name in columns else -1.0 for name, row in zip(names, ours, strict=True)]
    return bool((ours.max(axis=1) - found <= _TOLERANCE).all())


def _to_png(pixels: "np.ndarray") -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _embed(files: list[bytes], backbone: "Backbone", place: Path) -> core.Floats:
    """Embed as `embed` does; in float32, which the exported model runs in whatever the head was trained on."""
    import frieze.embedder

    exact = dataclasses.replace(backbone, spec=dataclasses.replace(backbone.spec, precision="float32"))
    with scratch_folder(place) as folder:
        paths = [folder / f"{number}.png" for number in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        return frieze.embedder.embed_images(paths, exact)
