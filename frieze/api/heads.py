"""Heads: train, evaluate and predict, with the options of the command line as keyword-only parameters."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieze import core
from frieze import features as stored
from frieze import terminal as output
from frieze.api.folder_kinds import check_kind, kind_of, list_failures
from frieze.api.label_source import open_labelled, open_labelled_as
from frieze.api.paths import open_table, scratch_folder, to_place, to_table_place
from frieze.api.remembered_training import recall_head
from frieze.api.split_options import to_parting
from frieze.reports.html import PAGE_NAME, head_page

if TYPE_CHECKING:
    from frieze.embedder import JobOptions


def train(
    features: str | Path,
    *,
    out: str | Path,
    head: str | None = None,
    kernel: str | None = None,
    labels: str | Path | None = None,
    label: str | None = None,
    test_size: float | str | None = None,
    split: str | None = None,
    group: str | None = None,
    shots: int | str | None = None,
    balanced: bool | None = None,
    abstain: float | str | None = None,
    layers: str | int | None = None,
    dropout: float | str | None = None,
    epochs: int | str | None = None,
    patience: int | str | None = None,
    max_memory: str | int | None = None,
    seed: int | str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Train a head on stored features and measure it on held-out images.

    With `force`, an option that is None is as the head that stands at `out` was asked for, where that is of the same
    table and was not fine-tuned; else its default. An empty text asks for the default again.

    Args:
        features: The table's folder.
        out: Folder of the head; `report.html` is written there too.
        head: `linear`, `svm`, `ridge`, `knn`, `prototype` or `keras`; `linear` by default.
        kernel: Of `svm`: `linear` (the default) or `rbf`.
        labels: A file with ids and the labels to learn; by default those of the table are learned.
        label: The column of the labels, of that file or else of the table.
        test_size: Share of the labelled images held out, in (0, 1); a fifth by default.
        split: A column of the table that says `train`, `val` or `test` for each image.
        group: A column of the table, or `duplicates`: images of one value, or near-duplicates, come on one side.
        shots: Train on so many images of each class, drawn ten times; the spread over the draws is told.
        balanced: Let each class count alike, however many images it has.
        abstain: The share of right answers wanted, in (0, 1): below a probability the head gives no answer.
        layers: For `keras`: units of each hidden layer, with commas between; `128` by default.
        dropout: For `keras`: share of the hidden units that is left out at a step, in [0, 1); 0 by default.
        epochs: For `keras`: how often it sees the images at most; 100 by default.
        patience: For `keras`: epochs without a gain on watched images after which it stops; 5 by default.
        max_memory: What the process may take in memory, such as `4GB`: embeddings that do not fit beside the rest are
            read in passes. By default half of what is free, for the embeddings alone.
        seed: Decides the split and every other random choice; 0 by default.
        force: Replace a head that is there, with the options that it was made with.

    Returns:
        Accuracy with its 95 % interval, macro F1, calibration error, counts and seconds; options that the head before
        brought (`remembered`) or was asked for otherwise (`changed`).

    Raises:
        InputError: Something you can mend; the message says how.
    """
    recalled = recall_head(locals(), features, to_place(out), force=force)
    document = _train(features, recalled.options, to_place(out), max_memory=max_memory, force=force)
    return document | recalled.to_json() | {"report": str(Path(out) / PAGE_NAME)}


def _train(
    features: str | Path, asked: dict[str, Any], place: Path, *, max_memory: str | int | None, force: bool
) -> dict[str, Any]:
    import frieze.classifiers

    table, told = open_labelled(features, labels=asked["labels"], label=asked["label"])
    network = frieze.classifiers.Network(
        to_units(asked["layers"]), asked["dropout"], asked["epochs"], asked["patience"]
    )
    memory_bytes = None if max_memory is None else core.parse_size(max_memory)
    name = frieze.classifiers.name_head(asked["head"], asked["kernel"])
    recipe = frieze.classifiers.HeadConfig(
        name,
        seed=asked["seed"],
        is_balanced=asked["balanced"],
        precision=asked["abstain"],
        network=network,
        memory_bytes=memory_bytes,
    )
    parts = {name: asked[name] for name in ("group", "test_size", "seed", "shots")}
    parting = to_parting(table, place, column=asked["split"], **parts)
    with output.waiting("Training"):
        document = frieze.classifiers.train_head(
            table, place, recipe=recipe, parting=parting, force=force, write_page=head_page("Head")
        )
    return document | told


def to_units(layers: str | int) -> tuple[int, ...]:
    """Read the units of hidden layers.

    Raises:
        InputError: They are no numbers with commas between.

    >>> to_units("256,128"), to_units(64)
    ((256, 128), (64,))
    """
    try:
        return tuple(int(units) for units in str(layers).split(","))
    except ValueError as error:
        raise core.InputError(
            f"--layers is {layers}: no units of hidden layers.", hint="Use for example --layers 256,128"
        ) from error


