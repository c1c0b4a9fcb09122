"""`frieze predict`."""

from typing import Any

import click

from frieze.cli import options

_COLUMNS = ("id", "prediction", "probability")


@click.command(epilog="Example: frieze predict photos.head new-photos --out predictions.parquet")
@click.argument("head")
@click.argument("source")
@click.option("--out", metavar="FILE", help="Write the predictions to FILE, .parquet, .csv or .jsonl, not to stdout.")
@click.option("--scores", is_flag=True, help="Add a column score_CLASS for each class.")
@click.option("--confidence", type=float, metavar="P", help="Add prediction_set, classes that hold the label with P.")
@options.cluster
@options.force
@options.verbose
@options.as_json
def predict(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Predict labels with HEAD for SOURCE: a table of features, or images as embed takes them, such as a folder."""
    from frieze import terminal
    from frieze.api import predicting
    from frieze.cli.head_summaries import describe_sets
    from frieze.core import shorten

    document = predicting.predict(parameters.pop("head"), parameters.pop("source"), **parameters)
    options.warn_if_stale(document)
    if "failures" in document:  # SOURCE was images
        options.warn_of_unread(document)
    options.warn_of_images(document, hint="a head on features that were embedded with --stretch would see more in them")
    if as_json or "predictions" not in document:
        options.show("predict", document, as_json=as_json, verbose=verbose)
    else:
        for line in describe_sets(document["prediction_sets"]):
            terminal.show_message(line)
        rows = document.pop("predictions")
        terminal.show_table(rows, list(rows[0]) if rows else _COLUMNS)
        terminal.show_summary(terminal.to_lines(document) if verbose else [])
    skipped = [f"{one['id']} ({one['stage']}, {one['reason']})" for one in document.get("failures", [])]
    options.end(document, where=shorten(skipped))
