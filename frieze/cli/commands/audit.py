"""`frieze audit`."""

from typing import Any

import click

from frieze.cli import options

_FACTS = ("rows", "n_unlabelled", "n_judged", "accuracy", "counts", "small_classes", "min_score", "out", "seconds")
_COLUMNS = ("kind", "score", "label", "suggested", "probability", "group", "part", "id")


@click.command(epilog="Example: frieze audit photos.features --out findings.parquet --html findings.html")
@click.argument("features")
@options.out("File of the findings: .parquet, .csv or .jsonl.")
@click.option("--html", metavar="FILE", help="Write the findings as pictures to FILE.")
@click.option("--head", metavar="HEAD", help="Look for near-duplicates on both sides of this head's split, too.")
@options.labels
@options.min_score
@options.seed
@options.force
@options.as_json
def audit(*, as_json: bool, **asked: Any) -> None:
    """Look through the labels of FEATURES for what is likely wrong.

    Found are labels that heads not fitted on them and the nearest images doubt (each with the likelier label),
    near-duplicates under two labels, near-duplicates on both sides of a head's split, images far from all others, and
    classes too small to be split. Nothing is changed.
    """
    from frieze import terminal as output
    from frieze.api import auditing

    document = auditing.audit(asked.pop("features"), **asked)
    options.warn_of_labels(document)
    if as_json:
        output.show_json(document)
        return
    output.show_beside({name: document[name] for name in _FACTS})
    first = [finding for findings in document["first"].values() for finding in findings]
    if first or not output.is_terminal():
        output.show_table(first, _COLUMNS)
