"""`frieze compare`."""

from pathlib import Path
from typing import Any

import click

from frieze.cli import options

_SHOWN = ("accuracy", "macro_f1", "head", "setting", "features", "fit_seconds")


@click.command(epilog="Example: frieze compare small.features large.features --heads linear,svm,knn")
@click.argument("features", nargs=-1, required=True)
@click.option("--heads", default="linear,svm,knn", show_default=True, help="Kinds of head, comma-separated.")
@options.labels
@options.test_size
@options.split
@click.option("--group", metavar="COLUMN", help="Keep images of one group on one side of the split.")
@options.seed
@options.as_json
def compare(*, as_json: bool, **parameters: Any) -> None:
    """Rank heads over several tables FEATURES of the same images, all on the same held-out images."""
    from frieze import terminal
    from frieze.api import heads

    document = heads.compare(parameters.pop("features"), **parameters)
    options.warn_of_labels(document)
    options.warn_of_baseline(document["rows"][0])
    for note in document["notes"]:
        terminal.show_note(f"{note}")
    if as_json:
        terminal.show_json(document)
    else:
        is_short = terminal.is_terminal()
        terminal.show_table([_shown(row, is_short=is_short) for row in document.pop("rows")], _SHOWN)
        terminal.show_summary(document)


def _shown(row: dict[str, Any], *, is_short: bool) -> dict[str, Any]:
    """Return a row of the table; on a terminal with the folder's name alone."""
    setting = " ".join(f"{name} {value:g}" for name, value in row["setting"].items())
    features = Path(row["features"]).name if is_short else row["features"]
    return row | {"features": features, "setting": setting or None}
