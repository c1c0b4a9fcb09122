"""`frieze.index`, `frieze.search` and `frieze.duplicates`."""

from pathlib import Path
from typing import Any

from frieze import terminal as output
from frieze.api.folder_kinds import check_kind
from frieze.api.paths import open_table, to_place
from frieze.api.query_vectors import to_vectors
from frieze.api.remembered_indexing import recall_index
from frieze.api.result_tables import check_groups, check_hits, write_groups, write_hits
from frieze.reports.html import check_page, write_report
from frieze.search_document import SearchOptions, answer


def index(
    features: str | Path,
    *,
    out: str | Path,
    metric: str | None = None,
    recall: float | str | None = None,
    kind: str | None = None,
    max_memory: str | int | None = None,
    max_build_memory: str | int | None = None,
    force: bool = False,
    ray: str | None = None,
) -> dict[str, Any]:
    """Build a FAISS index over a table of features, or bring one up to date.

    An option that is left out is as the index of that table at `out` was asked for; an empty text asks for its default
    again.

    Args:
        features: The table's folder.
        out: Folder of the index.
        metric: `cosine` (default), `l2` or `dot`.
        recall: Wanted recall@10, in (0, 1]; 0.95 by default.
        kind: `auto` (default), or the name of a kind.
        max_memory: What the index may hold in memory while it serves, such as `500MB`; any by default.
        max_build_memory: What building it may take in memory.
        force: Build anew, also over an index of another backbone.
        ray: `auto` or the address of a Ray cluster, whose machines fill the index.

    Returns:
        What was chosen and measured; options that the index before brought (`remembered`) or was asked for otherwise
        (`changed`).

    Raises:
        InputError: Something you can mend; the message says how.
    """
    from frieze.indexing import build_index

    recalled = recall_index(locals(), features, to_place(out))
    table = open_table(features)
    with output.waiting("Indexing"):
        document = build_index(
            table, to_place(out), **recalled.options, max_build_memory=max_build_memory, force=force, ray=ray
        )
    return document | recalled.to_json()


def search(
    index: str | Path,
    query: Any,
    *,
    k: int = 10,
    where: str | None = None,
    min_score: float | None = None,
    html: str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Find the most similar images.

    Args:
        index: The index's folder.
        query: One of these, or a list: an image file, `id:NAME` of a stored image, a `.npy` file of vectors [n, D], a
            PIL image, an image file's bytes, uint8 pixels [H, W, 3] or [n, H, W, 3], vectors [D] or [n, D] of floats.
        k: Hits a query at most.
        where: Find only images that pass this filter: a condition in SQL's words over the hits' columns, such as
            `label = 'cat' and year >= 2019`.
        min_score: Leave out hits below this score.
        html: Write the hits as pictures to this file.
        out: Write the hits as a table to this file: Parquet, CSV or JSON lines, by its suffix.
        force: Replace a table of hits that is there.

    Returns:
        For each query its hits, best first: id, score (higher is nearer), label, uri and the table's other columns. An
        image or vector in memory is named `image N` or `vector N`, by its place N among the queries from 0 on.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    from frieze.indexing import open_index

    if html is not None:
        check_page(to_place(html))
    if out is not None:
        check_hits(to_place(out), force=force)
    check_kind(to_place(index), "index")
    opened = open_index(to_place(index))
    names, vectors = to_vectors(opened, query, where=str(index))
    document = answer(opened, names, vectors, SearchOptions(k, where, min_score)) | {"index": str(index)}
    if html is not None:
        write_report(html, title="Search results", found=document)
    if out is None:
        return document
    write_hits(to_place(out), document, opened)
    return document | {"out": str(to_place(out)), "renamed": opened.renamed_in_tables}


def duplicates(
    index: str | Path,
    *,
    min_score: float | None = None,
    html: str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Find the groups of images that are duplicates of each other: equal files first, then near-duplicates.

    Args:
        index: The index's folder.
        min_score: The lowest score of a pair of near-duplicates; drawn from the collection by default.
        html: Write the groups as pictures to this file.
        out: Write the groups as a table, a row an image, to this file: Parquet, CSV or JSON lines, by its suffix.
        force: Replace a table of duplicates that is there.

    Returns:
        The groups, largest first: of each the ids, the one to keep first, and the lowest score inside it.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    from frieze.indexing import find_duplicates, open_index

    if html is not None:
        check_page(to_place(html))
    if out is not None:
        check_groups(to_place(out), force=force)
    check_kind(to_place(index), "index")
    opened = open_index(to_place(index))
    with output.progress("Comparing", "images") as step:
        found = find_duplicates(opened, min_score=min_score, progress=step)
    document = {"index": str(index), "stale": opened.staleness(), **found}
    if html is not None:
        write_report(html, title="Duplicates", duplicates=document)
    if out is None:
        return document
    write_groups(to_place(out), document)
    return document | {"out": str(to_place(out))}
