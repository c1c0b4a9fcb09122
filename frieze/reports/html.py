"""Self-contained HTML pages: pictures of search results and duplicates, scores and confusion matrix of a head."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from frieze.core import TEXT, FeatureFileError, ImageError, InputError, counted, sweep_leftovers, write_text
from frieze.reports.templates import render
from frieze.reports.thumbnails import draw_url, draw_whole

PAGE_NAME = "report.html"
"""File of a head's folder with its report."""

_THUMBNAIL_PX = 128
_MOST_GROUPS, _MOST_IMAGES = 200, 24  # of duplicates: each picture is read, and embedded in the page
_MOST_LOOK_ALIKES = 50  # sets
_WHOLE = 0.995  # overlap that is shown as all of the picture
_DOCTYPE = '<!doctype html><html lang="en">'
"""How our pages start; only those are replaced."""


def check_page(path: Path) -> None:
    """Check that a file is missing or a page of ours; leftovers of killed runs beside it are removed.

    Raises:
        InputError: It is something else.
    """
    sweep_leftovers(path)
    if path.is_dir() or (path.exists() and not path.read_bytes().startswith(_DOCTYPE.encode())):
        raise InputError(f"{path} already exists and is not a page written by Frieze.", hint="Use another file's name.")


def write_report(
    path: str | Path,
    *,
    title: str,
    found: dict[str, Any] | None = None,
    duplicates: dict[str, Any] | None = None,
    head: str | Path | None = None,
) -> None:
    """Write search results, duplicates and a head's scores as one page that opens without a server.

    Args:
        path: The HTML file; replaced atomically.
        title: Plain text.
        found: The document of `frieze.search`; its hits are shown as pictures.
        duplicates: The document of `frieze.duplicates`; the first groups are shown as pictures, the one to keep first
            and of each other one how it differs, then the first sets of look-alikes.
        head: Folder of a head; its scores, confusion matrix and most confident mistakes are shown.
    """
    write_page(
        Path(path),
        "report.html",
        title=title,
        queries=None if found is None else [_query(one) for one in found["queries"]],
        duplicates=None if duplicates is None else _duplicates(duplicates),
        head=None if head is None else _head(Path(head)),
    )


def head_page(title: str, decoding: str) -> Callable[[Path], None]:
    """Return a function that writes the report of a head into its folder; pictures are shown as by `shown_as`."""

    def write(folder: Path) -> None:
        with shown_as(decoding):
            write_report(folder / PAGE_NAME, title=title, head=folder)

    return write


def write_page(path: Path, template: str, **context: Any) -> None:
    """Write a page atomically.

    Args:
        path: The HTML file.
        template: File of the template.
        **context: Its variables; the title among them.

    Raises:
        InputError: `path` is something else than a page of ours.
    """
    check_page(path)
    write_text(path, render(template, **context))


_decoding: ContextVar[str] = ContextVar("decoding", default="")


@contextlib.contextmanager
def shown_as(decoding: str) -> Iterator[None]:
    """Show the pictures of a block as a table has them: with its bands, and its range of samples.

    Args:
        decoding: The version of decoding that the table states.
    """
    before = _decoding.set(decoding)
    try:
        yield
    finally:
        _decoding.reset(before)


class Figure(NamedTuple):
    """A picture with its caption.

    Attributes:
        uri: The image.
        caption: Plain text.
        kind: Its class in the stylesheet: `query`, `keep` or none.
        url: The thumbnail as a data URL; None where the image can't be read.
        reason: Why it can't be read.
        detail: A second line of the caption, plain text.
        whole: The thumbnail of the image with the part outlined, as a data URL; empty for a whole image.
    """

    uri: str
    caption: str
    kind: str
    url: str | None
    reason: str
    detail: str = ""
    whole: str = ""


def draw_figure(uri: str, caption: str, *, kind: str = "", detail: str = "") -> Figure:
    """Draw the thumbnail of an image; one that is missing or broken gets the reason in its place."""
    from frieze.embedder import split_part

    draws = functools.partial(draw_url, uri, _THUMBNAIL_PX, decoding=_decoding.get())
    try:
        whole = draws(draws=draw_whole) if split_part(uri) is not None else ""
        return Figure(uri, caption, kind, draws(), "", detail, whole)
    except ImageError as error:
        return Figure(uri, caption, kind, None, error.reason, detail)


