"""`frieze compare`."""

from pathlib import Path
from typing import Any

import click

from frieze.cli import options

_SHOWN = ("accuracy", "macro_f1", "head", "setting", "features", "fit_seconds")


@click.command(epilog="Example: frieze compare small.features large.features --heads linear,svm,knn")
@click.argument("features", nargs=-1, required=True)
@click.option("--heads", default="linear,svm,knn", show_default=True, help="Kinds of head, with commas between.")
@options.labels
@options.test_size
@options.split
@click.option("--group", metavar="COLUMN", help="Images of one value come on one side.")
@options.seed
@options.as_json
def compare(*, as_json: bool, **asked: Any) -> None:
    """Rank heads over several tables FEATURES of the same images, all on the same held-out images."""
    from frieze import terminal as output
    from frieze.api import heads

    document = heads.compare(asked.pop("features"), **asked)
    options.warn_of_labels(document)
    options.warn_of_baseline(document["rows"][0])
    for note in document["notes"]:
        output.say(f"Note: {note}")
    if as_json:
        output.show_json(document)
    else:
        is_seen = output.is_terminal()
        output.show_table([_shown(row, is_short=is_seen) for row in document.pop("rows")], _SHOWN)
        output.show_beside(document)


def _shown(row: dict[str, Any], *, is_short: bool) -> dict[str, Any]:
    """Give a row of the table, the folder by its name alone where a person looks at it."""
    setting = " ".join(f"{name} {value:g}" for name, value in row["setting"].items())
    features = Path(row["features"]).name if is_short else row["features"]
    return row | {"features": features, "setting": setting or None}
