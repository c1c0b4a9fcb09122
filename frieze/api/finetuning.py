"""Fine-tuning as a Python function, with the options of the command line as keyword-only parameters."""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import core
from frieze import features as stored
from frieze import terminal as output
from frieze.api.folder_kinds import check_kind, kind_of
from frieze.api.heads import to_units
from frieze.api.label_source import open_labelled
from frieze.api.paths import open_table, to_place
from frieze.api.remembered_training import recall_finetuning
from frieze.api.split_options import to_parting
from frieze.reports.html import PAGE_NAME, head_page

if TYPE_CHECKING:
    from frieze.classifiers import FinetuneConfig, FinetuneContext, Head, SplitConfig
    from frieze.embedder import BackboneRequest, SourceOptions, TrainableBackbone

_SAMPLES, _TOLERANCE = 8, 1e-3  # of a cosine; another order of sums moves it by far less
_EMBEDS = {"source", "backbone", "weights", "layer", "image_size", "fit", "pixels", "trust_backbone", "labels", "label"}
"""What a table of features depends on, which is kept where other options change."""
_NOTED = "options.json"
"""File of the work folder that says what was asked for."""
_NOT_KEPT = ("out", "trust_backbone")
_REPLACES = "replaces"
"""What that file says beside the options: the sha256 of head.json that `--force` was given for."""


