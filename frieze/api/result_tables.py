"""Search hits and duplicate groups as tables: one row per hit, or one row per image of a group."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from frieze.core import InputError, check_table_file, counted, write_table_file
from frieze.features import image_cell, import_library

if TYPE_CHECKING:
    from frieze.indexing import Index

HITS = pa.schema(
    [
        pa.field("query", pa.string()),
        pa.field("rank", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("label", pa.string()),
        pa.field("uri", pa.string()),
    ]
)
"""The first columns of a table of hits; the columns of the index follow."""

GROUPS = pa.schema(
    [
        pa.field("group", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("uri", pa.string()),
        pa.field("keep", pa.bool_()),
        pa.field("exact", pa.bool_()),
        pa.field("min_score", pa.float64()),
        pa.field("kind", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("overlap", pa.float64()),
    ]
)
"""The columns of a table of duplicates; the last three are of a copy, against the one to keep."""

_FIRST_GROUPS = GROUPS.names[:6]
"""All that earlier versions wrote."""

_OF_KEEPER = {"keep": True, "kind": None, "score": None, "overlap": 1.0}


_SHOWN_HITS, _SHOWN_ROWS = 5, 10
_SHOWN_QUERIES = 10
"""Queries of which a notebook shows the hits."""


class SearchResult(dict[str, Any]):
    """The document of `frieze.search`, a dict, that prints as its hits and turns into a data frame."""

    def __repr__(self) -> str:
        lines = [self._title()]
        for row in hit_rows(self):
            if row["rank"] <= _SHOWN_HITS:
                label = "" if row["label"] is None else f"  {row['label']}"
                lines.append(f"  {row['query']}  {row['rank']}.  {row['score']:.4f}  {row['id']}{label}")
        return "\n".join(lines)

    def _title(self) -> str:
        n_queries = counted(len(self["queries"]), "query", "queries")
        most = f"min_score={self['min_score']}" if self["k"] is None else f"k={self['k']}"
        return f"SearchResult({n_queries}, {most}, {self['index']!r})"

    def _repr_html_(self) -> str:
        """Return the title and, for each query, a strip of thumbnails: its own where it is a file, then the hits."""
        strips = "".join(map(_strip, self["queries"][:_SHOWN_QUERIES]))
        n_more = len(self["queries"]) - _SHOWN_QUERIES
        more = f"<div>... and {counted(n_more, 'query', 'queries')} more</div>" if n_more > 0 else ""
        return f"<div><code>{html.escape(self._title())}</code>{strips}{more}</div>"

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row per hit: query, rank, id, score, label, uri and the index's columns.

        Raises:
            InputError: pandas is not installed.
        """
        rows = hit_rows(self)
        return import_library("pandas").DataFrame(rows, columns=None if rows else HITS.names)

    def to_polars(self) -> Any:
        """Return a polars.DataFrame with the rows and columns of `to_pandas`.

        Raises:
            InputError: Polars is not installed.
        """
        polars, rows = import_library("polars"), hit_rows(self)
        return polars.DataFrame(rows, infer_schema_length=None) if rows else polars.from_arrow(HITS.empty_table())


def _strip(of_query: dict[str, Any]) -> str:
    """Return the HTML of a query and its first hits, each with its score and label."""
    query = str(of_query["query"])
    cells = [image_cell(query, query, query)]
    for hit in of_query["hits"][:_SHOWN_HITS]:
        label = "" if hit["label"] is None else f" {hit['label']}"
        cells.append(image_cell(hit["uri"] or "", hit["id"], f"{hit['score']:.3f}{label}"))
    return f"<div>{''.join(cells)}</div>"


class Predictions(dict[str, Any]):
    """The document of `frieze.predict`, a dict, that prints its predictions and turns into a data frame."""

    def __repr__(self) -> str:
        rows = self.get("predictions", ())
        lines = [f"Predictions({counted(self['rows'], 'row')}, {self['failed']:,} failed)"]
        lines += [f"  {row['id']}  {row['prediction']}  {row['probability']:.4f}" for row in rows[:_SHOWN_ROWS]]
        return "\n".join([*lines, "  ..."] if len(rows) > _SHOWN_ROWS else lines)

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row per image: id, prediction, probability, and what else was asked for.

        Raises:
            InputError: They are in a file, or pandas is not installed.
        """
        return import_library("pandas").DataFrame(self._rows())

    def to_polars(self) -> Any:
        """Return a polars.DataFrame with the rows and columns of `to_pandas`.

        Raises:
            InputError: They are in a file, or Polars is not installed.
        """
        return import_library("polars").DataFrame(self._rows(), infer_schema_length=None)

    def _rows(self) -> list[dict[str, Any]]:
        if "predictions" not in self:
            raise InputError(f"The predictions are in {self['out']}.", hint="Read that file, or predict without `out`.")
        rows: list[dict[str, Any]] = self["predictions"]
        return rows


def hit_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the hits in the document of `search` as rows, query by query, best first."""
    return [
        {"query": of_query["query"], "rank": rank} | hit | {"query": of_query["query"], "rank": rank}
        for of_query in document["queries"]
        for rank, hit in enumerate(of_query["hits"], 1)
    ]


def existing_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the copies in the document of `search` with `exists` as rows; a query without one is a row, too."""
    return [
        {"kind": None, "score": None, "id": None} | hit | {"query": one["query"], "exists": one["exists"]}
        for one in document["queries"]
        for hit in one["hits"] or [{}]
    ]


def group_rows(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the images in the document of `duplicates` as rows, group by group, the one to keep first."""
    for number, group in enumerate(document["groups"]):
        of_group = {"group": number, "exact": group["exact"], "min_score": group["min_score"]}
        yield of_group | {"id": group["keep"], "uri": group["uris"][0]} | _OF_KEEPER
        for member in group["members"]:
            yield of_group | member | {"keep": False}


def check_hits(out: Path, *, force: bool) -> None:
    """Check that a table of hits can be written to a file.

    Raises:
        FeatureFileError: It can't, the file holds something else, or has another suffix.
    """
    check_table_file(out, lambda names: names[: len(HITS)] == HITS.names, "hits", force=force)


def check_groups(out: Path, *, force: bool) -> None:
    """Check that a table of duplicates can be written to a file.

    Raises:
        FeatureFileError: It can't, the file holds something else, or has another suffix.
    """
    check_table_file(out, lambda names: names[: len(_FIRST_GROUPS)] == _FIRST_GROUPS, "duplicates", force=force)


def write_hits(out: Path, document: dict[str, Any], index: "Index") -> None:
    """Write the document of `search` as a table: the columns of `HITS`, then those of the index in their own types.

    Raises:
        FeatureFileError: The disk refuses, or the file format can't hold a column.
    """
    hits = pa.Table.from_pylist([{name: row[name] for name in HITS.names} for row in hit_rows(document)], HITS)
    metadata = index.metadata(hits["id"].to_pylist())
    for field in metadata.schema:
        if field.name not in HITS.names:
            hits = hits.append_column(field, metadata[field.name])
    write_table_file(out, hits.schema, [hits])


def write_groups(out: Path, document: dict[str, Any]) -> None:
    """Write the document of `duplicates` as a table with the columns of `GROUPS`.

    Raises:
        FeatureFileError: The disk refuses.
    """
    write_table_file(out, GROUPS, [pa.Table.from_pylist(list(group_rows(document)), schema=GROUPS)])