def _query(document: dict[str, Any]) -> dict[str, Any]:
    query, hits = document["query"], document["hits"]
    shown = [hit for hit in hits if f"id:{hit['id']}" != query]
    itself = [hit["uri"] for hit in hits if hit not in shown] or [query]
    if "like" in document:  # one query of several
        named = [(part["query"], name) for name in ("like", "unlike") for part in document[name]]
        files = [(part, name) for part, name in named if not part.startswith(("id:", TEXT))]
        figures = [draw_figure(part, f"{name} {part}", kind="query") for part, name in files]
    else:
        figures = [] if query.startswith(TEXT) else [draw_figure(itself[0], "query", kind="query")]
    figures += [draw_figure(hit["uri"], f"{hit['score']:.3f} {hit['label'] or ''} {hit['id']}") for hit in shown]
    return {"title": query, "figures": figures}


def _duplicates(document: dict[str, Any]) -> dict[str, Any]:
    groups, look_alikes = document["groups"], document.get("look_alikes", [])
    return {
        "summary": f"{counted(len(groups), 'group')} among {counted(document['rows'], 'image')};"
        f" {counted(document['n_duplicates'], 'image')} could go.",
        "groups": [_group(group) for group in groups[:_MOST_GROUPS]],
        "more": _left_out(len(groups) - _MOST_GROUPS, "group"),
        "look_alikes": [_look_alikes(one) for one in look_alikes[:_MOST_LOOK_ALIKES]],
        "more_look_alikes": _left_out(len(look_alikes) - _MOST_LOOK_ALIKES, "set"),
    }


def _left_out(n: int, noun: str) -> str:
    return f"{counted(n, f'more {noun} is', f'more {noun}s are')} left out." if n > 0 else ""


def _group(group: dict[str, Any]) -> dict[str, Any]:
    how = "equal files" if group["exact"] else f"lowest score {group['min_score']:.3f}"
    details = {member["id"]: _describe_copy(member) for member in group.get("members", [])}  # newer than the contract
    return _figures(group, f"{len(group['ids']):,} images, {how}", keep=group["keep"], details=details)


def _describe_copy(member: dict[str, Any]) -> str:
    """Describe how a copy differs from the image to keep."""
    overlap = member["overlap"]
    return member["kind"] if overlap > _WHOLE else f"{member['kind']}, shows {overlap:.0%}"


def _look_alikes(images: dict[str, Any]) -> dict[str, Any]:
    return _figures(images, f"{len(images['ids']):,} images, lowest score {images['min_score']:.3f}")


