"""`frieze compare`."""

from pathlib import Path
from typing import Any

import click

from frieze.cli import options

_OF_BACKBONE = (
    "handle", "images_per_second", "time_for_all", "dim", "linear", "nearest_neighbour", "stability", "agreement",
)  # fmt: skip
_SHOWN = ("accuracy", "macro_f1", "head", "setting", "features", "fit_seconds")


@click.command(epilog="Example: frieze compare small.features large.features --heads linear,svm,knn")
@click.argument("features", nargs=-1, required=True)
@click.option("--heads", default="linear,svm,knn", show_default=True, help="Kinds of head, comma-separated.")
@options.labels
@options.test_size
@options.split
@click.option("--group", metavar="COLUMN", help="Keep images of one group on one side of the split.")
@options.seed
@click.option("--backbones", metavar="A,B,...", help="Rank these on the images of a SOURCE instead.")
@click.option(
    "--sample", type=click.IntRange(min=1), default=500, show_default=True, help="With --backbones: images to draw."
)
@options.pixels
@options.pool
@options.verbose
@options.as_json
def compare(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Rank heads over several tables FEATURES of the same images, all on the same held-out images.

    With --backbones FEATURES is a SOURCE of images, as embed takes it. A sample is decoded once and embedded by each
    backbone: images a second, hours for all images, the accuracy of a linear head and of the nearest neighbour where
    there are labels (--labels FILE, else the folders), and without labels how often a crop finds its image. One
    sentence says which to use.
    """
    from frieze import terminal
    from frieze.api import heads

    document = heads.compare(parameters.pop("features"), **parameters)
    if parameters["backbones"] is not None:
        _show_backbones(document, as_json=as_json, verbose=verbose)
        return
    options.warn_of_labels(document)
    options.warn_of_baseline(document["rows"][0])
    for note in document["notes"]:
        terminal.show_note(f"{note}")
    if as_json:
        terminal.show_json(document)
    else:
        is_short = terminal.is_terminal()
        terminal.show_table([_shown(row, is_short=is_short) for row in document["rows"]], _SHOWN)
        if verbose:
            document.pop("rows")  # the table has them
        options.show_summary("compare", document, verbose=verbose)


def _show_backbones(document: dict[str, Any], *, as_json: bool, verbose: bool) -> None:
    from frieze import terminal

    for note in document["notes"]:
        terminal.show_note(f"{note}")
    if as_json:
        terminal.show_json(document)
        return
    rows = document.pop("rows")
    shown = [_shown_backbone(row) for row in rows]
    columns = [name for name in _OF_BACKBONE if shown[0][name] is not None]
    terminal.show_table(shown, columns)
    options.show_summary("compare", document, verbose=verbose)


def _shown_backbone(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the table, with intervals behind the figures that have one."""
    figures = {name: value for name, value in row.items() if isinstance(value, dict)}
    texts = {
        name: "{:.3f} ({:.3f} to {:.3f})".format(value["accuracy"], *value["confidence_interval"])
        for name, value in figures.items()
    }
    return row | texts | {"time_for_all": _shown_hours(row["hours"])}


def _shown_hours(hours: float) -> str:
    """Return hours as text; very few of them as minutes or seconds.

    >>> _shown_hours(9e-05), _shown_hours(0.05), _shown_hours(12.25)
    ('0.32 s', '3 min', '12.2')
    """
    n_seconds = hours * 3600
    if n_seconds < 60:  # noqa: PLR2004
        return f"{n_seconds:.2g} s"
    return f"{n_seconds / 60:.2g} min" if hours < 1 else f"{hours:.3g}"


def _shown(row: dict[str, Any], *, is_short: bool) -> dict[str, Any]:
    """Return a row of the table; on a terminal with the folder's name alone."""
    setting = " ".join(f"{name} {value:g}" for name, value in row["setting"].items())
    features = Path(row["features"]).name if is_short else row["features"]
    return row | {"features": features, "setting": setting or None}