def finetune(
    source: str | Path,
    *,
    out: str | Path,
    backbone: str | None = None,
    weights: str | None = None,
    layer: str | None = None,
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
    """Fine-tune the top of a backbone, from a linear probe on its features, and hold it against that probe.

    An option that is None is what it was when `out`, half done or whole, was made of the same source; else its default.
    An empty text asks for the default again.

    Args:
        source: Images as `embed` takes them, or a table of features whose images are still where they were.
        out: Folder of the model: a head, its fine-tuned backbone and `report.html`; take it for `--backbone`, too.
        backbone: As for `embed`; a table's own by default.
        weights: As for `embed`.
        layer: As for `embed`; `NAME:flatten` for its maps as they are.
        image_size: As for `embed`.
        fit: As for `embed`; `squash` by default.
        pixels: As for `embed`.
        trust_backbone: As for `embed`.
        unfreeze: What learns. Of a Keras model a number of last layers (20 by default), the name of the first layer, or
            `all`; of a SavedModel names of variables or patterns with commas between, or `all` (the default).
        head: Folder of a head on these features to begin from, on its split; a linear probe is trained by default.
        layers: Begin with a new head of these hidden layers, not from the probe: units with commas between.
        epochs: How often the training images are seen at most; 10 by default.
        learning_rate: The highest; 3e-4 by default.
        schedule: `cosine`: the rate warms up and falls as a cosine does (the default); `constant`: it stays.
        batch_size: Images a step; 32 by default.
        patience: Epochs without a gain on the validation images after which it stops; 5 by default.
        augment: Flip, crop and colour the images at random while it learns; so by default.
        cache: Keep what the frozen part makes of each image on disk; together with `augment=False`.
        labels: A file with ids and labels; by default those of the source or table.
        label: The column of the labels.
        test_size: Share of the labelled images held out, in (0, 1); a fifth by default.
        split: A column that says `train`, `val` or `test` for each image.
        group: A column, or `duplicates`: images of one value, or near-duplicates, come on one side.
        seed: Decides the split and every other random choice; 0 by default.
        force: Replace a model that is there, and begin anew where one is half done. Without it a run that was cut short
            goes on, and replaces what it was begun for.

    Returns:
        Accuracy of the fine-tuned model and of the probe on the same held-out images, epochs, counts and seconds;
        options that the time before brought (`remembered`) or was asked for otherwise (`changed`).

    Raises:
        InputError: Something you can mend; the message says how. Run again, it goes on after the last whole epoch.
    """
    said = {name: value for name, value in locals().items() if name != "force"}
    return _finetune(to_place(out), said, force=force)


def _finetune(place: Path, said: dict[str, Any], *, force: bool) -> dict[str, Any]:
    import frieze.classifiers

    before = _asked_before(place)
    may_replace = force or _may_replace(place, before)
    frieze.classifiers.check_head(place, force=may_replace)
    recalled = recall_finetuning(said, before if before.get("source") == str(said["source"]) else {})
    output.say_changes(recalled.to_json())
    asked = {name: said[name] for name in ("source", *_NOT_KEPT)} | recalled.options
    course = _to_course(asked)
    with _work_folder(place, asked, replaces=_hash_of(place) if may_replace else None, anew=force) as work:
        document = _run(place, work, asked, course=course, force=may_replace)
    return document | recalled.to_json() | {"report": str(place / PAGE_NAME)}


def _run(place: Path, work: Path, asked: dict[str, Any], *, course: "FinetuneConfig", force: bool) -> dict[str, Any]:
    import frieze.classifiers

    request = _request(asked)
    trunk = _open_trunk(request, asked["unfreeze"])
    frieze.classifiers.check_memory(trunk, course.batch_size)
    _check_labels(trunk, asked)
    table = _open(work, asked, request)
    _check_begun_from(work, table, asked)
    probe = _probe(table, work, asked, trunk)
    output.say(f"Fine-tuning {trunk.free}: {trunk.n_free:,} numbers.")
    with output.progress("Fine-tuning", "steps") as step:
        means = _means(trunk, table, place, work, step, trust=request.trust)
        means = dataclasses.replace(means, asked=_kept(asked), parting=_parting(table, work, probe))
        document = frieze.classifiers.finetune_head(table, place, probe=probe, means=means, course=course, force=force)
    return document | {"pixels": table.spec.pixels}


def _kept(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the options as they are stored."""
    return {name: value for name, value in asked.items() if name not in _NOT_KEPT} | {"source": str(asked["source"])}


def _asked_before(place: Path) -> dict[str, Any]:
    """Give what a fine-tuning that is half done was asked for, or the model that is there; empty where neither is."""
    noted, head = _work_place(place) / _NOTED, place / "head.json"
    if noted.exists():
        return core.read_json(noted, hint=f"Remove {noted.parent}")
    if not head.exists():
        return {}
    asked: dict[str, Any] = core.read_json(head, hint="Give another --out.").get("finetuned", {}).get("asked", {})
    return asked


def _may_replace(place: Path, before: dict[str, Any]) -> bool:
    """Tell whether what is half done was begun with `--force` for the very model that is there."""
    return before.get(_REPLACES) is not None and before[_REPLACES] == _hash_of(place)


def _hash_of(place: Path) -> str | None:
    head = place / "head.json"
    return core.hash_file(head) if head.exists() else None


def _work_place(place: Path) -> Path:
    return place.parent / f".{place.name}.finetune"


def _to_course(asked: dict[str, Any]) -> "FinetuneConfig":
    import frieze.classifiers

    hidden = None if asked["layers"] is None else frieze.classifiers.Network(to_units(asked["layers"]))
    names = ("epochs", "learning_rate", "schedule", "batch_size", "patience", "seed")
    taken = {name: asked[name] for name in names}
    return frieze.classifiers.FinetuneConfig(**taken, augments=asked["augment"], caches=asked["cache"], hidden=hidden)


@contextlib.contextmanager
def _work_folder(place: Path, asked: dict[str, Any], *, replaces: str | None, anew: bool) -> Iterator[Path]:
    """Give a folder beside `place` for what is half done; it goes when all is done, and stays after any other end.

    Args:
        place: Of the model.
        asked: The options.
        replaces: Hash of the model that is there and may be replaced; it is noted, so that a run that goes on may, too.
        anew: Whether what is half done is to be done anew; what was embedded stays, where it would be the same.

    Raises:
        InputError: What is half done was begun with other options.
    """
    work = _work_place(place)
    with core.translate_io_errors(place):
        work.mkdir(parents=True, exist_ok=True)
    with core.lock(work):
        _check_same(work, _kept(asked), anew=anew)
        core.write_json(work / _NOTED, _kept(asked) | {_REPLACES: replaces})
        yield work
        shutil.rmtree(work)


def _check_same(work: Path, asked: dict[str, Any], *, anew: bool) -> None:
    """Refuse other options where an epoch was done with some; where none was, only what they change is done anew."""
    from frieze.classifiers import CHECKPOINT

    noted = work / _NOTED
    before = core.read_json(noted, hint=f"Remove {work}") if noted.exists() else asked
    differ = sorted(name for name in asked if asked[name] != before.get(name))
    if differ and (work / CHECKPOINT).exists() and not anew:
        sides = ", ".join(f"{name} {before.get(name)} then, {asked[name]} now" for name in differ)
        raise core.InputError(
            f"Another fine-tuning is half done here: {sides}.",
            hint="Give the same options to go on with it, --force to begin anew, or another --out.",
        )
    if differ or anew:
        _forget(work, but=set() if _EMBEDS & {*differ} else {"features"})


def _check_begun_from(work: Path, table: stored.Features, asked: dict[str, Any]) -> None:
    """Begin anew where images, labels or the head have changed: what is half done goes by places in the table."""
    noted, head = work / "table.json", None if asked["head"] is None else _hash_of(to_place(asked["head"]))
    began = {"generation": table.manifest.generation, "labels": _hash_labels(table), "head": head}
    if noted.exists() and core.read_json(noted, hint=f"Remove {work}") != began:
        output.say("The images, their labels or the head have changed since this was begun: it begins anew.")
        _forget(work, but={"features", _NOTED})
    core.write_json(noted, began)


def _hash_labels(table: stored.Features) -> str:
    return hashlib.sha256(json.dumps(table.labels.tolist()).encode()).hexdigest()


def _forget(work: Path, *, but: set[str]) -> None:
    for path in work.iterdir():
        if path.name not in {".lock", *but}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_table(asked: dict[str, Any]) -> bool:
    return kind_of(Path(asked["source"])) == "features"


def _request(asked: dict[str, Any]) -> "BackboneRequest":
    """Give the request of the backbone: the table's own, or the one that is asked for."""
    import frieze.embedder

    source, trust = asked["source"], bool(asked["trust_backbone"])
    if _is_table(asked):
        table = open_table(source)
        stored.check_can_embed(table.spec, where=str(source), hint="Embed the images with a backbone that can learn.")
        request = dataclasses.replace(frieze.embedder.BackboneRequest.of(table.spec), trust=trust)
        _check_backbone(table, request, asked)
        return request
    if asked["backbone"] is None:
        raise core.InputError(f"{source} is no table of features.", hint="Say which backbone: --backbone SPEC")
    wanted = {name: asked[name] for name in ("weights", "layer", "image_size", "fit", "pixels")}
    return frieze.embedder.BackboneRequest(handle=asked["backbone"], trust=trust, **wanted)


def _source_options(asked: dict[str, Any]) -> "SourceOptions":
    import frieze.embedder

    return frieze.embedder.SourceOptions(labels=str(asked["labels"] or "folder"), label=asked["label"])


def _check_labels(trunk: "TrainableBackbone", asked: dict[str, Any]) -> None:
    """Refuse too few images before the minutes of embedding."""
    import frieze.classifiers
    import frieze.embedder

    if _is_table(asked):
        labels = open_labelled(asked["source"], labels=asked["labels"], label=asked["label"])[0].labels
    else:
        listing = frieze.embedder.open_source(str(asked["source"]), _source_options(asked)).listing
        labels = np.array(listing.images["label"].to_pylist(), dtype=object)
    by_share = not (asked["split"] or asked["group"] or asked["head"])
    test_size = asked["test_size"] if by_share else None
    frieze.classifiers.check_images(labels, trunk, test_size=test_size, seed=asked["seed"])


def _open(work: Path, asked: dict[str, Any], request: "BackboneRequest") -> stored.Features:
    """Give the table to begin from, embedded first where the source is images."""
    import frieze.embedder

    source = asked["source"]
    if _is_table(asked):
        return open_labelled(source, labels=asked["labels"], label=asked["label"])[0]
    options = frieze.embedder.JobOptions(source=_source_options(asked))
    with output.progress("Embedding", "images") as step:
        done = frieze.embedder.embed_source(
            str(source), work / "features", request=request, options=options, progress=step
        )
    for reason, n_failed in done["failures"].items():
        output.say(f"{n_failed:,} can't be used and are left out: {reason}.")
    output.say_pixels(done)
    return open_table(work / "features")


def _check_backbone(table: stored.Features, request: "BackboneRequest", asked: dict[str, Any]) -> None:
    """Refuse another backbone than the table's, where one is named."""
    for option in ("backbone", "weights", "layer", "image_size", "pixels"):
        own = getattr(request, "handle" if option == "backbone" else option)
        if option == "image_size" and asked[option] and _is_of_size(request, asked[option]):
            continue
        if asked[option] not in (None, own) and str(Path(str(asked[option])).absolute()) != own:
            word = f"--{option.replace('_', '-')}"
            raise core.InputError(
                f"{table.path} was made with {word} {own}, not {asked[option]}.",
                hint=f"Leave {word} out, or give the images in place of the table.",
            )


def _is_of_size(request: "BackboneRequest", image_size: Any) -> bool:
    return dataclasses.replace(request, image_size=image_size).size == request.size


def _probe(table: stored.Features, work: Path, asked: dict[str, Any], trunk: "TrainableBackbone") -> "Head":
    """Give the head to begin from; a linear probe is trained, unless there is one.

    Where hidden layers take its place it is for comparison alone: the mean of each map is enough for that.
    """
    import frieze.classifiers

    if asked["head"] is not None:
        check_kind(to_place(asked["head"]), "head")
        opened = frieze.classifiers.open_head(to_place(asked["head"]))
        hint = "Give a head that was trained on this table, or leave --head out."
        stored.check_same_backbone(table.spec, opened.spec, where=str(asked["head"]), hint=hint)
        return opened
    place = work / "probe"
    if not place.exists():
        parts = {"test_size": asked["test_size"], "seed": asked["seed"], "column": asked["split"]}
        if asked["layers"] is not None and trunk.maps is not None:
            table = frieze.classifiers.PooledFeatures(table, trunk.maps)
        parting = to_parting(table, place, group=asked["group"], **parts)
        recipe = frieze.classifiers.HeadConfig("linear", seed=asked["seed"])
        with output.waiting("Training the probe"):
            frieze.classifiers.train_head(table, place, recipe=recipe, parting=parting)
    return frieze.classifiers.open_head(place)


def _parting(table: stored.Features, work: Path, probe: "Head") -> "SplitConfig | None":
    """Give the groups that the head's split kept together, for the validation part."""
    group = probe.document["split"].get("group")
    if group is None or (group != "duplicates" and group not in table.rows.column_names):
        return None
    return to_parting(table, work / "probe", group=group)


def _open_trunk(request: "BackboneRequest", unfreeze: str | None) -> "TrainableBackbone":
    import frieze.embedder

    with output.waiting("Loading the backbone"):
        return frieze.embedder.open_trainable(request, unfreeze=unfreeze)


def _means(
    trunk: "TrainableBackbone",
    table: stored.Features,
    place: Path,
    work: Path,
    step: Callable[[int, int], None],
    *,
    trust: bool,
) -> "FinetuneContext":
    import frieze.classifiers
    import frieze.embedder

    read = frieze.embedder.image_reader(table.rows["uri"].to_pylist(), trunk.spec)

    def save(folder: Path) -> stored.BackboneSpec:
        trunk.save(folder)
        before = frieze.embedder.BackboneRequest.of(trunk.spec)
        request = frieze.embedder.BackboneRequest(
            handle=str(folder), fit=before.fit, image_size=before.image_size, stretch=before.stretch, trust=trust
        )
        written = frieze.embedder.open_backbone(request.with_pixels("0..1"))
        _check_written(written, trunk, read(np.arange(min(_SAMPLES, len(table)))))
        return dataclasses.replace(written.spec, handle=str(place), name=place.name)

    return frieze.classifiers.FinetuneContext(trunk, read, save, work, step, output.say, head_page("Fine-tuned"))


def _check_written(written: Any, trunk: "TrainableBackbone", pixels: Any) -> None:
    """Hold the stored backbone against the one that learnt, on a few images."""
    images = pixels / np.float32(255)
    one, other = (core.unit_rows(np.asarray(call(images))) for call in (written.call, trunk.embeddings))
    least = float((one * other).sum(axis=1).min())
    if not least >= 1 - _TOLERANCE:
        raise core.ModelError(
            f"The stored backbone is not the one that was trained: their vectors have a cosine of {least:.4f}.",
            hint="Nothing was written. Run the same command again; it goes on from here.",
        )
