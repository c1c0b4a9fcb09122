"""`frieze.index`, `frieze.search` and `frieze.duplicates`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from frieze import terminal
from frieze.api.box_rows import check_no_boxes
from frieze.api.combined_query import combine_queries, is_nothing
from frieze.api.confirming import comparison_progress, find_copies
from frieze.api.duplicate_script import check_script, write_script
from frieze.api.existing import existing_document
from frieze.api.folder_kinds import check_kind
from frieze.api.moving import check_move, move_copies, undo_moves
from frieze.api.paths import open_table, to_local_path
from frieze.api.query_vectors import to_vectors
from frieze.api.remembered_options import resolve_index_options
from frieze.api.result_tables import SearchResult, check_groups, check_hits, write_groups, write_hits
from frieze.core import InputError
from frieze.reports.html import check_page, shown_as, write_report
from frieze.search_document import SearchOptions, search_document

if TYPE_CHECKING:
    from frieze.indexing import Index

_DEFAULT_K = 10


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
    """Build a FAISS index over a table of features, or update an existing one.

    An omitted option keeps the value stored in the index of that table at `out`; an empty text restores its default.

    Args:
        features: The table's folder.
        out: Folder of the index.
        metric: `cosine` (default), `l2` or `dot`.
        recall: Target recall@10, in (0, 1]; 0.95 by default.
        kind: `auto` (default), or the name of a kind.
        max_memory: Memory limit of the index while it serves, such as `500MB`; none by default.
        max_build_memory: Memory limit of the build.
        force: Rebuild, also over an index of another table.
        ray: `auto` or the address of a Ray cluster, whose machines add the vectors.

    Returns:
        The kind that was chosen and what was measured; options taken from the existing index (`remembered`), and those
        that differ from it (`changed`).

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    from frieze.indexing import build_index

    index_path = to_local_path(out)
    given = {"metric": metric, "recall": recall, "kind": kind, "max_memory": max_memory}
    resolved = resolve_index_options(given, features, index_path)
    table = open_table(features)
    with terminal.spinner("Indexing"):
        document = build_index(
            table, index_path, **resolved.options, max_build_memory=max_build_memory, force=force, ray=ray
        )
    return document | resolved.to_json()


