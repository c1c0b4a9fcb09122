"""Fine-tuning as a Python function, with the options of the command line as keyword-only parameters."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import features as stored
from frieze import output
from frieze.heads import to_units
from frieze.information import check_kind, kind_of
from frieze.labelling import open_labelled
from frieze.parting import to_parting
from frieze.places import open_table, to_place
from frieze.report import PAGE_NAME, head_page

if TYPE_CHECKING:
    from classifiers import Course, Head, Means
    from embedder import BackboneRequest, Trunk

_SAMPLES, _TOLERANCE = 8, 1e-3  # of a cosine; another order of sums moves it by far less
_EMBEDS = {"source", "backbone", "weights", "layer", "image_size", "fit", "pixels", "trust_backbone", "labels", "label"}
"""What a table of features depends on, which is kept where other options change."""


def finetune(
    source: str | Path,
    *,
    out: str | Path,
    backbone: str | None = None,
    weights: str | None = None,
    layer: str | None = None,
    image_size: int | str | tuple[int, int] | None = None,
    fit: str = "squash",
    pixels: str | None = None,
    trust_backbone: bool = False,
    unfreeze: str | None = None,
    head: str | Path | None = None,
    layers: str | None = None,
    epochs: int = 10,
    learning_rate: float = 1e-4,
    batch_size: int = 32,
    patience: int = 5,
    augment: bool = True,
    cache: bool = False,
    labels: str | Path | None = None,
    label: str | None = None,
    test_size: float = 0.2,
    split: str | None = None,
    group: str | None = None,
    seed: int = 0,
    force: bool = False,
) -> dict[str, Any]:
    """Fine-tune the top of a backbone, from a linear probe on its features, and hold it against that probe.

    Args:
        source: Images as `embed` takes them, or a table of features whose images are still where they were.
        out: Folder of the model: a head, its fine-tuned backbone and `report.html`; take it for `--backbone`, too.
        backbone: As for `embed`; a table's own by default.
        weights: As for `embed`.
        layer: As for `embed`; `NAME:flatten` for its maps as they are.
        image_size: As for `embed`.
        fit: As for `embed`.
        pixels: As for `embed`.
        trust_backbone: As for `embed`.
        unfreeze: What learns. Of a Keras model a number of last layers (20 by default), the name of the first layer, or
            `all`; of a SavedModel names of variables or patterns with commas between, or `all` (the default).
        head: Folder of a head on these features to begin from, on its split; a linear probe is trained by default.
        layers: Begin with a new head of these hidden layers, not from the probe: units with commas between.
        epochs: How often the training images are seen at most.
        learning_rate: The highest; it warms up and falls as a cosine does.
        batch_size: Images a step.
        patience: Epochs without a gain on the validation images after which it stops.
        augment: Flip, crop and colour the images at random while it learns.
        cache: Keep what the frozen part makes of each image on disk; together with `augment=False`.
        labels: A file with ids and labels; by default those of the source or table.
        label: The column of the labels.
        test_size: Share of the labelled images held out, in (0, 1).
        split: A column that says `train`, `val` or `test` for each image.
        group: A column, or `duplicates`: images of one value, or near-duplicates, come on one side.
        seed: Decides the split and every other random choice.
        force: Replace a model that is there, and begin anew where another was half done.

    Returns:
        Accuracy of the fine-tuned model and of the probe on the same held-out images, epochs, counts and seconds.

    Raises:
        InputError: Something you can mend; the message says how. Run again, it goes on after the last whole epoch.
    """
    asked = {name: value for name, value in locals().items() if name != "force"}
    import classifiers

    place = to_place(out)
    classifiers.check_head(place, force=force)
    course = _to_course(asked)
    with _work_folder(place, asked, force=force) as work:
        document = _run(place, work, asked, course=course, force=force)
    return document | {"report": str(place / PAGE_NAME)}


def _run(place: Path, work: Path, asked: dict[str, Any], *, course: "Course", force: bool) -> dict[str, Any]:
    import classifiers

    table, request = _open(work, asked)
    _check_table(work, table)
    probe = _probe(table, work, asked)
    trunk = _open_trunk(request, asked["unfreeze"])
    output.say(f"Fine-tuning {trunk.free}: {trunk.n_free:,} numbers.")
    with output.progress("Fine-tuning", "steps") as step:
        means = _means(trunk, table, place, work, step, trust=request.trust)
        document = classifiers.finetune_head(table, place, probe=probe, means=means, course=course, force=force)
    return document | {"pixels": table.spec.pixels}


def _to_course(asked: dict[str, Any]) -> "Course":
    import classifiers

    hidden = None if asked["layers"] is None else classifiers.Network(to_units(asked["layers"]))
    names = ("epochs", "learning_rate", "batch_size", "patience", "seed")
    taken = {name: asked[name] for name in names}
    return classifiers.Course(**taken, augments=asked["augment"], caches=asked["cache"], hidden=hidden)


@contextlib.contextmanager
def _work_folder(place: Path, asked: dict[str, Any], *, force: bool) -> Iterator[Path]:
    """Give a folder beside `place` for what is half done; it goes when all is done, and stays after any other end.

    Raises:
        InputError: What is half done was begun with other options.
    """
    work = place.parent / f".{place.name}.finetune"
    with stored.clear_errors(place):
        work.mkdir(parents=True, exist_ok=True)
    with stored.lock(work):
        _check_same(work, {name: value if value is None else str(value) for name, value in asked.items()}, force=force)
        yield work
        shutil.rmtree(work)


def _check_same(work: Path, asked: dict[str, Any], *, force: bool) -> None:
    """Refuse other options where an epoch was done with some; where none was, only what they change is done anew."""
    from classifiers import CHECKPOINT

    noted = work / "asked.json"
    before = stored.read_json(noted, mend=f"Remove {work}") if noted.exists() else asked
    differ = sorted(name for name in asked if asked[name] != before.get(name))
    if differ and (work / CHECKPOINT).exists() and not force:
        sides = ", ".join(f"{name} {before.get(name)} then, {asked[name]} now" for name in differ)
        raise stored.InputError(
            f"Another fine-tuning is half done here: {sides}.",
            mend="Give the same options to go on with it, --force to begin anew, or another --out.",
        )
    if differ:
        _forget(work, but=set() if _EMBEDS & {*differ} else {"features"})
    stored.write_json(noted, asked)


def _check_table(work: Path, table: stored.Features) -> None:
    """Begin anew where the images have changed: what is half done goes by their places in the table."""
    noted, told = work / "table.json", {"generation": table.manifest.generation}
    if noted.exists() and stored.read_json(noted, mend=f"Remove {work}") != told:
        output.say("The images have changed since this was begun: it begins anew.")
        _forget(work, but={"features", "asked.json"})
    stored.write_json(noted, told)


def _forget(work: Path, *, but: set[str]) -> None:
    for path in work.iterdir():
        if path.name not in {".lock", *but}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _open(work: Path, asked: dict[str, Any]) -> tuple[stored.Features, "BackboneRequest"]:
    """Give the table to begin from, embedded first where the source is images, and the request of its backbone."""
    import embedder

    source, names = asked["source"], ("weights", "layer", "image_size", "fit", "pixels")
    wanted = {name: asked[name] for name in names}
    if kind_of(Path(source)) == "features":
        table, _ = open_labelled(source, labels=asked["labels"], label=asked["label"])
        stored.check_can_embed(table.spec, where=str(source), mend="Embed the images with a backbone that can learn.")
        request = dataclasses.replace(embedder.BackboneRequest.of(table.spec), trust=asked["trust_backbone"])
        _check_backbone(table, request, asked)
        return table, request
    if asked["backbone"] is None:
        raise stored.InputError(f"{source} is no table of features.", mend="Say which backbone: --backbone SPEC")
    request = embedder.BackboneRequest(handle=asked["backbone"], trust=asked["trust_backbone"], **wanted)
    labels = str(asked["labels"] or "folder")
    options = embedder.JobOptions(source=embedder.SourceOptions(labels=labels, label=asked["label"]))
    with output.progress("Embedding", "images") as step:
        done = embedder.embed_source(str(source), work / "features", request=request, options=options, progress=step)
    for reason, n_failed in done["failures"].items():
        output.say(f"{n_failed:,} can't be used and are left out: {reason}.")
    output.say_pixels(done)
    table = open_table(work / "features")
    return table, request.with_pixels(table.spec.pixels)


def _check_backbone(table: stored.Features, request: "BackboneRequest", asked: dict[str, Any]) -> None:
    """Refuse another backbone than the table's, where one is named."""
    for option in ("backbone", "weights", "layer", "image_size", "pixels"):
        own = getattr(request, "handle" if option == "backbone" else option)
        if option == "image_size" and asked[option] and _is_of_size(request, asked[option]):
            continue
        if asked[option] not in (None, own) and str(Path(str(asked[option])).absolute()) != own:
            word = f"--{option.replace('_', '-')}"
            raise stored.InputError(
                f"{table.path} was made with {word} {own}, not {asked[option]}.",
                mend=f"Leave {word} out, or give the images in place of the table.",
            )


