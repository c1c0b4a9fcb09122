"""Labels and other columns from a file of their own, joined to a source by id."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from embedder.sources.column_types import with_types
from embedder.sources.columns import ID, LABEL, PATH, choose
from embedder.sources.manifest import split_columns
from embedder.sources.named import check_ids, shown
from embedder.sources.places import is_remote, to_uri
from embedder.sources.source import Source, SourceOptions
from embedder.sources.tables import SUFFIXES, UNTYPED, read_header, read_table
from features import InputError

_MEND = "Give --labels a CSV, TSV, JSONL or Parquet file with a column `id` (or a path as in the ids) and one `label`."


def join_labels(source: Source, labels: str, options: SourceOptions) -> Source:
    """Take the labels of a source's images, and all other columns, from a file.

    Args:
        source: The source; its own labels are replaced.
        labels: Path of a table with a column of ids and one of labels.
        options: The names of these two, where they are not the usual ones.

    Returns:
        The source; an image that the file does not name has no label, and rows that name no image are counted.

    Raises:
        InputError: The file can't be read, lacks a column, names an id twice, or names no image of the source.
    """
    place = labels if is_remote(labels) else to_uri(str(Path(labels).absolute()))
    if not place.lower().endswith(SUFFIXES):
        raise InputError(f"--labels is {labels}: neither folder nor none, nor a table.", mend=_MEND)
    names = read_header(place)
    columns = _choose_columns(names, options, place)
    table = read_table(place, names, text=list(columns.values()))
    if place.lower().endswith(UNTYPED):
        table = with_types(table, [name for name in names if name not in columns.values()])
    check_ids(table[columns["id"]], place)
    images, n_unmatched = _join(source.listing.images, table, columns, place)
    listing = dataclasses.replace(source.listing, images=images)
    return dataclasses.replace(source, listing=listing, n_unmatched=n_unmatched)


def _choose_columns(names: Sequence[str], options: SourceOptions, place: str) -> dict[str, str]:
    chosen = {}
    for what, usual in {"id": (*ID, *PATH), "label": LABEL}.items():
        asked = getattr(options, what)
        name = choose(names, usual) if asked is None else asked
        if name not in names:
            wanted = f"{what}s" + (f" of the name {asked}" if asked else "")
            raise InputError(f"{place} has no column of {wanted}; there are: {', '.join(names) or 'none'}.", mend=_MEND)
        chosen[what] = str(name)
    return chosen


def _join(images: pa.Table, table: pa.Table, columns: dict[str, str], place: str) -> tuple[pa.Table, int]:
    """Give the images with their labels and columns, and the number of rows that name none."""
    ids = table[columns["id"]]
    at = pc.index_in(images["id"], ids.drop_null())
    if len(images) and not pc.any(at.is_valid()).as_py():
        raise InputError(
            f"{place} names no image of the source: its ids are {shown(ids)}, the source's {shown(images['id'])}.",
            mend="Write the ids as frieze does, the path below the source; or name their column with --id COLUMN.",
        )
    table = table.filter(ids.is_valid())
    own = split_columns(table, columns)
    joined = {name: images[name] for name in images.column_names} | {"label": table[columns["label"]].take(at)}
    n_unmatched = len(table) - (len(at) - at.null_count)  # an id stands once on either side
    return pa.table(joined | {name: own[name].take(at) for name in own.column_names}), n_unmatched