def search(
    index: str | Path,
    query: Any = (),
    *,
    like: Any = (),
    unlike: Any = (),
    k: int | None = None,
    where: str | None = None,
    min_score: float | None = None,
    per: str | None = None,
    diverse: float | None = None,
    exists: bool = False,
    html: str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
) -> SearchResult:
    """Find the most similar images.

    Args:
        index: The index's folder.
        query: One of these, or a list: an image file, `id:NAME` of a stored image, `text:WORDS` where the backbone has
            a text tower (`text:a red bird|a photo of a bird|-a drawing`: prompts are averaged, those after `-`
            subtracted), a `.npy` file of vectors [n, D], a PIL image, an image file's bytes, uint8 pixels [H, W, 3] or
            [n, H, W, 3], vectors [D] or [n, D] of floats.
        like: Instead of `query`: one or more of these (single ones, not several vectors) that together are one query,
            the mean of their unit vectors. A weight goes with each as `'FILE=0.5'` or (query, 0.5).
        unlike: What hits are to be unlike: the mean of these unit vectors, each times its weight, is subtracted.
        k: Maximum number of hits per query. By default 10, but with `min_score` all (without `diverse`): then every
            stored vector is compared, so that none is missed, whatever the kind of the index; 100,000 hits at most.
        where: Filter: a condition in SQL over the hits' columns, such as `label = 'cat' and year >= 2019`.
        min_score: Leave out hits below this score.
        per: At most one hit of a value of this column, or N of `COLUMN:N`; a missing value is one, too.
        diverse: Choose hits unlike each other among the 10 k nearest (at least 100), by maximal marginal relevance: its
            lambda, 0 to 1. 1 keeps the order by score, 0 heeds variety alone.
        exists: Find only copies: files of equal bytes, else pictures that are confirmed as copies on their pixels, as
            by `duplicates`. Each query is then an image file; each has `exists` (None where it can't be read), and each
            hit `kind`, how it differs from the query, and `overlap`.
        html: Write the hits as pictures to this file.
        out: Write the hits as a table to this file: Parquet, CSV or JSON lines, by its suffix.
        force: Replace an existing table of hits.

    Returns:
        For each query its hits, best first: id, score (higher is nearer), label, uri and the table's other columns. An
        image or vector in memory is named `image N` or `vector N`, by its number N among the queries, from 0.
        The dict prints as its hits, and `.to_pandas()` has a row for each.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    from frieze.indexing import open_index

    if exists:
        _refuse_with_exists(min_score=min_score, per=per, diverse=diverse, like=like, unlike=unlike)
    if html is not None:
        check_page(to_local_path(html))
    if out is not None:
        check_hits(to_local_path(out), force=force)
    check_kind(to_local_path(index), "index")
    opened = open_index(to_local_path(index))
    if k is None and (exists or min_score is None or diverse is not None):
        k = _DEFAULT_K
    options = SearchOptions(k, where, min_score, per, diverse)
    if exists:
        document = existing_document(opened, query, options)
    else:
        document = _find_nearest(opened, (query, like, unlike), options, where=str(index))
    document |= {"index": str(index)}
    if html is not None:
        with shown_as(opened.spec.decoding):
            write_report(html, title="Search results", found=document)
    if out is None:
        return SearchResult(document)
    write_hits(to_local_path(out), document, opened)
    return SearchResult(document | {"out": str(to_local_path(out)), "renamed": opened.renamed_in_tables})


def _refuse_with_exists(**options: Any) -> None:
    """Refuse options that choose among hits where copies are asked for.

    Raises:
        InputError: One of them is given.
    """
    given = [name for name, value in options.items() if not is_nothing(value)]
    if given:
        raise InputError("With `exists` the pixels decide, not a score.", hint=f"Leave `{given[0]}` out.")


def _find_nearest(index: "Index", parts: tuple[Any, Any, Any], options: SearchOptions, *, where: str) -> dict[str, Any]:
    """Search for each query, or for one that is made of what hits are to be like and unlike.

    Raises:
        InputError: Both are given, or the search can't be made.
    """
    query, like, unlike = parts
    if is_nothing(like) and is_nothing(unlike):
        queries = to_vectors(index, query, where=where)
        return search_document(index, queries.names, queries.vectors, options, notes=queries.notes)
    if not is_nothing(query):
        raise InputError(
            "There are queries beside `like` and `unlike`, which are a query by themselves.",
            hint="Give each of them as `like` too, or leave them out.",
        )
    combined = combine_queries(index, like, unlike, where=where)
    names, vectors, notes = combined.queries
    document = search_document(index, names, vectors, options, notes=notes)
    document["queries"][0] |= {"like": combined.like, "unlike": combined.unlike}
    return document


def duplicates(
    index: str | Path | None = None,
    *,
    min_score: float | None = None,
    keep: str = "best",
    html: str | Path | None = None,
    out: str | Path | None = None,
    script: str | Path | None = None,
    force: bool = False,
    move_to: str | Path | None = None,
    yes: bool = False,
    undo: str | Path | None = None,
) -> dict[str, Any]:
    """Find the copies of images, each confirmed on its pixels, and apart from them the images that only look alike.

    Copies are equal files, and the same picture in another size, format or quality, cropped, mirrored, turned, framed,
    recoloured or with a text over it. Without OpenCV (the extra `duplicates`) only equal files are.

    Args:
        index: The index's folder; needed but for `undo`.
        min_score: Minimum score of a pair that looks alike; estimated from the collection by default.
        keep: Which image of a group to keep: `best` (an original before what was made of it, RAW, most pixels, least
            compressed, the oldest, the shortest path), `oldest` or `largest` (originals still come first), or a pattern
            of whole paths or ids such as `*/originals/*`, whose images come before all others.
        html: Write the groups as pictures to this file.
        out: Write the groups as a table, one row per image, to this file: Parquet, CSV or JSON lines, by its suffix.
        script: Write a shell script that moves the copies to this file, for review.
        force: Replace an existing table of duplicates, or script.
        move_to: Move the files of all copies but the ones to keep into this folder, below their paths relative to the
            folder that was embedded. Asks on the terminal first. Nothing is deleted or overwritten.
        yes: With `move_to`: do not ask.
        undo: Only move back what was moved into this folder before.

    Returns:
        `groups` of copies, largest first: of each the ids, the one to keep first, and of the others how they differ;
        and `look_alikes`. With `move_to` also how many were `moved`, and how many were `left` for what reason.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    if undo is not None:
        return undo_moves(to_local_path(undo))
    if index is None:
        raise TypeError("duplicates() needs an index, or `undo`.")
    from frieze.indexing import open_index

    folder = None if move_to is None else to_local_path(move_to)
    outputs = _Outputs(*(None if path is None else to_local_path(path) for path in (html, out, script)))
    outputs.check(force=force)
    check_kind(to_local_path(index), "index")
    opened = open_index(to_local_path(index))
    check_no_boxes(opened, move_to=folder, script=outputs.script)
    if folder is not None:
        check_move(folder, opened, yes=yes)
    with comparison_progress() as progress:
        groups = find_copies(opened, min_score=min_score, keep=keep, progress=progress)
    document = {"index": str(index), "stale": opened.staleness(), **groups}
    document |= outputs.write(opened, document)
    return document if folder is None else document | move_copies(opened, document, folder, yes=yes)


class _Outputs(NamedTuple):
    """The files to write beside the document of duplicates; None for each that is not asked for."""

    html: Path | None
    out: Path | None
    script: Path | None

    def check(self, *, force: bool) -> None:
        """Refuse a file that can't be written."""
        if self.html is not None:
            check_page(self.html)
        if self.out is not None:
            check_groups(self.out, force=force)
        if self.script is not None:
            check_script(self.script, force=force)

    def write(self, index: "Index", document: dict[str, Any]) -> dict[str, str]:
        """Write the files; return the document's fields of them."""
        if self.html is not None:
            with shown_as(index.spec.decoding):
                write_report(self.html, title="Duplicates", duplicates=document)
        if self.out is not None:
            write_groups(self.out, document)
        if self.script is not None:
            write_script(self.script, index, document)
        return {name: str(path) for name, path in self._asdict().items() if path is not None and name != "html"}
