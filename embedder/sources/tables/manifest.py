"""Manifests: tables that name images, one a row, and tell of them."""

import dataclasses
import posixpath
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, is_remote
from frieze.embedder.sources.base import File, Source, SourceOptions
from frieze.embedder.sources.files import to_id
from frieze.embedder.sources.tables.base64_images import check_are_paths
from frieze.embedder.sources.tables.column_names import ID, IMAGE, LABEL, PATH, choose
from frieze.embedder.sources.tables.infer_types import with_types
from frieze.embedder.sources.tables.missing_values import without_missing
from frieze.embedder.sources.tables.named_images import open_named, resolve
from frieze.embedder.sources.tables.read import UNTYPED, concat, header_mend, read_header, read_notes, read_table
from frieze.features import Failure, user_columns

_OURS = ("id", "uri", "label")
_TEXT = pa.string()


def open_manifest(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images that manifests name.

    Args:
        files: The manifests.
        source: What the user gave.
        options: Names of columns, where they are not the usual ones.

    Returns:
        The images in the order of the rows. A row without a path, or whose file is not there, is a failure. All other
        columns are the user's own. Without a column of ids, an image's id is its path as it is written.

    Raises:
        InputError: A manifest can't be read, has no column of paths, or an id is there twice.
    """
    failures: list[Failure] = []
    notes: list[str] = []
    tables = [_named(file, options, failures, notes) for file in files]
    named = concat(tables, source)
    if files[0].place.lower().endswith(UNTYPED):  # then all are, and now that all are there, their types can be told
        named = with_types(named, named.column_names[len(_OURS) :])
    folder = files[0].place.rpartition("/")[0] or "/"
    is_alone = len(files) == 1 and not is_remote(folder)
    opened = open_named(named, failures, source, options, below=folder if is_alone else None)
    return dataclasses.replace(opened, has_columns=True, notes=(*notes, *opened.notes))


def choose_columns(names: Sequence[str], options: SourceOptions, place: str) -> dict[str, str]:
    """Choose the columns that mean something: `image`, and `id` and `label` where there are such.

    Raises:
        InputError: There is no column of images, or none of the name that an option gives.
    """
    usual = {"image": (*PATH, *IMAGE), "id": ID, "label": LABEL if options.labels != "none" else ()}
    chosen = {}
    for what, known in usual.items():
        asked = getattr(options, what)
        name = choose(names, known) if asked is None else next((name for name in names if name == asked), None)
        if name is not None:
            chosen[what] = name
        elif asked is not None or what == "image":
            wanted = asked or f"of a usual name ({', '.join(PATH)})"
            raise InputError(
                f"{place} has no column {wanted}; there are: {', '.join(names) or 'none'}.",
                hint=header_mend(place, names) or f"Name the column with --{what} COLUMN.",
            )
    return chosen


def split_columns(table: pa.Table, chosen: dict[str, str]) -> pa.Table:
    """Give the user's own columns under the names they are stored by.

    Args:
        table: With all columns.
        chosen: From `choose_columns`.
    """
    own = table.drop_columns([name for name in table.column_names if name in chosen.values()])
    return own.rename_columns(user_columns(own.column_names))


def _named(file: File, options: SourceOptions, failures: list[Failure], notes: list[str]) -> pa.Table:
    """Give id, uri, label and the user's columns of each row that has a path; the others are failures."""
    names = read_header(file.place)
    chosen = choose_columns(names, options, file.place)
    table = read_table(file.place, names, text=list(chosen.values()))
    notes.extend(read_notes(file.place))
    if "label" in chosen:
        labels, said = without_missing(table[chosen["label"]], file.place)
        table = table.set_column(table.column_names.index(chosen["label"]), chosen["label"], labels)
        notes.extend(said)
    has_path = without_missing(table[chosen["image"]], file.place)[0].is_valid()
    for row in np.flatnonzero(~np.asarray(has_path)).tolist():
        own_id = table[chosen["id"]][row].as_py() if "id" in chosen else None
        name = own_id or f"{to_id(file.name)}/{row}"
        failures.append(Failure(name, f"{file.place}/{row}", "list", "no path", "the row has no path"))
    table = table.filter(has_path)
    check_are_paths(table[chosen["image"]], file.place, chosen["image"])
    paths, base = table[chosen["image"]].to_pylist(), file.place.rpartition("/")[0]
    ids = pa.chunked_array([pa.array(map(_id, paths), _TEXT)])
    ours = {
        "id": pc.coalesce(table[chosen["id"]], ids) if "id" in chosen else ids,
        "uri": pa.array([resolve(path, base) for path in paths], _TEXT),
        "label": table[chosen["label"]] if "label" in chosen else pa.nulls(len(table), _TEXT),
    }
    own = split_columns(table, chosen)
    return pa.table(ours | {name: own[name] for name in own.column_names})


def _id(path: str) -> str:
    return to_id(path if "://" in path else posixpath.normpath(path))
