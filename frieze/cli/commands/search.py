"""`frieze search`."""

from typing import Any

import click

from frieze.cli import options

_COLUMNS = ("score", "label", "id")
_EXISTS_COLUMNS = ("query", "exists", "kind", "score", "id")


@click.command(epilog="Example: frieze search photos.index holiday.jpg id:cats/tom.jpg -k 5")
@click.argument("index")
@click.argument("query", nargs=-1)
@click.option(
    "--like",
    multiple=True,
    metavar="QUERY[=W]",
    help="Instead of QUERY, once or more: find what is like all of these, each with a weight.",
)
@click.option("--unlike", multiple=True, metavar="QUERY[=W]", help="With --like: and unlike these.")
@click.option(
    "-k",
    type=click.IntRange(min=1),
    help="Maximum number of hits per query.  [default: 10; with --min-score all, but not with --diverse]",
)
@click.option("--where", metavar="EXPR", help="Find only images that pass, such as \"label = 'cat' and year >= 2019\".")
@click.option("--min-score", type=float, metavar="S", help="Leave out hits below this score.")
@click.option("--per", metavar="COLUMN[:N]", help="Find at most one image, or N, of a value of COLUMN.")
@click.option(
    "--diverse",
    type=click.FloatRange(0, 1),
    metavar="L",
    help="Find images unlike each other: 1 keeps the order by score, 0 heeds variety alone; 0.5 is usual.",
)
@click.option(
    "--exists", is_flag=True, help="Find only copies of QUERY files; exit code 0: all are there, 4: one is not."
)
@click.option("--html", metavar="FILE", help="Write the hits as pictures to FILE.")
@options.table_out("hits")
@options.as_json
def search(*, as_json: bool, **parameters: Any) -> None:
    """Find the images most similar to each QUERY.

    QUERY is an image file, id:NAME of a stored image, FILE.npy of vectors, or, where the backbone has a text tower
    (CLIP, SigLIP), words: 'text:a red bird'. Of 'text:a red bird|a photo of a bird|-a drawing' the first two are
    averaged, the one after - is subtracted. A higher score is nearer; scores of words are lower than those of images,
    also for the right ones. A stored image is among its own hits.

    Several images or words can be one query: --like a.jpg --like b.jpg=0.5 --unlike 'text:a drawing'.

    With --exists each QUERY is an image file, and the question is whether the picture is there already: by its bytes,
    else by a copy that is confirmed on the pixels, as by frieze duplicates. Exit code 0: all are there, 4: one or more
    are not, 3: some can't be read.
    """
    from frieze import terminal
    from frieze.api import searching
    from frieze.core import shorten

    if not any(parameters[name] for name in ("query", "like", "unlike")):
        raise click.UsageError("Missing argument 'QUERY...'.")
    document = searching.search(parameters.pop("index"), parameters.pop("query"), **parameters)
    options.warn_if_stale(document)
    _warn(document)
    if as_json:
        terminal.show_json(document)
    else:
        _show_hits(document, per=parameters["per"])
    if parameters["exists"]:
        failures = [f"{one['query']} ({one['reason']})" for one in document["failures"]]
        options.end(document | {"failures": failures}, where=shorten(failures), unit="file")
        if document["n_missing"]:
            click.get_current_context().exit(options.SOME_MISSING)


def _show_hits(document: dict[str, Any], *, per: str | None) -> None:
    from frieze import terminal
    from frieze.api.result_tables import existing_rows, hit_rows

    if "n_existing" in document:
        terminal.show_table(existing_rows(document), _EXISTS_COLUMNS)
        return
    rows = hit_rows(document)
    columns = [*_COLUMNS, *_per_column(rows, per)]
    if not terminal.is_terminal():
        terminal.show_table(rows, ("query", *columns))
        return
    for of_query in document["queries"]:
        terminal.show_fields({"query": of_query["query"]})
        terminal.show_table(of_query["hits"], columns)


def _per_column(rows: list[dict[str, Any]], per: str | None) -> list[str]:
    """Return the column that `--per COLUMN[:N]` names, unless it is shown anyway.

    >>> _per_column([{"id": "a", "site": "north"}], "site:2"), _per_column([{"label": "cat"}], "label")
    (['site'], [])
    """
    named = [name for name in (per, (per or "").rpartition(":")[0]) if rows and name in rows[0]]
    return [name for name in named[:1] if name not in _COLUMNS]


def _warn(document: dict[str, Any]) -> None:
    """Print whether nothing was found, which vectors are similar to nothing, and which columns have another name."""
    from frieze import terminal
    from frieze.core import shorten

    for note in document["notes"]:
        terminal.show_note(f"{note}")
    if "n_existing" not in document and not any(one["hits"] for one in document["queries"]):
        passes = "passes the filter" if document["min_score"] is None else f"has a score of {document['min_score']:g}"
        terminal.show_note(f"no image {passes}, so there are no hits.")
    if zeros := document["zero_queries"]:
        terminal.show_note(f"vectors that are all zeros have the score 0 with every image: {shorten(zeros)}.")
    elif (n_zero := document["n_zero"]) and any(
        hit["score"] == 0 for one in document["queries"] for hit in one["hits"]
    ):
        terminal.show_note(f"stored vectors that are all zeros: {n_zero:,}; their score is 0 with every query.")
    for column, name in document["renamed"].items():
        terminal.show_note(f"the table's column {column} is {name} in the hits; --where accepts both names.")
