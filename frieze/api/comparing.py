"""`frieze.compare` of backbones: which one is best for some images, measured on a sample of them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import terminal
from frieze.api.label_source import absolute_labels
from frieze.core import InputError, counted

if TYPE_CHECKING:
    from frieze.core import Rows
    from frieze.embedder import BackboneRequest, SourceOptions, TriedBackbone, TriedSample

_FEWEST = 20
"""Images of which figures say anything."""


def compare_backbones(  # noqa: PLR0913  options of a command
    source: Any,
    backbones: str | Sequence[str],
    *,
    sample: int,
    pixels: str | None,
    pool: str | None,
    labels: str | Path | None,
    label: str | None,
    seed: int,
) -> dict[str, Any]:
    """Embed a sample of a source by several backbones, and rank them.

    Args:
        source: Images, as `embed` takes them.
        backbones: As `embed` takes one; comma-separated, or a list.
        sample: Images to draw, about the same share of each label.
        pixels: Range of pixels of those that state none.
        pool: Pooling of those that give maps or tokens.
        labels: A file with ids and labels; by default the folders.
        label: Its column.
        seed: Of the draw, of crops and of folds.

    Returns:
        The document of `frieze compare --backbones --json`.

    Raises:
        InputError: There is no such source or backbone, or there are too few images.
    """
    import frieze.embedder

    requests = _to_requests(backbones, pixels=pixels, pool=pool)
    with terminal.spinner("Comparing"):
        opened = frieze.embedder.open_source(source, _to_source_options(labels, label))
        images = opened.listing.images
        rows, has_labels = _draw(images["label"].to_pylist(), sample, seed)
        _check(len(rows), sample)
        tried = frieze.embedder.try_backbones(opened, rows, requests, crops_seed=None if has_labels else seed)
        classes = sorted(tried.images["label"].drop_null().unique().to_pylist()) if has_labels else None
        _check_classes(classes)
        figures = _score(tried, seed)
    table = [_to_row(one, len(images)) | figure for one, figure in zip(tried.backbones, figures, strict=True)]
    table.sort(key=_rank, reverse=True)
    return {
        "rows": table,
        "advice": advise(table),
        "images": len(images),
        "sampled": len(tried.images),
        "failed": tried.n_failed,
        "classes": classes,
        "seed": seed,
        "notes": list(opened.notes) + ([] if has_labels else _notes_of_labels(images["label"].to_pylist())),
    }


def _draw(labels: Sequence[str | None], sample: int, seed: int) -> tuple["Rows", bool]:
    """Draw a sample, of the labelled images where these can tell backbones apart: its rows, and whether they do."""
    import frieze.embedder

    labelled = np.flatnonzero([label is not None for label in labels])
    names = [label for label in labels if label is not None]
    drawn = frieze.embedder.draw_sample(names, sample, seed=seed)
    if len(drawn) >= min(_FEWEST, sample) and len({names[row] for row in drawn.tolist()}) > 1:
        return labelled[drawn], True
    return frieze.embedder.draw_sample([None] * len(labels), sample, seed=seed), False


def _notes_of_labels(labels: Sequence[str | None]) -> list[str]:
    """Say why labels are not used, where there are some."""
    n_labelled = sum(label is not None for label in labels)
    if not n_labelled:
        return []
    n_classes = len({label for label in labels if label is not None})
    which = f"{counted(n_labelled, 'labelled image')} of {counted(n_classes, 'label')}"
    return [f"{which} can't tell backbones apart in this sample: crops of images do."]


def _to_requests(backbones: str | Sequence[str], *, pixels: str | None, pool: str | None) -> list["BackboneRequest"]:
    """Return the requested backbones.

    Raises:
        InputError: There is none, or no such pooling.
    """
    from frieze.embedder import POOLS, BackboneRequest

    handles = backbones.split(",") if isinstance(backbones, str) else list(backbones)
    requests = [BackboneRequest(handle=handle.strip(), pool=pool) for handle in handles if handle.strip()]
    if not requests:
        raise InputError("`backbones` names none.", hint="Give `backbones='builtin,keras:MobileNetV2'`.")
    if pool not in (None, *POOLS):
        raise InputError(f"Unknown `pool`: {pool}.", hint=f"Use one of: {', '.join(POOLS)}.")
    return [one if one.has_own_preprocessing else dataclasses.replace(one, pixels=pixels) for one in requests]


def _to_source_options(labels: str | Path | None, label: str | None) -> "SourceOptions":
    from frieze.embedder import SourceOptions

    return SourceOptions(labels=str(absolute_labels(labels) or "folder"), label=label)


def _to_row(tried: "TriedBackbone", n_images: int) -> dict[str, Any]:
    """Return what is known of a backbone without scores."""
    return {
        "backbone": tried.spec.name,
        "handle": tried.spec.handle,
        "dim": tried.spec.dim,
        "image_size": list(tried.spec.image_size),
        "pixels": tried.spec.pixels,
        "pool": tried.spec.pool,
        "engine": tried.engine,
        "images_per_second": round(tried.images_per_second, 1),
        "hours": float(f"{n_images / tried.images_per_second / 3600:.3g}"),
    }


def _check(n_drawn: int, sample: int) -> None:
    if n_drawn < _FEWEST:
        raise InputError(
            f"{counted(n_drawn, 'image')} of `sample={sample}` can't tell backbones apart.",
            hint=f"Give {_FEWEST} images or more.",
        )


def _check_classes(classes: Sequence[str] | None) -> None:
    if classes is not None and len(classes) < 2:  # noqa: PLR2004  one class is no choice
        raise InputError(
            f"The usable images of the sample have one label: {', '.join(classes)}.", hint="Give a larger `sample`."
        )


def _score(tried: "TriedSample", seed: int) -> list[dict[str, Any]]:
    """Return the figures of each backbone; those that need labels, or none, are None."""
    import frieze.classifiers

    nothing = dict.fromkeys(("linear", "nearest_neighbour", "stability", "agreement"))
    crops = [one.crops for one in tried.backbones if one.crops is not None]
    if crops:
        scored = frieze.classifiers.score_unlabelled([one.embeddings for one in tried.backbones], crops)
    else:
        names = np.array(tried.images["label"].to_pylist(), object)
        kept = np.flatnonzero([name is not None for name in names])
        scored = [
            frieze.classifiers.score_labelled(one.embeddings[kept], names[kept], seed=seed) for one in tried.backbones
        ]
    return [nothing | one for one in scored]


_RANKED_BY = ("linear", "nearest_neighbour", "stability")


def _ranked_by(row: dict[str, Any]) -> str:
    """Return the figure that decides: the first one there is."""
    return next(name for name in _RANKED_BY if row[name] is not None)


def _rank(row: dict[str, Any]) -> tuple[float, float]:
    return row[_ranked_by(row)]["accuracy"], row["images_per_second"]


def advise(rows: Sequence[dict[str, Any]]) -> str:
    """Return one sentence: which backbone to use, and which faster one may do as well.

    Args:
        rows: Of the document, the best first.
    """
    best, name = rows[0], _ranked_by(rows[0])
    what = {"linear": "linear accuracy", "nearest_neighbour": "1-NN accuracy", "stability": "share of crops found"}[
        name
    ]
    value, (low, high) = best[name]["accuracy"], best[name]["confidence_interval"]
    alike = [row for row in rows[1:] if row[name]["confidence_interval"][1] >= value]
    sentence = f"Use {best['handle']}: its {what} of {value:.3f} ({low:.3f} to {high:.3f}) is the highest"
    fastest = max(alike, key=lambda row: row["images_per_second"], default=best)
    times = fastest["images_per_second"] / best["images_per_second"]
    if times <= 1:
        return f"{sentence}."
    return (
        f"{sentence}; {fastest['handle']} is {times:.1f} times as fast, and this sample can't tell its"
        f" {fastest[name]['accuracy']:.3f} from that."
    )
