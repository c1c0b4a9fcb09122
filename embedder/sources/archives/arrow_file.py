"""Datasets that Hugging Face's `save_to_disk` wrote: Arrow files, whose rows hold the images' bytes."""

import bisect
import functools
import itertools
import json
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import ImageError, InputError, Rows, is_remote
from frieze.embedder.sources.archives.parquet import row_base, split_row, with_image_column
from frieze.embedder.sources.base import Content, File, Listing, Source, SourceOptions, read_error
from frieze.embedder.sources.files import stat_uri, to_id, to_path
from frieze.embedder.sources.label_lists import join_label_lists, split_label_lists
from frieze.embedder.sources.tables.class_names import with_class_names
from frieze.embedder.sources.tables.manifest import choose_columns, split_columns
from frieze.embedder.sources.tables.read import concat_tables, to_text_column, translate_read_errors
from frieze.embedder.sources.tables.referenced_images import check_ids, read_referenced, resolve_path
from frieze.features import LISTING, Failure

_STATE = "state.json"
_SPLITS = "dataset_dict.json"
_FILE_SIGNATURE = b"ARROW1"
"""Of the format of files; `save_to_disk` writes streams, which have none."""


def open_arrow(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images of a saved `Dataset` or `DatasetDict`.

    Args:
        files: Arrow files. Of those beside a `state.json` only the ones that it names: others are caches.
        source: The source as the user typed it.
        options: Names of columns; by default the images are in the column that the dataset says.

    Returns:
        The images in the order of the rows; the id is `FILE/ROW` without a column of ids. Class numbers become names.
        The splits of a `DatasetDict` are in the column `split`. A file that a `state.json` names and that is not there
        is a failure: a half-copied dataset must not lose its rows.

    Raises:
        InputError: A file can't be read, has no column of images, or is in a bucket.
    """
    missing: Iterable[Failure] = () if len(files) == 1 and files[0].uri == source else _find_missing(files)
    opened = [_ArrowFile(file, options) for file in _without_caches(files)]
    images = join_label_lists(concat_tables([LISTING.empty_table(), *(file.list_rows() for file in opened)], source))
    check_ids(images["id"], source)
    return Source(Listing(source, images, tuple(missing)), _Reader(opened, options).read, has_columns=True)


def read_arrow_row(uri: str, below: str) -> bytes:
    """Read one image by the number of its row.

    Args:
        uri: URI of the file.
        below: The rest of the image's URI, as `row_base` begins it.

    Raises:
        ImageError: The row does not exist or can't be read.
    """
    column, row = split_row(below)
    options = SourceOptions(labels="none", image=column, max_bytes=1 << 62)
    try:
        (content,) = _Reader([_ArrowFile(File("", uri), options)], options).read(np.array([int(row)]))
    except (ValueError, IndexError, InputError) as error:
        raise ImageError("read", "unreadable", str(error)) from error
    if isinstance(content, ImageError):
        raise content
    return content


def _without_caches(files: Sequence[File]) -> list[File]:
    """Drop the files that the `state.json` beside them does not name, such as results of `map`."""
    named = {folder: _read_state(folder) for folder in {posixpath.dirname(file.uri) for file in files}}
    kept = [(file, named[posixpath.dirname(file.uri)]) for file in files]
    return [file for file, names in kept if names is None or posixpath.basename(file.uri) in names]


def _find_missing(files: Sequence[File]) -> Iterator[Failure]:
    """Yield a failure for each file that a dataset names and that is not there, and for each such split."""
    folders = {posixpath.dirname(file.uri): posixpath.dirname(file.name) for file in files}
    for folder, name in list(folders.items()):
        parent = posixpath.dirname(folder)
        splits = _read_names(parent, _SPLITS, lambda document: document["splits"]) if name else None
        folders |= {f"{parent}/{split}": posixpath.join(posixpath.dirname(name), split) for split in splits or ()}
    for folder, name in folders.items():
        named = _read_state(folder)
        paths = [(name, folder)] if named is None else [(posixpath.join(name, one), f"{folder}/{one}") for one in named]
        for below, uri in paths:
            if not os.path.exists(to_path(uri)):
                yield Failure(to_id(below), uri, "list", "unreadable", "the dataset names it, and it is not there")


def _read_names(folder: str, file_name: str, select: Callable[[Any], Iterable[str]]) -> list[str] | None:
    """Return names that a dataset's JSON file has; None without such a file."""
    try:
        with open(os.path.join(to_path(folder), file_name.encode()), "rb") as file:
            return [str(one) for one in select(json.load(file))]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _read_state(folder: str) -> list[str] | None:
    """Return the files that a folder's `state.json` names; None without one.

    Raises:
        InputError: The rows are selected by another file.
    """
    names = _read_names(folder, _STATE, lambda state: [one["filename"] for one in state["_data_files"]])
    if _read_names(folder, _STATE, lambda state: state["_indices_data_files"] or ()):
        raise InputError(
            f"{folder} was saved with a selection of its rows beside them.",
            hint="Save it again without: load_from_disk(FOLDER).flatten_indices().save_to_disk(NEW)",
        )
    return names


class _ArrowFile:
    """One file, mapped into memory when it is read.

    Attributes:
        uri: Its URI.
        stat: Size in bytes and mtime in nanoseconds when it was listed.
        n_rows: Number of rows.
        column: The column of images.
    """

    def __init__(self, file: File, options: SourceOptions) -> None:
        if is_remote(file.uri):
            raise InputError(f"{file.uri} is in a bucket; Arrow files are read from disk.", hint="Copy them first.")
        self.uri = file.uri
        self._name = file.name
        with translate_read_errors(file.uri):
            self.stat = stat_uri(file.uri)
            self.n_rows, schema = len(self.table), self.table.schema
        self._base = row_base(file.uri, options.image)
        self._options = with_image_column(options, schema)
        self.column = choose_columns(schema.names, self._options, file.uri)["image"]
        if self._bytes_of(schema.field(self.column).type) is None:
            raise InputError(
                f"The column {self.column} of {file.uri} holds {schema.field(self.column).type}, no images.",
                hint="Name another column: `image='COLUMN'`.",
            )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "table"}

    @functools.cached_property
    def table(self) -> pa.Table:
        """Its rows, without a copy."""
        mapped = pa.memory_map(os.fsdecode(to_path(self.uri)))
        is_file = mapped.read(len(_FILE_SIGNATURE)) == _FILE_SIGNATURE
        mapped.seek(0)
        return (pa.ipc.open_file(mapped) if is_file else pa.ipc.open_stream(mapped)).read_all()

    @staticmethod
    def _bytes_of(kind: pa.DataType) -> pa.DataType | None:
        kind = kind.field("bytes").type if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0 else kind
        return kind if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None

    def list_rows(self) -> pa.Table:
        """Return its rows of the listing."""
        chosen = choose_columns(self.table.column_names, self._options, self.uri)
        table = with_class_names(self.table.drop_columns([self.column]), self.uri)
        if self._options.labels != "none":
            table, chosen = split_label_lists(table, chosen)
        for name in {chosen[role] for role in ("id", "label") if role in chosen}:
            table = table.set_column(table.column_names.index(name), name, to_text_column(table[name], self.uri, name))
        n_rows, texts = self.n_rows, pa.string()
        ids = pa.chunked_array([pa.array([f"{to_id(self._name)}/{row}" for row in range(n_rows)], texts)])
        listed = {
            "id": pc.coalesce(table[chosen["id"]], ids) if "id" in chosen else ids,
            "uri": [f"{self._base}/{row}" for row in range(n_rows)],
            "label": table[chosen["label"]] if "label" in chosen else pa.nulls(n_rows, texts),
            "size_bytes": pa.nulls(n_rows, pa.int64()),
            "mtime_ns": [self.stat[1]] * n_rows,
        }
        rest = split_columns(table, chosen).replace_schema_metadata(None)
        rest = self._with_split(rest)
        return pa.table(
            listed | {name: rest[name] for name in rest.column_names}, schema=pa.schema([*LISTING, *rest.schema])
        )

    def _with_split(self, columns: pa.Table) -> pa.Table:
        folder = posixpath.dirname(self.uri)
        parent, split = posixpath.split(folder)
        is_split = os.path.exists(os.path.join(to_path(parent or "/"), _SPLITS.encode()))
        if not is_split or "split" in columns.column_names:
            return columns
        values = pa.array([split] * self.n_rows, pa.string())
        return columns.append_column("split", values) if columns.num_columns else pa.table({"split": values})

    def read(self, row: int, options: SourceOptions) -> bytes:
        """Return the bytes of a row.

        Raises:
            ImageError: It has none, or they can't be read.
            OSError: The file can't be read.
        """
        value = self.table[self.column][row]
        image = value.as_py()
        data = image.get("bytes") if isinstance(image, dict) else image
        if data is None and isinstance(image, dict) and image.get("path"):
            return read_referenced(resolve_path(image["path"], posixpath.dirname(self.uri)), options)
        if data is None:
            raise ImageError("read", "no bytes", "the row holds no bytes")
        if len(data) > options.max_bytes:
            raise ImageError("read", "too large", f"the image has {len(data)} bytes; the limit is {options.max_bytes}")
        return bytes(data)


class _Reader:
    """Reads rows of a sequence of files, in any order; threads share it."""

    def __init__(self, files: Sequence[_ArrowFile], options: SourceOptions) -> None:
        self._files = files
        self._options = options
        self._firsts = list(itertools.accumulate((file.n_rows for file in files), initial=0))

    def read(self, rows: Rows) -> Iterator[Content]:
        """Yield the content of each row."""
        checked = set[int]()
        for row in rows.tolist():
            number = bisect.bisect_right(self._firsts, row) - 1
            file = self._files[number]
            try:
                if number not in checked and stat_uri(file.uri) != file.stat:
                    raise ImageError("read", "changed", f"{file.uri} has changed since it was listed")  # noqa: TRY301
                checked.add(number)
                yield file.read(row - self._firsts[number], self._options)
            except ImageError as error:
                yield error
            except (OSError, MemoryError, pa.ArrowException) as error:
                yield read_error(error)
