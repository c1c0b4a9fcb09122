"""Predict with a head: stored features, or new images through the head's own backbone."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieze import core, terminal
from frieze import features as stored
from frieze.api.box_rows import count_boxes
from frieze.api.folder_kinds import check_kind, folder_kind, list_failures
from frieze.api.paths import open_table, scratch_folder, to_local_or_bucket_path, to_local_path
from frieze.api.result_tables import Predictions

if TYPE_CHECKING:
    from frieze.classifiers import ExtraColumns
    from frieze.embedder import JobOptions


def drift(head: str | Path, features: str | Path) -> dict[str, Any]:
    """Compare the images of a table with those that a head was trained and measured on; labels are not needed.

    Args:
        head: The head's folder.
        features: The table's folder, of the head's backbone. Images that the head knows are left out.

    Returns:
        `has_drifted`, and why: `familiarity_test` (are the images as similar to its training images as its held-out
        ones?) and `class_test` (does it predict its classes as often?), each with `statistic`, `p_value` and
        `is_different`; `n_unfamiliar` of `rows`, `familiarity` (counts in ten bins, equal for images alike), `classes`
        with their shares, and `least_familiar`, 20 images at most.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    import frieze.classifiers

    check_kind(to_local_path(head), "head")
    with terminal.spinner("Comparing"):
        return frieze.classifiers.measure_drift(to_local_path(head), open_table(features))


_EMBED_FIELDS = (
    "failed",
    "narrow_range",
    "first_of_several",
    "colour_profiles",
    "converted_profiles",
    "unusable_profiles",
    "white_by_transparency",
    "ignored",
    "ignored_formats",
    "unread_pictures",
    "hidden",
    "unread_shards",
    "notes",
)
"""Fields of the document of `embed` that `predict` reports of images that it embedded."""