def _figures(
    images: dict[str, Any], title: str, *, keep: str | None = None, details: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Draw the first images of a group or of look-alikes."""
    shown = list(zip(images["ids"], images["uris"], strict=True))[:_MOST_IMAGES]
    n_left = len(images["ids"]) - len(shown)
    return {
        "title": title,
        "figures": [
            draw_figure(uri, name, kind="keep" if name == keep else "", detail=details.get(name, ""))
            for name, uri in shown
        ],
        "more": f"and {n_left:,} more" if n_left else "",
    }


def _head(folder: Path) -> dict[str, Any]:
    from frieze.classifiers import read_report

    report = read_report(folder)
    try:
        return _head_figures(report)
    except (AttributeError, LookupError, TypeError, ValueError) as error:  # of a head that lists no hashes of its files
        raise FeatureFileError(
            f"{folder / 'report.json'} can't be used: {error!r}.", hint="Train the head again: frieze train ... --force"
        ) from error


def _head_figures(report: dict[str, Any]) -> dict[str, Any]:
    images = f"{counted(report['n_test'], 'held-out image')}{_of_groups(report)}"
    if report.get("multilabel"):
        return _multilabel_figures(report, images)
    return {
        "multilabel": False,
        "name": report["head"],
        "accuracy": f"{report['accuracy']:.1%}",
        "held_out": f"{images} (95 % interval {_interval(report)})",
        "macro_f1": f"{report['macro_f1']:.3f}",
        "ece": f"{report['expected_calibration_error']:.3f}",
        "trained_on": counted(report["n_train"], "image"),
        "remarks": _remarks(report),
        "finetuning": _finetuning(report) if "probe" in report else None,
        "classes": _classes(report),
        "confusion": _confusion(report),
        "mistakes": _mistakes(report),
    }


def _multilabel_figures(report: dict[str, Any], images: str) -> dict[str, Any]:
    """Return the figures of a head of several labels an image."""
    low, high = report["map_interval"]
    names = ("average_precision", "threshold", "precision", "recall", "f1")
    return {
        "multilabel": True,
        "name": report["head"],
        "map": f"{report['map']:.3f}",
        "held_out": f"{images} (95 % interval {low:.3f} to {high:.3f})",
        "figures": {name: f"{report[name]:.3f}" for name in ("macro_f1", "micro_f1", "baseline_map")},
        "trained_on": counted(report["n_train"], "image"),
        "remarks": _remarks(report),
        "classes": [
            [one["class"], *("" if one[name] is None else f"{one[name]:.3f}" for name in names), one["n_test"]]
            for one in report["per_class"]
        ],
        "mistakes": [draw_figure(one["uri"], _name_mistake(one)) for one in report["mistakes"]],
    }


def _name_mistake(mistake: dict[str, Any]) -> str:
    labelled = "not labelled" if mistake["is_predicted"] else "labelled"
    return f"{labelled} {mistake['label']} ({mistake['probability']:.0%}): {mistake['id']}"


def _of_groups(report: dict[str, Any]) -> str:
    """Return of how many groups the held-out images are, where the interval counts these."""
    return f" of {counted(report['n_test_groups'], 'group')}" if report.get("interval_over") == "groups" else ""


def _interval(report: dict[str, Any]) -> str:
    low, high = report["confidence_interval"]
    return f"{low:.1%} to {high:.1%}"


def _finetuning(report: dict[str, Any]) -> dict[str, Any]:
    """Return the rows of the probe and the fine-tuned head, and those of the epochs."""
    names = ("loss", "accuracy", "val_loss", "val_calibrated_loss", "val_accuracy", "seconds")
    return {
        "unfrozen": report["unfrozen"],
        "sides": [_side("probe", report["probe"]), _side("fine-tuned", report)],
        "best_epoch": report["best_epoch"],
        "epochs": [
            [number, *(f"{epoch[name]:.4f}" if name in epoch else "" for name in names)]
            for number, epoch in enumerate(report["history"])
        ],
    }


def _side(name: str, report: dict[str, Any]) -> list[str]:
    figures = (f"{report[figure]:.3f}" for figure in ("macro_f1", "expected_calibration_error"))
    return [name, f"{report['accuracy']:.1%}", _interval(report), *figures]


def _remarks(report: dict[str, Any]) -> list[str]:
    """Return sentences about hyperparameters, draws, groups, abstention, the learning curve and notes."""
    remarks: list[str] = [
        f"{name} = {value:g}, chosen on training images." for name, value in report.get("setting", {}).items()
    ]
    if "shots" in report:
        shots = report["shots"]
        remarks.append(
            f"Over {shots['draws']} draws of {shots['per_class']} images a class the accuracy is"
            f" {shots['mean_accuracy']:.1%}, with a standard deviation of {shots['standard_deviation']:.1%}."
        )
    if "naive_accuracy" in report:
        remarks.append(f"A split that ignores the groups would report an accuracy of {report['naive_accuracy']:.1%}.")
    if "abstain" in report:
        abstain, precision = report["abstain"], report["abstain"]["precision_on_test"]
        remarks.append(
            f"Below a probability of {abstain['threshold']:.3f} it abstains: it answers {abstain['coverage']:.1%} of"
            f" the held-out images{'' if precision is None else f', {precision:.1%} of them right'}."
        )
    if "learning_curve" in report:
        remarks.append(report["learning_curve"]["advice"])
    return [*remarks, *report.get("notes", [])]


def _classes(report: dict[str, Any]) -> list[list[Any]]:
    return [
        [one["class"], *(f"{one[name]:.3f}" for name in ("precision", "recall", "f1")), one["n_test"]]
        for one in report["per_class"]
    ]


def _confusion(report: dict[str, Any]) -> list[tuple[str, list[tuple[int, str]]]]:
    """Return a row for each class: its name, and for each predicted class the count and its share of the largest."""
    largest = max((n for row in report["confusion"] for n in row), default=1) or 1
    rows = zip(report["classes"], report["confusion"], strict=True)
    return [(name, [(n, f"{n / largest:.2f}") for n in row]) for name, row in rows]


def _mistakes(report: dict[str, Any]) -> list[Figure]:
    return [
        draw_figure(one["uri"], f"{one['prediction']} ({one['probability']:.0%}), labelled {one['label']}: {one['id']}")
        for one in report["mistakes"]
    ]
