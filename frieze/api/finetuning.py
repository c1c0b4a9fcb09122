"""`frieze.finetune`: train the top of a backbone, starting from a head on its features."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import core, terminal
from frieze import features as stored
from frieze.api.duplicate_groups import cut_columns, split_by_group
from frieze.api.finetune_work_folder import discard_if_changed, hash_head, may_replace, stored_options, work_folder
from frieze.api.folder_kinds import check_kind, folder_kind
from frieze.api.heads import to_units
from frieze.api.label_source import open_labelled
from frieze.api.paths import open_table, to_local_path
from frieze.api.remembered_options import FinetuneOptions, resolve_finetune_options
from frieze.reports.html import PAGE_NAME, head_page

if TYPE_CHECKING:
    from frieze.classifiers import FinetuneConfig, FinetuneContext, Head, SplitConfig
    from frieze.embedder import BackboneRequest, SourceOptions, TrainableBackbone

_LOG = logging.getLogger("frieze")
_N_CHECKED, _TOLERANCE = 8, 1e-3  # of a cosine; another order of summation changes it by far less


def finetune(
    source: str | Path,
    *,
    out: str | Path,
    backbone: str | None = None,
    weights: str | None = None,
    layer: str | None = None,
    pool: str | None = None,
    image_size: int | str | tuple[int, int] | None = None,
    fit: str | None = None,
    pixels: str | None = None,
    trust_backbone: bool = False,
    unfreeze: str | int | None = None,
    head: str | Path | None = None,
    layers: str | int | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    schedule: str | None = None,
    batch_size: int | None = None,
    patience: int | None = None,
    augment: bool | None = None,
    cache: bool | None = None,
    labels: str | Path | None = None,
    label: str | None = None,
    test_size: float | None = None,
    split: str | None = None,
    group: str | None = None,
    seed: int | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Fine-tune the top of a backbone, starting from a linear probe on its features, and compare it with that probe.

    An option that is None keeps its value of the last run, finished or interrupted, that made `out` from this source;
    else it has its default. An empty text restores the default.

    Args:
        source: Images as `embed` takes them, or a table of features whose images are still where they were.
        out: Folder of the model: a head, its fine-tuned backbone and `report.html`; usable as a backbone, too.
        backbone: As for `embed`; a table's own by default.
        weights: As for `embed`.
        layer: As for `embed`; `NAME:flatten` for its maps as they are.
        pool: As for `embed`.
        image_size: As for `embed`.
        fit: As for `embed`; `squash` by default.
        pixels: As for `embed`.
        trust_backbone: As for `embed`.
        unfreeze: What is trained. Of a Keras model the number of last layers (20 by default), the name of the first
            layer, or `all`; of a SavedModel comma-separated names or patterns of variables, or `all` (the default).
        head: Folder of a head on these features to start from, with its split; by default a linear probe is trained.
        layers: Start from a new head with these hidden layers, not from the probe: comma-separated units.
        epochs: Maximum number of passes over the training images; 10 by default.
        learning_rate: Peak learning rate; 3e-4 by default.
        schedule: `cosine`: the rate warms up and falls as a cosine does (the default); `constant`: it stays.
        batch_size: Images per step; 32 by default.
        patience: Early stopping: epochs without a gain on the validation images; 5 by default.
        augment: Augment by random flips, crops and colours; on by default.
        cache: Cache the activations of the frozen part on disk; requires `augment=False`.
        labels: A file with ids and labels; by default those of the source or table.
        label: The column of the labels.
        test_size: Share of the labelled images held out, in (0, 1); a fifth by default.
        split: A column that says `train`, `val` or `test` for each image.
        group: A column, or `duplicates`: images of one group, or near-duplicates, stay on one side of the split.
        seed: Seed of the split and every other random choice; 0 by default.
        force: Replace an existing model, and restart an interrupted run. Without it an interrupted run resumes from its
            last checkpoint, and replaces what it was started for.

    Returns:
        Accuracy of the fine-tuned model and of the probe on the same held-out images, epochs, counts and seconds;
        options taken from the last run (`remembered`), and those that differ from it (`changed`).

    Raises:
        InputError: The request can't be met; the hint says what to change. The next run resumes from the last epoch.
    """
    return _finetune(**locals())


def _finetune(
    source: str | Path, *, out: str | Path, trust_backbone: bool, force: bool, **given: Any
) -> dict[str, Any]:
    import frieze.classifiers

    model_path = to_local_path(out)
    before = stored_options(model_path)
    can_replace = force or may_replace(model_path, before)
    frieze.classifiers.check_head(model_path, force=can_replace)
    resolved = resolve_finetune_options(given, before if before.get("source") == str(source) else {})
    terminal.log_changes(resolved.to_json())
    options = FinetuneOptions(source=str(source), trust_backbone=trust_backbone, **resolved.options)
    config = _to_config(options)
    replaces = hash_head(model_path) if can_replace else None
    with work_folder(model_path, options.to_json(), replaces=replaces, restart=force) as work:
        document = _run(model_path, work, options, config=config, force=can_replace)
    return document | resolved.to_json() | {"report": str(model_path / PAGE_NAME)}