def predict(
    head: str | Path,
    source: Any,
    *,
    out: str | Path | None = None,
    scores: bool = False,
    confidence: float | None = None,
    force: bool = False,
    ray: str | None = None,
    cpus_per_worker: int | None = None,
) -> Predictions:
    """Predict the labels of stored features, or of new images.

    Args:
        head: The head's folder.
        source: A table of features, or images as `embed` takes them, or a single image: a path, uint8 pixels [H, W, 3]
            or [n, H, W, 3], PIL images; they go through the head's own backbone. By default the id of an image in
            memory is its number, from 0.
        out: File of id, prediction and probability: Parquet, CSV or JSON lines, by its suffix. By default these are
            returned.
        scores: Add a column `score_CLASS` for each class.
        confidence: Add a column `prediction_set`: the classes that hold the label of this share of images like the
            head's held-out ones, in (0, 1), the likeliest first (split conformal prediction, for each class).
        force: Replace an existing file.
        ray: `auto` or the address of a Ray cluster, whose machines embed the images, or predict the table's parts.
        cpus_per_worker: Cores of each worker that embeds; by default one worker per GPU, or one per machine.

    Returns:
        A dict that turns into a data frame: `predictions` without `out`, a dict of id, prediction and probability a
        row, of a head of several labels an image lists of those that reach their thresholds, the likeliest first; with
        `familiarity`, its rank among the head's held-out images by similarity to the training images, in (0, 1]; `rows`
        predicted, and `n_unfamiliar`, those with a familiarity below .05; with a confidence `prediction_sets`, among
        others their `coverage` of held-out images and `mean_size`; images that `failed`; `failures` lists these with
        stage and reason; what is not read of the source, `narrow_range`, `first_of_several`, `colour_profiles`,
        `converted_profiles`, `unusable_profiles` and `white_by_transparency`, as in `embed`.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    import frieze.classifiers
    import frieze.embedder

    head_path, out_path = to_local_path(head), None if out is None else to_local_path(out)
    check_kind(head_path, "head")
    extra = frieze.classifiers.ExtraColumns(scores, confidence)
    _check_options(head_path, confidence=confidence)
    if out_path is not None:
        frieze.classifiers.check_predictions(out_path, force=force)  # before the hours of embedding, not after
    if isinstance(source, str | Path) and folder_kind(to_local_or_bucket_path(source)) == "features":
        if cpus_per_worker is not None:
            message = f"{source} is embedded already, and each of its parts is predicted on one core."
            raise core.InputError(message, hint="Leave `cpus_per_worker` out.")
        table = open_table(source)
        document = _predict_table(head_path, table, out_path, extra, force=force, ray=ray)
        _note_unfamiliar(document)
        return Predictions(document)
    _note_parts(head_path)
    options = frieze.embedder.JobOptions(
        source=frieze.embedder.SourceOptions(labels="none"), ray=ray, cpus_per_worker=cpus_per_worker
    )
    out_option = "" if out is None else f" {core.to_command_line({'out': out})}"
    command = f"frieze predict {head} FEATURES{out_option}"
    with scratch_folder(out_path) as folder:
        image_info = _embed_for(head, source, folder, options, command=command)
        table = open_table(folder)
        document = _predict_table(head_path, table, out_path, extra, force=force)
        _note_unfamiliar(document)
        return Predictions(document | image_info | {"failures": list_failures(folder)})


def _check_options(head: Path, *, confidence: float | None) -> None:
    """Check that a head can predict sets of a confidence, before the hours of embedding."""
    import frieze.classifiers

    if confidence is None:
        return
    if frieze.classifiers.is_multilabel(head):
        raise core.InputError(
            f"{head} predicts several labels an image, by a threshold each; sets of a confidence hold one.",
            hint="Leave `confidence` out; `scores=True` gives the probability of each label.",
        )
    frieze.classifiers.open_head(head).held_out.check(confidence)


def _predict_table(
    head: Path, table: stored.Features, out: Path | None, extra: "ExtraColumns", *, force: bool, ray: str | None = None
) -> dict[str, Any]:
    """Predict the rows of a table with a head of one label an image, or of several."""
    import frieze.classifiers

    if not frieze.classifiers.is_multilabel(head):
        return frieze.classifiers.predict_features(head, table, out, extra=extra, force=force, ray=ray)
    if ray is not None:
        raise core.InputError(
            f"{head} predicts several labels an image, a million in seconds in one process.", hint="Leave `ray` out."
        )
    return frieze.classifiers.predict_multilabel(head, table, out, scores=extra.scores, force=force)


def _note_unfamiliar(document: dict[str, Any]) -> None:
    """Say that images are unlike those that the head was trained on, where they are."""
    if document["is_unfamiliar"]:
        of_all = f"{document['n_unfamiliar']:,} of {core.counted(document['rows'], 'image')}"
        terminal.NOTES.warning(
            f"{of_all} are less like the training images than 95 % of the head's held-out images are"
            " (column familiarity): its accuracy may not hold for them."
        )


def _note_parts(head: Path) -> None:
    """Say that a head was trained on parts of images, where it is to predict whole ones."""
    import frieze.classifiers

    ids = frieze.classifiers.read_split_ids(head)
    if 2 * count_boxes(ids) > len(ids):
        terminal.NOTES.warning(
            "the head was trained on parts of images, and sees whole ones here. For their parts embed them first,"
            " as its table was (`frieze embed` with --boxes or --tiles), then predict on that table."
        )


def _embed_for(head: str | Path, source: Any, folder: Path, options: "JobOptions", *, command: str) -> dict[str, Any]:
    """Embed images with a head's backbone, and return the fields that describe them."""
    import frieze.classifiers
    import frieze.embedder

    spec = frieze.classifiers.open_any_head(to_local_path(head)).spec
    stored.check_can_embed(
        spec, where=str(head), hint=f"Import their vectors together with the old ones, train again, then: {command}"
    )
    with terminal.progress("Embedding", "images") as step:
        embedded = frieze.embedder.embed_source(
            _to_images(source),
            folder,
            request=frieze.embedder.BackboneRequest.of(spec),
            options=dataclasses.replace(options, accept_drift=spec.precision != "float32", is_query=True),
            progress=step,
            # Checks the fingerprint before the hours of embedding.
            load=lambda _: frieze.embedder.reopen_backbone(spec, where=str(head)),
        )
    return {name: embedded[name] for name in _EMBED_FIELDS}


def _to_images(source: Any) -> Any:
    """Return images as `embed_source` takes them, also from a single one in memory."""
    import frieze.embedder

    if isinstance(source, str | Path):
        return str(source)
    if getattr(getattr(source, "dtype", None), "kind", "") == "f":
        raise core.InputError(
            f"The array has shape {list(source.shape)} and type {source.dtype}; images are uint8 [n, H, W, 3].",
            hint="Convert pixels in [0, 1] by (pixels * 255).round().astype('uint8'); for vectors [n, D]:"
            " frieze.open_head(HEAD).predict(vectors).",
        )
    return frieze.embedder.as_images(source)
