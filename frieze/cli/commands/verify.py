"""`frieze verify`."""

import click

from frieze.cli import options

_BROKEN = 1


@click.command(epilog="Example: frieze verify photos.features --sample 20")
@click.argument("path")
@click.option("--sample", type=click.IntRange(min=0), default=0, metavar="N", help="Embed N images again and compare.")
@options.as_json
def verify(*, path: str, sample: int, as_json: bool) -> None:
    """Check again all that was promised about the folder PATH: features, an index, a head or an exported model.

    Files and hashes, counts, unique ids, finite vectors, the backbone. Exit code 1 tells that something is broken.
    """
    from frieze import terminal as output
    from frieze.api import tables as api

    document = api.verify(path, sample=sample)
    problems = document["problems"]
    if as_json:
        output.show_json(document)
    else:
        output.show_facts({name: value for name, value in document.items() if name not in ("problems", "notes")})
    options.warn(document)
    for note in document.get("notes", []):
        output.say(f"Note: {note}")
    for problem in problems:
        output.show_problem(problem)
    if problems:
        click.get_current_context().exit(_BROKEN)