def _run(out: Path, work: Path, options: FinetuneOptions, *, config: "FinetuneConfig", force: bool) -> dict[str, Any]:
    import frieze.classifiers

    request = _to_request(options)
    trainable = _open_trainable(request, options.unfreeze)
    frieze.classifiers.check_memory(trainable, config.batch_size)
    _check_enough_labels(trainable, options)
    table = _open_table(work, options, request)
    discard_if_changed(work, table, head=None if options.head is None else to_local_path(options.head))
    probe = _open_probe(table, work, options, trainable)
    _LOG.info("Fine-tuning %s: %s numbers.", trainable.free, f"{trainable.n_free:,}")
    with terminal.progress("Fine-tuning", "steps") as step:
        context = _to_context(trainable, table, out, work, step, trust=request.trust)
        context = dataclasses.replace(
            context, options=options.to_json(), split_config=_validation_split(table, work, probe)
        )
        document = frieze.classifiers.finetune_head(
            table, out, probe=probe, context=context, config=config, force=force
        )
    return document | {"pixels": table.spec.pixels}


def _to_config(options: FinetuneOptions) -> "FinetuneConfig":
    import frieze.classifiers

    hidden = None if options.layers is None else frieze.classifiers.Network(to_units(options.layers))
    return frieze.classifiers.FinetuneConfig(
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        schedule=options.schedule,
        batch_size=options.batch_size,
        patience=options.patience,
        augments=options.augment,
        caches=options.cache,
        hidden=hidden,
        seed=options.seed,
    )


def _is_table(options: FinetuneOptions) -> bool:
    return folder_kind(Path(options.source)) == "features"


def _to_request(options: FinetuneOptions) -> "BackboneRequest":
    """Return the request of the table's backbone, or of the one in the options."""
    import frieze.embedder

    if _is_table(options):
        table = open_table(options.source)
        hint = "Embed the images with a backbone that can be trained."
        stored.check_can_embed(table.spec, where=options.source, hint=hint)
        request = dataclasses.replace(frieze.embedder.BackboneRequest.of(table.spec), trust=options.trust_backbone)
        _check_backbone(table, request, options)
        return request
    if options.backbone is None:
        raise core.InputError(
            f"{options.source} is no table of features.", hint="Say which backbone: `backbone='SPEC'`"
        )
    return frieze.embedder.BackboneRequest(
        handle=options.backbone,
        weights=options.weights,
        layer=options.layer,
        pool=options.pool,
        image_size=options.image_size,
        fit=options.fit,
        pixels=options.pixels,
        trust=options.trust_backbone,
    )


def _to_source_options(options: FinetuneOptions) -> "SourceOptions":
    import frieze.embedder

    return frieze.embedder.SourceOptions(labels=options.labels or "folder", label=options.label)


def _check_enough_labels(trainable: "TrainableBackbone", options: FinetuneOptions) -> None:
    """Check that there are enough labelled images, before the minutes of embedding."""
    import frieze.classifiers
    import frieze.embedder

    is_cut = False
    if _is_table(options):
        table, _ = open_labelled(options.source, labels=options.labels, label=options.label)
        labels, is_cut = table.labels, bool(cut_columns(table))
    else:
        listing = frieze.embedder.open_source(options.source, _to_source_options(options)).listing
        labels = np.array(listing.images["label"].to_pylist(), dtype=object)
    is_drawn = not (options.split or options.group or options.head or is_cut)
    test_size = options.test_size if is_drawn else None
    frieze.classifiers.check_images(labels, trainable, test_size=test_size, seed=options.seed)


def _open_table(work: Path, options: FinetuneOptions, request: "BackboneRequest") -> stored.Features:
    """Return the table of features to start from; images are embedded first."""
    import frieze.embedder

    if _is_table(options):
        return open_labelled(options.source, labels=options.labels, label=options.label)[0]
    job_options = frieze.embedder.JobOptions(source=_to_source_options(options))
    with terminal.progress("Embedding", "images") as step:
        document = frieze.embedder.embed_source(
            options.source, work / "features", request=request, options=job_options, progress=step
        )
    for reason, n_failed in document["failures"].items():
        _LOG.warning("%s can't be used and are left out: %s.", f"{n_failed:,}", reason)
    terminal.log_pixel_range(document)
    return open_table(work / "features")