def _is_of_size(request: "BackboneRequest", image_size: Any) -> bool:
    return dataclasses.replace(request, image_size=image_size).size == request.size


def _probe(table: stored.Features, work: Path, asked: dict[str, Any]) -> "Head":
    """Give the head to begin from; a linear probe is trained, unless there is one."""
    import classifiers

    if asked["head"] is not None:
        check_kind(to_place(asked["head"]), "head")
        opened = classifiers.open_head(to_place(asked["head"]))
        mend = "Give a head that was trained on this table, or leave --head out."
        stored.check_same_backbone(table.spec, opened.spec, where=str(asked["head"]), mend=mend)
        return opened
    place = work / "probe"
    if not place.exists():
        parts = {"test_size": asked["test_size"], "seed": asked["seed"], "column": asked["split"]}
        parting = to_parting(table, place, group=asked["group"], **parts)
        recipe = classifiers.Recipe("linear", seed=asked["seed"])
        with output.waiting("Training the probe"):
            classifiers.train_head(table, place, recipe=recipe, parting=parting)
    return classifiers.open_head(place)


def _open_trunk(request: "BackboneRequest", unfreeze: str | None) -> "Trunk":
    import embedder

    with output.waiting("Loading the backbone"):
        return embedder.open_trunk(request, unfreeze=unfreeze)


