"""The command: from a folder of images and teachers to a network with its card."""

import io
import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import click
import numpy as np

import frieze
import frieze.core
import frieze.embedder
import frieze.features
from tools.distill.architecture import WIDTH
from tools.distill.batches import BATCH, TrainingData
from tools.distill.card import hash_names, nearest_accuracy, versions
from tools.distill.crops import draw_views, list_images
from tools.distill.export_keras import write_keras
from tools.distill.leakage import Pool
from tools.distill.teacher_targets import Teacher, embed_views, make_targets


class _Teacher(click.ParamType[Teacher]):
    """`BACKBONE`, `BACKBONE@SIDE` or `BACKBONE@SIDE@WEIGHT`."""

    name = "teacher"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Teacher:
        """Read a teacher."""
        handle, *numbers = value.split("@")
        try:
            return Teacher(handle, *(kind(number) for kind, number in zip((int, float), numbers, strict=False)))
        except ValueError:
            self.fail(f"{value} is no BACKBONE@SIDE@WEIGHT.", param, ctx)


@click.command(
    epilog="Example: python -m tools.distill photos --teacher keras:ResNet50V2 --out mini.keras --epochs 100"
)
@click.argument("images", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--teacher", "teachers", type=_Teacher(), multiple=True, required=True, metavar="BACKBONE[@SIDE[@WEIGHT]]"
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The .keras file.")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default="distill-work",
    show_default=True,
    help="Folder for views and checkpoints.",
)
@click.option("--views", default=12, show_default=True, help="Crops of each image; 49 KB each on disk.")
@click.option("--epochs", default=150, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--compile/--no-compile", "compiles", default=True, help="Compile with a C++ compiler: a third faster.")
@click.option(
    "--score",
    "scored",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="Labelled test images, any source that `frieze embed` takes.",
)
def main(*, images: Path, out: Path, work: Path, scored: tuple[Path, ...], **options: Any) -> None:
    """Distil a backbone from the IMAGES of a folder, and write it with a card. Run again to resume."""
    work.mkdir(parents=True, exist_ok=True)
    try:
        with frieze.core.lock(work):
            _distill(images, out, work, scored, options)
    except frieze.InputError as error:
        raise click.ClickException(str(error)) from error


def _distill(images: Path, out: Path, work: Path, scored: tuple[Path, ...], options: dict[str, Any]) -> None:
    paths = list_images(images)
    shared = _find_shared(scored, paths)
    rows = np.flatnonzero([path not in shared for path in paths])
    left_out = sorted(path.relative_to(images).as_posix() for path in shared)
    card = _card(images, paths, options, n_trained=len(rows)) | {"left_out": left_out}
    _check_same(work, card)
    data = TrainingData(
        *_views_and_targets(paths, work, options), rows, options["epochs"], options["seed"], options["compiles"]
    )
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:  # PyTorch beside TensorFlow crashes
        weights = process.submit(_train, data, work / "checkpoint.pt").result()
    write_keras(weights, out, name=out.stem)
    accuracies = {folder.name: round(nearest_accuracy(out, folder), 4) for folder in scored}
    figures = {"nearest_neighbour_accuracy": accuracies, "versions": versions()}
    frieze.core.write_json(out.with_suffix(".card.json"), card | figures)
    click.echo(f"{out}: {accuracies}", err=True)


def _train(data: TrainingData, checkpoint: Path) -> dict[str, np.ndarray]:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin would halve what else runs in these hours
    from tools.distill.train import train

    threading.Thread(target=_end_with_parent, daemon=True).start()
    return train(data, checkpoint)


def _end_with_parent() -> None:
    """End with the command: an orphan would write the same checkpoint as the next run."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _views_and_targets(paths: list[Path], work: Path, options: dict[str, Any]) -> tuple[list[Path], list[np.ndarray]]:
    views = []
    for view in draw_views(paths, work, n_views=options["views"], seed=options["seed"]):
        click.echo(f"{view.name}: {len(paths)} crops", err=True)
        views.append(view)
    for teacher in options["teachers"]:
        for file in embed_views(teacher, views):
            click.echo(f"{file.name}: embedded by {teacher.handle}", err=True)
    return views, make_targets(views, options["teachers"], WIDTH)


def _card(images: Path, paths: list[Path], options: dict[str, Any], *, n_trained: int) -> dict[str, Any]:
    """Return everything that determines the network."""
    n_steps = options["epochs"] * (n_trained // BATCH)
    return {
        "images": {"folder": images.name, "number": len(paths), "sha256": hash_names(paths, images)},
        "teachers": [_describe(teacher) for teacher in options["teachers"]],
        "views": options["views"],
        "epochs": options["epochs"],
        "steps": n_steps,
        "images_seen": n_steps * BATCH,
        "seed": options["seed"],
    }


def _describe(teacher: Teacher) -> dict[str, Any]:
    spec = frieze.embedder.open_backbone(
        frieze.embedder.BackboneRequest(handle=teacher.handle, image_size=teacher.side_px)
    ).spec
    described = {"name": spec.name, "fingerprint": spec.fingerprint, "image_size": spec.image_size[0]}
    return described | {"weight": teacher.weight}


def _check_same(work: Path, card: dict[str, Any]) -> None:
    """Check that the folder of an interrupted run has the same images, teachers and options."""
    path = work / "card.json"
    if not path.exists():
        frieze.core.write_json(path, card)
    stored = frieze.core.read_json(path, hint="Use another --work.")
    changed = [name for name in card if stored.get(name) != card[name]]
    if changed:
        raise frieze.InputError(
            f"{work} was begun with other {', '.join(changed)}.", hint="Use another --work, or remove that folder."
        )


def _find_shared(scored: tuple[Path, ...], pool: list[Path]) -> set[Path]:
    """Find the test images in the training pool; they are left out."""
    if not scored:
        return set()
    training, duplicates = Pool(pool), set[Path]()
    for source in scored:
        matches = list(training.find(_read_images(source)))
        click.echo(f"{source.name}: {len(matches)} of its images are in the pool; they are left out", err=True)
        duplicates.update(duplicate for _, duplicate in matches)
    return duplicates


def _read_images(path: Path) -> Iterator[BinaryIO]:
    """Yield the images of any source."""
    source = frieze.embedder.open_source(str(path), frieze.embedder.SourceOptions(labels="none"))
    yield from (io.BytesIO(one) for one in source.read(np.arange(len(source.listing.images))) if isinstance(one, bytes))