def _check_backbone(table: stored.Features, request: "BackboneRequest", options: FinetuneOptions) -> None:
    """Refuse another backbone than the table's."""
    same_size = options.image_size and dataclasses.replace(request, image_size=options.image_size).size == request.size
    for name, of_table, given in (
        ("backbone", request.handle, options.backbone),
        ("weights", request.weights, options.weights),
        ("layer", request.layer, options.layer),
        ("pool", request.pool, options.pool),
        ("image_size", request.image_size, request.image_size if same_size else options.image_size),
        ("pixels", request.pixels, options.pixels),
    ):
        if given not in (None, of_table) and str(Path(str(given)).absolute()) != of_table:
            raise core.InputError(
                f"{table.path} was made with `{name}` {of_table}, not {given}.",
                hint=f"Leave `{name}` out, or give the images in place of the table.",
            )


def _open_probe(table: stored.Features, work: Path, options: FinetuneOptions, trainable: "TrainableBackbone") -> "Head":
    """Return the head to start from: the given one, or a linear probe trained here.

    With new hidden layers the probe is for comparison only, so that the mean of each activation map is enough for it.
    """
    import frieze.classifiers

    if options.head is not None:
        check_kind(to_local_path(options.head), "head")
        head = frieze.classifiers.open_head(to_local_path(options.head))
        hint = "Give a head that was trained on this table, or leave `head` out."
        stored.check_same_backbone(table.spec, head.spec, where=options.head, hint=hint)
        return head
    probe_path = work / "probe"
    if not probe_path.exists():
        if options.layers is not None and trainable.maps is not None:
            table = frieze.classifiers.PooledFeatures(table, trainable.maps)
        split = frieze.classifiers.SplitConfig(options.test_size, options.seed, column=options.split)
        split = split_by_group(split, table, probe_path, group=options.group)
        config = frieze.classifiers.HeadConfig("linear", seed=options.seed)
        with terminal.spinner("Training the probe"):
            frieze.classifiers.train_head(table, probe_path, config=config, split_config=split)
    return frieze.classifiers.open_head(probe_path)


def _validation_split(table: stored.Features, work: Path, probe: "Head") -> "SplitConfig | None":
    """Return the split with the groups of the probe's split, for the validation images; None where there are none."""
    import frieze.classifiers

    group = probe.document["split"].get("group")
    if group is None:
        return None
    if group != "duplicates" and group not in table.rows.column_names:
        terminal.NOTES.warning(
            "the images have no column %s now, which kept the probe's test images apart: for validation images of"
            " one group may be trained on.",
            group,
        )
        return None
    return split_by_group(frieze.classifiers.SplitConfig(), table, work / "probe", group=group)


def _open_trainable(request: "BackboneRequest", unfreeze: str | None) -> "TrainableBackbone":
    import frieze.embedder

    with terminal.spinner("Loading the backbone"):
        return frieze.embedder.open_trainable(request, unfreeze=unfreeze)


def _to_context(
    trainable: "TrainableBackbone",
    table: stored.Features,
    out: Path,
    work: Path,
    step: Callable[[int, int], None],
    *,
    trust: bool,
) -> "FinetuneContext":
    import frieze.classifiers
    import frieze.embedder

    read = frieze.embedder.image_reader(table.rows["uri"].to_pylist(), trainable.spec)

    def save(folder: Path) -> stored.BackboneSpec:
        trainable.save(folder)
        before = frieze.embedder.BackboneRequest.of(trainable.spec)
        request = frieze.embedder.BackboneRequest(
            handle=str(folder),
            fit=before.fit,
            image_size=before.image_size,
            stretch=before.stretch,
            scale=before.scale,
            bands=before.bands,
            trust=trust,
            decoding_version=before.decoding_version,
        )
        written = frieze.embedder.open_backbone(request.with_pixels("0..1"))
        _check_written(written, trainable, read(np.arange(min(_N_CHECKED, len(table)))))
        return dataclasses.replace(written.spec, handle=str(out), name=out.name)

    return frieze.classifiers.FinetuneContext(
        trainable, read, save, work, step, head_page("Fine-tuned", trainable.spec.decoding)
    )


def _check_written(written: Any, trainable: "TrainableBackbone", pixels: Any) -> None:
    """Compare the embeddings of the stored backbone with those of the trained one, on a few images."""
    images = pixels / np.float32(255)
    actual, expected = (core.unit_rows(np.asarray(call(images))) for call in (written.call, trainable.embeddings))
    least = float((actual * expected).sum(axis=1).min())
    if not least >= 1 - _TOLERANCE:
        raise core.ModelError(
            f"The stored backbone is not the one that was trained: their vectors have a cosine of {least:.4f}.",
            hint="Nothing was written. Run the same command again; it resumes from here.",
        )
