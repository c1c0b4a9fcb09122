"""`frieze audit`."""

from typing import Any

import click

from frieze.cli import options

_COLUMNS = ("kind", "score", "label", "suggested", "probability", "group", "part", "id")


@click.command(epilog="Example: frieze audit photos.features --out findings.parquet --html findings.html")
@click.argument("features")
@options.out("File of the findings: .parquet, .csv or .jsonl.")
@click.option("--html", metavar="FILE", help="Write the findings as pictures to FILE.")
@click.option("--head", metavar="HEAD", help="Also find near-duplicates on both sides of this head's split.")
@options.labels
@options.min_score
@options.seed
@options.force
@options.verbose
@options.as_json
def audit(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Find labels of FEATURES that are likely wrong.

    Lists labels that out-of-fold heads and the nearest images contradict (each with the likelier label),
    near-duplicates under two labels, near-duplicates on both sides of a head's split, outliers, classes too small to be
    split, and, of a table with --stats, pictures that are dark, blurred or of an odd shape. Changes nothing.
    """
    from frieze import terminal
    from frieze.api import auditing

    document = auditing.audit(parameters.pop("features"), **parameters)
    options.warn_of_labels(document)
    if as_json:
        terminal.show_json(document)
        return
    findings_by_kind = document.pop("first")
    options.show_summary("audit", document, verbose=verbose)
    first = [finding for findings in findings_by_kind.values() for finding in findings]
    if first or not terminal.is_terminal():
        terminal.show_table(first, _COLUMNS)
