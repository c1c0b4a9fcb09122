"""Labels and other columns from a file of their own, joined to a source by id."""

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from embedder.sources.columns import ID, LABEL, PATH, choose
from embedder.sources.manifest import split_columns
from embedder.sources.named import check_ids
from embedder.sources.places import to_uri
from embedder.sources.source import Source
from embedder.sources.tables import SUFFIXES, read_header, read_table
from features import InputError

_MEND = "Give --labels a CSV, TSV, JSONL or Parquet file with a column `id` (or a path as in the ids) and one `label`."


def join_labels(source: Source, labels: str) -> Source:
    """Take the labels of a source's images, and all other columns, from a file.

    Args:
        source: The source; its own labels are replaced.
        labels: Path of a table with a column of ids and one of labels.

    Returns:
        The source; an image that the file does not name has no label.

    Raises:
        InputError: The file can't be read, lacks a column, names an id twice, or names no image of the source.
    """
    place = to_uri(str(Path(labels).absolute()))
    if not place.lower().endswith(SUFFIXES):
        raise InputError(f"--labels is {labels}: neither folder nor none, nor a table.", mend=_MEND)
    names = read_header(place)
    chosen = {"id": choose(names, (*ID, *PATH)), "label": choose(names, LABEL)}
    if None in chosen.values():
        raise InputError(f"{place} has no columns of ids and labels; there are: {', '.join(names)}.", mend=_MEND)
    columns = {what: str(name) for what, name in chosen.items()}
    table = read_table(place, names, text=list(columns.values()))
    ids, images = table[columns["id"]], source.listing.images
    check_ids(ids, place)
    at = pc.index_in(images["id"], ids)
    if len(images) and not pc.any(at.is_valid()).as_py():
        raise InputError(
            f"{place} names no image of the source: its ids are like {ids[0]}, the source's like {images['id'][0]}.",
            mend="Write the ids as frieze does: the path below the source.",
        )
    images = images.set_column(2, "label", table[columns["label"]].take(at))
    own = split_columns(table, columns)
    kept = images.drop_columns([name for name in own.column_names if name in images.column_names])
    images = pa.table(
        {name: kept[name] for name in kept.column_names} | {name: own[name].take(at) for name in own.column_names}
    )
    return dataclasses.replace(source, listing=dataclasses.replace(source.listing, images=kept))
