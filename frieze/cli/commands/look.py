"""`frieze look`."""

import shlex

import click

from frieze.cli import options


@click.command(epilog="Example: frieze look photos")
@click.argument("folder")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 for any free one.  [default: 8501, else any]")
@click.option("--browser/--no-browser", default=True, help="Open the page in the browser.  [default: --browser]")
@options.quiet
def look(*, folder: str, port: int | None, browser: bool) -> None:
    """Look at the pictures of FOLDER in the browser: similar ones, duplicates, a map.

    Embeds and indexes them with the defaults of embed and index, as FOLDER.features and FOLDER.index beside it, which
    other commands take, and serves the page. Run it again to bring it up to date. Where nothing can be written beside
    the folder, both are kept in the user's cache.
    """
    from frieze import terminal
    from frieze.api import looking
    from frieze.cli.summaries import summarize

    collection = looking.update(folder)  # apart from the page, to print what was made before it is served
    if not terminal.is_quiet():
        terminal.show_lines(summarize("embed", collection.embedded))
    options.warn_of_source(collection.embedded)
    options.warn_of_removed(collection.embedded)
    if n_failed := collection.embedded["failed"]:
        table = collection.embedded["out"]
        terminal.show_note(
            f"pictures that can't be used: {n_failed:,}; for their names: frieze info {shlex.quote(table)}"
        )
    looking.open_page(collection, port=port, browser=browser)
