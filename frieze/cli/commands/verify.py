"""`frieze verify`."""

import click

from frieze.cli import options

_BROKEN = 1


@click.command(epilog="Example: frieze verify photos.features --sample 20")
@click.argument("path")
@click.option("--sample", type=click.IntRange(min=0), default=0, metavar="N", help="Embed N images again and compare.")
@options.verbose
@options.as_json
def verify(*, path: str, sample: int, as_json: bool, verbose: bool) -> None:
    """Verify the folder PATH: features, an index, a head or an exported model.

    Checks files and hashes, counts, unique ids, finite vectors; with --sample the backbone, too. Exit code 1 means
    that something is broken.
    """
    from frieze import terminal
    from frieze.api import tables

    document = tables.verify(path, sample=sample)
    problems = document["problems"]
    options.show("verify", document, as_json=as_json, verbose=verbose)
    options.warn_if_stale(document)
    for note in document.get("notes", []):
        terminal.show_note(f"{note}")
    for problem in problems:
        terminal.show_problem(problem)
    if problems:
        click.get_current_context().exit(_BROKEN)