def _means(
    trunk: "Trunk", table: stored.Features, place: Path, work: Path, step: Callable[[int, int], None], *, trust: bool
) -> "Means":
    import classifiers
    import embedder

    read = embedder.image_reader(table.rows["uri"].to_pylist(), trunk.spec)

    def save(folder: Path) -> stored.BackboneSpec:
        trunk.save(folder)
        before = embedder.BackboneRequest.of(trunk.spec)
        request = embedder.BackboneRequest(
            handle=str(folder), fit=before.fit, image_size=before.image_size, stretch=before.stretch, trust=trust
        )
        written = embedder.open_backbone(request.with_pixels("0..1"))
        _check_written(written, trunk, read(np.arange(min(_SAMPLES, len(table)))))
        return dataclasses.replace(written.spec, handle=str(place), name=place.name)

    return classifiers.Means(trunk, read, save, work, step, output.say, head_page("Fine-tuned"))


def _check_written(written: Any, trunk: "Trunk", pixels: Any) -> None:
    """Hold the stored backbone against the one that learnt, on a few images."""
    images = pixels / np.float32(255)
    one, other = (stored.unit_rows(np.asarray(call(images))) for call in (written.call, trunk.embeddings))
    least = float((one * other).sum(axis=1).min())
    if not least >= 1 - _TOLERANCE:
        raise stored.ModelError(
            f"The stored backbone is not the one that was trained: their vectors have a cosine of {least:.4f}.",
            mend="Nothing was written. Run the same command again; it goes on from here.",
        )