def compare(  # the mirror of a command
    features: str | Path | Sequence[str | Path],
    *,
    heads: str = "linear,svm,knn",
    labels: str | Path | None = None,
    label: str | None = None,
    test_size: float = 0.2,
    split: str | None = None,
    group: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit several heads on several tables of the same images, and score all on the same held-out images.

    Args:
        features: The tables' folders.
        heads: Kinds of head, with commas between.
        labels: A file with ids and labels; by default the labels of the tables count.
        label: The column of the labels, of that file or else of the tables.
        test_size: Share of the labelled images held out, in (0, 1).
        split: A column of the first table that says `train`, `val` or `test` for each image.
        group: A column of the first table: images of one value come on one side.
        seed: Decides the split and every other random choice.

    Returns:
        `rows`: one for each table and head, the highest accuracy first.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    import frieze.classifiers

    paths = [features] if isinstance(features, str | Path) else list(features)
    recipes = [frieze.classifiers.HeadConfig(name.strip(), seed=seed) for name in heads.split(",")]
    parting = frieze.classifiers.SplitConfig(test_size=test_size, seed=seed, column=split, group=group)
    opened = [open_labelled(path, labels=labels, label=label) for path in paths]
    with output.waiting("Comparing"):
        document = frieze.classifiers.compare_heads([table for table, _ in opened], recipes, parting)
    return document | opened[0][1]


def evaluate(
    head: str | Path, features: str | Path, *, labels: str | Path | None = None, label: str | None = None
) -> dict[str, Any]:
    """Measure a head on a table of features; images it was fitted on are left out.

    Args:
        head: The head's folder.
        features: The table's folder.
        labels: A file with ids and labels.
        label: The column of the labels, of that file or else of the table; `label` for those that stand in the table.
            Where neither is given, the labels come from the column or file that the head's came from.

    Returns:
        The figures of `train`, and which rows they are of.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    import frieze.classifiers

    table, told = open_labelled_as(head, features, labels=labels, label=label)
    return frieze.classifiers.evaluate_head(to_place(head), table) | told


_OF_IMAGES = (
    "failed",
    "narrow_range",
    "first_of_several",
    "colour_profiles",
    "white_by_transparency",
    "ignored",
    "ignored_formats",
    "unread_pictures",
    "hidden",
    "unread_shards",
    "notes",
)
"""What the document of `predict` says of images that it embedded, as that of `embed`."""


def predict(
    head: str | Path,
    source: Any,
    *,
    out: str | Path,
    scores: bool = False,
    force: bool = False,
    ray: str | None = None,
    cpus_per_worker: int | None = None,
) -> dict[str, Any]:
    """Predict the labels of stored features, or of new images.

    Args:
        head: The head's folder.
        source: A table of features, or images as `embed` takes them, also one alone: a path, uint8 pixels [H, W, 3] or
            [n, H, W, 3], PIL images; they go through the head's own backbone. The id of an image in memory is its place
            among them, from 0 on, where it is given none.
        out: File of id, prediction and probability: Parquet, CSV or JSON lines, by its suffix.
        scores: Add a column `score_CLASS` for each class.
        force: Replace a file that is there.
        ray: `auto` or the address of a Ray cluster, whose machines embed the images, or predict the table's parts.
        cpus_per_worker: Cores of each worker that embeds; by default one worker a GPU, or one a machine.

    Returns:
        `rows` predicted, and images that `failed`; `failures` lists these with stage and reason; what of the source is
        not read, `narrow_range`, `first_of_several`, `colour_profiles` and `white_by_transparency`, as of `embed`.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    import frieze.classifiers
    import frieze.embedder

    check_kind(to_place(head), "head")
    place = to_place(out)
    frieze.classifiers.check_predictions(place, force=force)  # before the hours of embedding, not after
    if isinstance(source, str | Path) and kind_of(to_table_place(source)) == "features":
        if cpus_per_worker is not None:
            what = f"{source} is embedded already, and each of its parts is predicted on one core."
            raise core.InputError(what, hint="Leave --cpus-per-worker out.")
        table = open_table(source)
        return frieze.classifiers.predict_features(to_place(head), table, place, scores=scores, force=force, ray=ray)
    options = frieze.embedder.JobOptions(
        source=frieze.embedder.SourceOptions(labels="none"), ray=ray, cpus_per_worker=cpus_per_worker
    )
    with scratch_folder(place) as folder:
        told = _embed_for(head, source, folder, options, again=f"frieze predict {head} FEATURES --out {out}")
        document = frieze.classifiers.predict_features(
            to_place(head), open_table(folder), place, scores=scores, force=force
        )
        return document | told | {"failures": list_failures(folder)}


def _embed_for(head: str | Path, source: Any, folder: Path, options: "JobOptions", *, again: str) -> dict[str, Any]:
    """Embed images for a head; return what its document says of them."""
    import frieze.classifiers
    import frieze.embedder

    spec = frieze.classifiers.open_head(to_place(head)).spec
    stored.check_can_embed(
        spec, where=str(head), hint=f"Import their vectors together with the old ones, train again, then: {again}"
    )
    with output.progress("Embedding", "images") as step:
        embedded = frieze.embedder.embed_source(
            _to_images(source),
            folder,
            request=frieze.embedder.BackboneRequest.of(spec),
            options=dataclasses.replace(options, accept_drift=spec.precision != "float32"),
            progress=step,
            load=lambda _: frieze.embedder.reopen_backbone(
                spec, where=str(head)
            ),  # compared before the hours of embedding
        )
    return {name: embedded[name] for name in _OF_IMAGES}


def _to_images(source: Any) -> Any:
    """Return images as `embed_source` takes them; a single one in memory may stand alone."""
    import frieze.embedder

    if isinstance(source, str | Path):
        return str(source)
    if getattr(getattr(source, "dtype", None), "kind", "") == "f":
        raise core.InputError(
            f"The array has shape {list(source.shape)} and type {source.dtype}; images are uint8 [n, H, W, 3].",
            hint="Pixels in [0, 1] are (pixels * 255).round().astype('uint8'); of vectors [n, D]:"
            " frieze.open_head(HEAD).predict(vectors).",
        )
    return frieze.embedder.as_images(source)
