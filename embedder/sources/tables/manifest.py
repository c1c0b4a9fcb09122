"""Manifests: tables that list images, one a row, with labels and other columns."""

import dataclasses
import posixpath
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, is_remote
from frieze.embedder.sources.base import File, Source, SourceOptions
from frieze.embedder.sources.files import to_id
from frieze.embedder.sources.label_lists import join_label_lists, split_label_lists
from frieze.embedder.sources.tables.base64_images import refuse_base64
from frieze.embedder.sources.tables.column_names import ID, IMAGE, LABEL, PATH, choose_column
from frieze.embedder.sources.tables.infer_types import infer_types, replace_missing
from frieze.embedder.sources.tables.read import (
    UNTYPED,
    concat_tables,
    missing_header_hint,
    read_header,
    read_notes,
    read_table,
)
from frieze.embedder.sources.tables.referenced_images import open_referenced, resolve_path
from frieze.features import Failure, user_columns

_LISTED = ("id", "uri", "label")
_TEXT = pa.string()


def open_manifest(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images that manifests refer to.

    Args:
        files: The manifests.
        source: The source as the user typed it.
        options: Names of columns, where they have no common name.

    Returns:
        The images in the order of the rows. A row without a path, or whose file is missing, is a failure. All other
        columns are the user's. Without a column of ids, the id is the path as written.

    Raises:
        InputError: A manifest can't be read, has no column of paths, or repeats an id.
    """
    failures: list[Failure] = []
    notes: list[str] = []
    tables = [_read_references(file, options, failures, notes) for file in files]
    references = join_label_lists(concat_tables(tables, source))
    if files[0].uri.lower().endswith(UNTYPED):  # then all are; types are inferred from all files together
        references = infer_types(references, references.column_names[len(_LISTED) :])
    folder = files[0].uri.rpartition("/")[0] or "/"
    is_alone = len(files) == 1 and not is_remote(folder)
    opened = open_referenced(references, failures, source, options, below=folder if is_alone else None)
    return dataclasses.replace(opened, has_columns=True, notes=(*notes, *opened.notes))


def choose_columns(names: Sequence[str], options: SourceOptions, uri: str) -> dict[str, str]:
    """Choose the columns of images, ids and labels; the last two are optional.

    Raises:
        InputError: The column of images is missing, or one that an option names.
    """
    ids = () if options.box_columns else ID  # rows are named by their image and box
    roles = {"image": (*PATH, *IMAGE), "id": ids, "label": LABEL if options.labels != "none" else ()}
    chosen = {}
    for role, common in roles.items():
        option = getattr(options, role)
        name = (
            choose_column(names, common) if option is None else next((name for name in names if name == option), None)
        )
        if name is not None:
            chosen[role] = name
        elif option is not None or role == "image":
            missing = option or f"of a common name ({', '.join(PATH)})"
            raise InputError(
                f"{uri} has no column {missing}; there are: {', '.join(names) or 'none'}.",
                hint=missing_header_hint(uri, names) or f"Name the column with `{role}='COLUMN'`.",
            )
    return chosen


def split_columns(table: pa.Table, chosen: dict[str, str]) -> pa.Table:
    """Return the user's columns under their stored names.

    Args:
        table: The table with all columns.
        chosen: From `choose_columns`.
    """
    rest = table.drop_columns([name for name in table.column_names if name in chosen.values()])
    return rest.rename_columns(user_columns(rest.column_names))


def _read_references(file: File, options: SourceOptions, failures: list[Failure], notes: list[str]) -> pa.Table:
    """Return id, uri, label and the user's columns of each row with a path; rows without one are failures."""
    names = read_header(file.uri)
    chosen = choose_columns(names, options, file.uri)
    table = read_table(file.uri, names, text=list(chosen.values()), lists=chosen.get("label"))
    if options.labels != "none":
        table, chosen = split_label_lists(table, chosen)
    notes.extend(read_notes(file.uri))
    if "label" in chosen:
        labels, label_notes = replace_missing(table[chosen["label"]], file.uri)
        table = table.set_column(table.column_names.index(chosen["label"]), chosen["label"], labels)
        notes.extend(label_notes)
    references, without_path = to_references(table, chosen, file)
    failures.extend(without_path)
    return references


def to_references(table: pa.Table, chosen: dict[str, str], file: File) -> tuple[pa.Table, list[Failure]]:
    """Return id, uri, label and the user's columns of each row of a table with a path, and a failure for each other.

    Args:
        table: The table; its columns of paths, ids and labels are text.
        chosen: From `choose_columns`.
        file: The file that it was read from; relative paths begin at its folder.
    """
    failures: list[Failure] = []
    has_path = replace_missing(table[chosen["image"]], file.uri)[0].is_valid()
    for row in np.flatnonzero(~np.asarray(has_path)).tolist():
        stated_id = table[chosen["id"]][row].as_py() if "id" in chosen else None
        name = stated_id or f"{to_id(file.name)}/{row}"
        failures.append(Failure(name, f"{file.uri}/{row}", "list", "no path", "the row has no path"))
    table = table.filter(has_path)
    refuse_base64(table[chosen["image"]], file.uri, chosen["image"])
    paths, base = table[chosen["image"]].to_pylist(), file.uri.rpartition("/")[0]
    ids = pa.chunked_array([pa.array(map(_path_to_id, paths), _TEXT)])
    listed = {
        "id": pc.coalesce(table[chosen["id"]], ids) if "id" in chosen else ids,
        "uri": pa.array([resolve_path(path, base) for path in paths], _TEXT),
        "label": table[chosen["label"]] if "label" in chosen else pa.nulls(len(table), _TEXT),
    }
    rest = split_columns(table, chosen)
    return pa.table(listed | {name: rest[name] for name in rest.column_names}), failures


def _path_to_id(path: str) -> str:
    return to_id(path if "://" in path else posixpath.normpath(path))
