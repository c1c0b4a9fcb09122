"""Parquet files: manifests of paths, or tables that hold the images' bytes themselves."""

import bisect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from frieze.core import ImageError, InputError, Rows
from frieze.embedder.sources.base import Content, File, Listing, Source, SourceOptions, not_read
from frieze.embedder.sources.files import ask, facts_of, open_place, to_id
from frieze.embedder.sources.tables.manifest import choose_columns, open_manifest, split_columns
from frieze.embedder.sources.tables.named_images import check_ids, facts_or_error, read_named, resolve
from frieze.embedder.sources.tables.read import concat, named_errors, read_header, read_table
from frieze.features import LISTING

_BATCH_BYTES = 8 << 20
_NOWHERE = (-1, -1)
_BUFFER_BYTES = 1 << 20  # else a column's whole chunk is read at once, and may be larger than memory


def open_parquet(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images of Parquet files.

    Args:
        files: The files, all with the same columns.
        source: What the user gave.
        options: Names of columns, where they are not the usual ones. The column of images holds paths, bytes, or
            structs with `bytes` as Hugging Face's datasets do; where these are null, their `path` is followed from the
            file's folder.

    Returns:
        The images in the order of the rows; of bytes, the id is `FILE/ROW` where there is no column of ids.

    Raises:
        InputError: A file can't be read, has no column of images, or an id is there twice.
    """
    if _leaf(files[0].place, options) is None:
        return open_manifest(files, source, options)
    opened = [_Images(file, options) for file in files]
    images = concat([LISTING.empty_table(), *(one.table for one in opened)], source)
    check_ids(images["id"], source)
    read = _Cursor(opened, options.max_bytes).read
    return Source(Listing(source, images), read, in_order=True, has_columns=True)


def read_row(place: str, row: str) -> bytes:
    """Read one image by the number of its row.

    Raises:
        ImageError: There is no such row, or it can't be read.
    """
    try:
        images = _Images(File("", place), SourceOptions(labels="none"))
        (content,) = _Cursor([images], max_bytes=1 << 62).read(np.array([int(row)]))
    except (ValueError, IndexError, InputError) as error:
        raise ImageError("read", "unreadable", str(error)) from error
    if isinstance(content, ImageError):
        raise content
    return content


def _leaf(place: str, options: SourceOptions) -> str | None:
    """Name the column, or the member of a struct, that holds bytes; None where the column of images holds paths."""
    with named_errors(place), open_place(place) as file:
        schema = pq.read_schema(file)
    name = choose_columns(read_header(place), options, place)["image"]
    kind = schema.field(name).type if name in schema.names else pa.string()
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return f"{name}.bytes"
    return name if _is_binary(kind) else None


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


class _Images:
    """One file whose rows hold images.

    Attributes:
        place: The file.
        leaf: The column of bytes.
        facts: Size in bytes, and mtime in nanoseconds, when it was listed.
        paths: The uri of each row that holds no bytes, but a path.
        table: The listing's rows of it.
        starts: The first row of each row group, then the number of all rows.
    """

    def __init__(self, file: File, options: SourceOptions) -> None:
        self.place = file.place
        leaf = _leaf(file.place, options)
        if leaf is None:
            raise InputError(
                f"{file.place} holds paths where other files of the source hold bytes.", hint="Give one kind."
            )
        self.leaf = leaf
        with named_errors(file.place), open_place(file.place) as opened:
            self.facts = facts_of(file.place)
            metadata = pq.read_metadata(opened)
        rows = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self.starts = list(itertools.accumulate(rows, initial=0))
        self.paths = self._find_paths(metadata)
        self.table = self._listed(file, read_header(file.place), options)

    def _find_paths(self, metadata: Any) -> dict[int, str]:
        """Look at row groups in which bytes may be missing; what is missing nowhere is not read."""
        column, base = f"{self.leaf.removesuffix('.bytes')}.path", self.place.rpartition("/")[0]
        leaves = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
        if column not in leaves:
            return {}
        found: dict[int, str] = {}
        for group, row in enumerate(self.starts[:-1]):
            statistics = metadata.row_group(group).column(leaves.index(self.leaf)).statistics
            if statistics is None or not statistics.has_null_count or statistics.null_count:
                with named_errors(self.place):
                    found |= _paths_among(self._read_batches(group, [self.leaf, column]), row, base)
        return found

    def _listed(self, file: File, names: Sequence[str], options: SourceOptions) -> pa.Table:
        chosen = choose_columns(names, options, file.place)
        kept = [name for name in names if name != chosen["image"]]
        table = read_table(file.place, kept, text=[name for name in chosen.values() if name in kept])
        n_rows = self.starts[-1]
        ids = pa.chunked_array([pa.array([f"{to_id(file.name)}/{row}" for row in range(n_rows)], pa.string())])
        ours = {
            "id": pc.coalesce(table[chosen["id"]], ids) if "id" in chosen else ids,
            "uri": [self.paths.get(row, f"{file.place}/{row}") for row in range(n_rows)],
            "label": table[chosen["label"]] if "label" in chosen else pa.nulls(n_rows, pa.string()),
        } | self._facts_of_rows(n_rows)
        own = split_columns(table, chosen)
        schema = pa.schema([*LISTING, *own.schema])
        return pa.table(ours | {name: own[name] for name in own.column_names}, schema=schema)

    def _facts_of_rows(self, n_rows: int) -> dict[str, list[int | None]]:
        sizes: list[int | None] = [None] * n_rows
        mtimes: list[int | None] = [self.facts[1]] * n_rows
        facts = ask(facts_or_error, list(self.paths.values()))
        for row, one in zip(self.paths, facts, strict=True):
            if not isinstance(one, OSError):
                sizes[row], mtimes[row] = one
        return {"size_bytes": sizes, "mtime_ns": mtimes}

    def check_unchanged(self) -> None:
        """Raise an ImageError where the rows may be others than those listed."""
        if facts_of(self.place) != self.facts:
            raise ImageError("read", "changed", f"{self.place} has changed since it was listed")

    def batches(self, group: int) -> Iterator[Any]:
        """Give the bytes of a row group's images, some at a time."""
        for batch in self._read_batches(group, [self.leaf]):
            column = batch.column(0)
            yield column.field("bytes") if pa.types.is_struct(column.type) else column

    def _read_batches(self, group: int, columns: list[str]) -> Iterator[Any]:
        with open_place(self.place) as file:
            parquet = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
            facts = parquet.metadata.row_group(group)
            n_rows = max(1, _BATCH_BYTES * facts.num_rows // (facts.total_byte_size + 1))
            yield from parquet.iter_batches(batch_size=n_rows, row_groups=[group], columns=columns)


def _paths_among(batches: Iterator[Any], row: int, base: str) -> dict[int, str]:
    """Give the uri of each row of a group that holds a path and no bytes; `row` is its first."""
    found = {}
    for batch in batches:
        values = batch.column(0)
        is_path = pc.and_(values.field("bytes").is_null(), values.field("path").is_valid())
        for at in pc.indices_nonzero(is_path).to_pylist():
            found[row + at] = resolve(values.field("path")[at].as_py(), base)
        row += len(batch)
    return found


class _Cursor:
    """A place in a sequence of files that moves on as rows are asked for in their order."""

    def __init__(self, files: Sequence[_Images], max_bytes: int) -> None:
        self._files = files
        self._max_bytes = max_bytes
        self._firsts = list(itertools.accumulate((file.starts[-1] for file in files), initial=0))
        self._at = _NOWHERE  # file and row group
        self._batches: Iterator[Any] = iter(())
        self._batch: Any = []
        self._row = 0  # of the batch's first, in its file

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_at": _NOWHERE, "_batches": iter(()), "_batch": []}  # another process begins anew

    def read(self, rows: Rows) -> Iterator[Content]:
        """Give the content of each row."""
        for row in rows.tolist():
            try:
                yield self._read(row)
            except ImageError as error:
                yield error
            except (OSError, MemoryError, pa.ArrowException) as error:
                self._at = _NOWHERE
                yield not_read(error)

    def _read(self, row: int) -> bytes:
        number = bisect.bisect_right(self._firsts, row) - 1
        path = self._files[number].paths.get(row - self._firsts[number])
        if path is not None:
            return read_named(path, max_bytes=self._max_bytes)
        value = self._value(number, row - self._firsts[number])
        if not value.is_valid:
            raise ImageError("read", "no bytes", "the row holds no bytes")
        data: bytes = value.as_py()
        if len(data) > self._max_bytes:
            raise ImageError("read", "too large", f"the image has {len(data)} bytes; the limit is {self._max_bytes}")
        return data

    def _value(self, number: int, row: int) -> Any:
        file = self._files[number]
        group = bisect.bisect_right(file.starts, row) - 1
        if self._at != (number, group) or row < self._row:
            self._at = _NOWHERE
            file.check_unchanged()
            self._row, self._batch, self._batches = file.starts[group], [], file.batches(group)
            self._at = (number, group)
        while row >= self._row + len(self._batch):
            self._row += len(self._batch)
            self._batch = next(self._batches)
        return self._batch[row - self._row]
