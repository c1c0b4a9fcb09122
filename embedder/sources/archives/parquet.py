"""Parquet files: manifests of paths, or tables that hold the images' bytes themselves."""

import bisect
import dataclasses
import itertools
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from frieze.core import ImageError, InputError, Rows
from frieze.embedder.sources.base import Content, File, Listing, Source, SourceOptions, read_error
from frieze.embedder.sources.files import map_uris, open_uri, stat_uri, to_id
from frieze.embedder.sources.label_lists import join_label_lists, split_label_lists
from frieze.embedder.sources.tables.class_names import image_column
from frieze.embedder.sources.tables.manifest import choose_columns, open_manifest, split_columns
from frieze.embedder.sources.tables.read import concat_tables, read_header, read_table, translate_read_errors
from frieze.embedder.sources.tables.referenced_images import check_ids, read_referenced, resolve_path, stat_or_error
from frieze.features import LISTING

_BATCH_BYTES = 8 << 20
_BEFORE_FIRST = (-1, -1)
_BUFFER_BYTES = 1 << 20  # otherwise a whole column chunk is read at once, and may be larger than memory


def open_parquet(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images of Parquet files.

    Args:
        files: The files, all with the same columns.
        source: The source as the user typed it.
        options: Names of columns, where they have no common name. The column of images holds paths, bytes, or structs
            with `bytes` and `path` as in Hugging Face datasets; where `bytes` is null, `path` is relative to the
            folder of the file.

    Returns:
        The images in the order of the rows. Without a column of ids, the id of an image in bytes is `FILE/ROW`.

    Raises:
        InputError: A file can't be read, has no column of images, or repeats an id.
    """
    if _bytes_column(files[0].uri, options) is None:
        return open_manifest(files, source, options)
    opened = [_ImageFile(file, options) for file in files]
    images = join_label_lists(concat_tables([LISTING.empty_table(), *(file.table for file in opened)], source))
    check_ids(images["id"], source)
    read = _Cursor(opened, options).read
    return Source(Listing(source, images), read, in_order=True, has_columns=True)


def row_base(uri: str, column: str | None) -> str:
    """Return what the URIs of a file's rows begin with: the file, and the column of images where the user named it.

    >>> row_base("/a.parquet", None), row_base("/a.parquet", "jpeg/bytes")
    ('/a.parquet', '/a.parquet/jpeg%2Fbytes')
    """
    return uri if column is None else f"{uri}/{urllib.parse.quote(column, safe='')}"


def split_row(below: str) -> tuple[str | None, str]:
    """Return the column and the number of the row from what follows a file in the URI of a row."""
    column, _, row = below.rpartition("/")
    return urllib.parse.unquote(column) or None, row


def read_row(uri: str, below: str) -> bytes:
    """Read one image by the number of its row.

    Args:
        uri: URI of the file.
        below: The rest of the image's URI, as `row_base` begins it.

    Raises:
        ImageError: The row does not exist or can't be read.
    """
    column, row = split_row(below)
    try:
        images = _ImageFile(File("", uri), SourceOptions(labels="none", image=column))
        (content,) = _Cursor([images], SourceOptions(max_bytes=1 << 62)).read(np.array([int(row)]))
    except (ValueError, IndexError, InputError) as error:
        raise ImageError("read", "unreadable", str(error)) from error
    if isinstance(content, ImageError):
        raise content
    return content


def _bytes_column(uri: str, options: SourceOptions) -> str | None:
    """Return the column, or the field of a struct, that holds bytes; None for a column of paths."""
    with translate_read_errors(uri), open_uri(uri) as file:
        schema = pq.read_schema(file)
    name = choose_columns(read_header(uri), with_image_column(options, schema), uri)["image"]
    kind = schema.field(name).type if name in schema.names else pa.string()
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return f"{name}.bytes"
    return name if _is_binary(kind) else None


def with_image_column(options: SourceOptions, schema: pa.Schema) -> SourceOptions:
    """Return the options, with the column of images that a file's metadata name where the user names none."""
    return dataclasses.replace(options, image=options.image or image_column(schema.metadata))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


class _ImageFile:
    """One file whose rows hold images.

    Attributes:
        uri: URI of the file.
        leaf: The column of bytes, as the leaf of the Parquet schema.
        stat: Size in bytes and mtime in nanoseconds when it was listed.
        paths: Row -> URI, for rows with a path instead of bytes.
        table: Its rows of the listing.
        starts: The first row of each row group, then the number of rows.
    """

    def __init__(self, file: File, options: SourceOptions) -> None:
        self.uri = file.uri
        leaf = _bytes_column(file.uri, options)
        if leaf is None:
            raise InputError(
                f"{file.uri} holds paths where other files of the source hold bytes.", hint="Pass files of one kind."
            )
        self.leaf = leaf
        with translate_read_errors(file.uri), open_uri(file.uri) as opened:
            self.stat = stat_uri(file.uri)
            metadata = pq.read_metadata(opened)
        rows = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self.starts = list(itertools.accumulate(rows, initial=0))
        self.paths = self._find_paths(metadata)
        self.table = self._read_rows(file, read_header(file.uri), options)

    def _find_paths(self, metadata: Any) -> dict[int, str]:
        """Find rows with a path instead of bytes; row groups without nulls are not read."""
        column, base = f"{self.leaf.removesuffix('.bytes')}.path", self.uri.rpartition("/")[0]
        leaves = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
        if column not in leaves:
            return {}
        paths: dict[int, str] = {}
        for group, row in enumerate(self.starts[:-1]):
            statistics = metadata.row_group(group).column(leaves.index(self.leaf)).statistics
            if statistics is None or not statistics.has_null_count or statistics.null_count:
                with translate_read_errors(self.uri):
                    paths |= _paths_among(self._read_batches(group, [self.leaf, column]), row, base)
        return paths

    def _read_rows(self, file: File, names: Sequence[str], options: SourceOptions) -> pa.Table:
        chosen = choose_columns(names, dataclasses.replace(options, image=self.leaf.removesuffix(".bytes")), file.uri)
        kept = [name for name in names if name != chosen["image"]]
        text = [name for name in chosen.values() if name in kept]
        table = read_table(file.uri, kept, text=text, lists=chosen.get("label"))
        if options.labels != "none":
            table, chosen = split_label_lists(table, chosen)
        n_rows, base = self.starts[-1], row_base(file.uri, options.image)
        ids = pa.chunked_array([pa.array([f"{to_id(file.name)}/{row}" for row in range(n_rows)], pa.string())])
        listed = {
            "id": pc.coalesce(table[chosen["id"]], ids) if "id" in chosen else ids,
            "uri": [self.paths.get(row, f"{base}/{row}") for row in range(n_rows)],
            "label": table[chosen["label"]] if "label" in chosen else pa.nulls(n_rows, pa.string()),
        } | self._stat_rows(n_rows)
        rest = split_columns(table, chosen)
        schema = pa.schema([*LISTING, *rest.schema])
        return pa.table(listed | {name: rest[name] for name in rest.column_names}, schema=schema)

    def _stat_rows(self, n_rows: int) -> dict[str, list[int | None]]:
        sizes: list[int | None] = [None] * n_rows
        mtimes: list[int | None] = [self.stat[1]] * n_rows
        stats = map_uris(stat_or_error, list(self.paths.values()))
        for row, one in zip(self.paths, stats, strict=True):
            if not isinstance(one, OSError):
                sizes[row], mtimes[row] = one
        return {"size_bytes": sizes, "mtime_ns": mtimes}

    def check_unchanged(self) -> None:
        """Raise an ImageError if the file has changed since it was listed."""
        if stat_uri(self.uri) != self.stat:
            raise ImageError("read", "changed", f"{self.uri} has changed since it was listed")

    def batches(self, group: int) -> Iterator[Any]:
        """Yield the bytes of a row group's images, in batches."""
        for batch in self._read_batches(group, [self.leaf]):
            column = batch.column(0)
            yield column.field("bytes") if pa.types.is_struct(column.type) else column

    def _read_batches(self, group: int, columns: list[str]) -> Iterator[Any]:
        with open_uri(self.uri) as file:
            parquet = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            statistics = parquet.metadata.row_group(group)
            n_rows = max(1, _BATCH_BYTES * statistics.num_rows // (statistics.total_byte_size + 1))
            yield from parquet.iter_batches(batch_size=n_rows, row_groups=[group], columns=columns)


def _paths_among(batches: Iterator[Any], row: int, base: str) -> dict[int, str]:
    """Return the URI of each row of a group with a path and no bytes; `row` is the first row of the group."""
    paths = {}
    for batch in batches:
        values = batch.column(0)
        is_path = pc.and_(values.field("bytes").is_null(), values.field("path").is_valid())
        for at in pc.indices_nonzero(is_path).to_pylist():
            paths[row + at] = resolve_path(values.field("path")[at].as_py(), base)
        row += len(batch)
    return paths


class _Cursor:
    """Reads rows of a sequence of files; fast in ascending order."""

    def __init__(self, files: Sequence[_ImageFile], options: SourceOptions) -> None:
        self._files = files
        self._options = options
        self._firsts = list(itertools.accumulate((file.starts[-1] for file in files), initial=0))
        self._at = _BEFORE_FIRST  # file and row group
        self._batches: Iterator[Any] = iter(())
        self._batch: Any = []
        self._row = 0  # first row of the batch, in its file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {
            "_at": _BEFORE_FIRST,
            "_batches": iter(()),
            "_batch": [],
        }  # not pickled

    def read(self, rows: Rows) -> Iterator[Content]:
        """Yield the content of each row."""
        for row in rows.tolist():
            try:
                yield self._read(row)
            except ImageError as error:
                yield error
            except (OSError, MemoryError, pa.ArrowException) as error:
                self._at = _BEFORE_FIRST
                yield read_error(error)

    def _read(self, row: int) -> bytes:
        number = bisect.bisect_right(self._firsts, row) - 1
        path = self._files[number].paths.get(row - self._firsts[number])
        if path is not None:
            return read_referenced(path, self._options)
        value = self._value(number, row - self._firsts[number])
        if not value.is_valid:
            raise ImageError("read", "no bytes", "the row holds no bytes")
        data: bytes = value.as_py()
        limit = self._options.max_bytes
        if len(data) > limit:
            raise ImageError("read", "too large", f"the image has {len(data)} bytes; the limit is {limit}")
        return data

    def _value(self, number: int, row: int) -> Any:
        file = self._files[number]
        group = bisect.bisect_right(file.starts, row) - 1
        if self._at != (number, group) or row < self._row:
            self._at = _BEFORE_FIRST
            file.check_unchanged()
            self._row, self._batch, self._batches = file.starts[group], [], file.batches(group)
            self._at = (number, group)
        while row >= self._row + len(self._batch):
            self._row += len(self._batch)
            self._batch = next(self._batches)
        return self._batch[row - self._row]
