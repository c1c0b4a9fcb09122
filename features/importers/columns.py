"""Map the columns of imported files to those of a part, and find rows that can't be used."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Floats, InputError
from frieze.features.failures import Failure
from frieze.features.importers.equal_files import EqualFiles, find_no_hash, to_hashes
from frieze.features.importers.exact_text import to_text
from frieze.features.importers.formats import VectorFile, VectorFiles, VectorOptions, name_below
from frieze.features.importers.pandas_index import describe_lost
from frieze.features.importers.parquet import list_names, name_broken
from frieze.features.schema import part_schema, to_part, user_columns
from frieze.features.spec import BackboneSpec

CHUNK_ROWS = 4096
"""The number of imported rows in one part."""

_TEXTS = ("id", "uri", "label", "sha256")
_TEXT_KINDS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_MAX_LETTERS = 70  # of a value in a message
_NUMBERS = ("size_bytes", "mtime_ns", "width", "height")


class RowRange(NamedTuple):
    """Consecutive rows of one file.

    Attributes:
        file: The file.
        first: The first row, counted in that file.
        start: The first row, counted over all files.
        columns: The columns beside the vectors.
        lists: The vectors, an Arrow array of lists.
    """

    file: VectorFile
    first: int
    start: int
    columns: dict[str, pa.Array]
    lists: pa.Array

    def split(self) -> Iterator[Self]:
        """Split at each multiple of `CHUNK_ROWS`."""
        at = 0
        while at < len(self.lists):
            n_rows = min(CHUNK_ROWS - (self.start + at) % CHUNK_ROWS, len(self.lists) - at)
            columns = {name: column.slice(at, n_rows) for name, column in self.columns.items()}
            lists = self.lists.slice(at, n_rows)
            yield self._replace(first=self.first + at, start=self.start + at, columns=columns, lists=lists)
            at += n_rows


def read_chunks(files: VectorFiles, first_chunk: int = 0) -> Iterator[tuple[int, list[RowRange]]]:
    """Read the files in chunks of `CHUNK_ROWS` rows, the last one shorter.

    Yields:
        The chunk's number and its rows, in order.

    Raises:
        InputError: A file is broken.
    """
    ranges = (part for row_range in _row_ranges(files, first_chunk * CHUNK_ROWS) for part in row_range.split())
    for number, chunk in itertools.groupby(ranges, key=lambda row_range: row_range.start // CHUNK_ROWS):
        yield number, list(chunk)


def _row_ranges(files: VectorFiles, start: int) -> Iterator[RowRange]:
    offset = 0
    for file in files.files:
        first = max(start - offset, 0)
        for columns, lists in file.read(first) if first < file.rows else ():
            yield RowRange(file, first, offset + first, columns, lists)
            first += len(lists)
        offset += file.rows


def find_width(files: VectorFiles) -> int:
    """Return the most frequent width of the first vectors.

    Raises:
        InputError: There is no vector.
    """
    for row_range in _row_ranges(files, 0):
        widths = pc.list_value_length(row_range.lists).drop_null().to_numpy()
        if (widths > 0).any():
            values, counts = np.unique(widths[widths > 0], return_counts=True)
            return int(values[counts.argmax()])
    raise InputError(f"{files.path} holds no vector: every row is empty.", hint="Look at how it was made.")


class _Fault(NamedTuple):
    stage: str
    reason: str
    message: str


_NAMELESS = _Fault("list", "no id", "there is nothing in the column of ids")
_REPEATED = _Fault("list", "repeated id", "an earlier row has the same id")
_NOT_FINITE = _Fault("embed", "not finite", "the vector holds infinite numbers or none")
_NO_VECTOR = _Fault("embed", "no vector", "there is no vector")


@dataclasses.dataclass(frozen=True)
class ColumnMapping:
    """Which column of the files is which column of a part; from `map_columns`.

    Attributes:
        files: The files.
        schema: The schema of a part.
        sources: Column of a part -> column of the files; a missing one is null or generated.
        uri_columns: Columns of the files with an image's path or URL, the best first.
        is_first: Whether each row is the first with its id; None where no id repeats.
        notes: Notes for the user.
    """

    files: VectorFiles
    schema: pa.Schema
    sources: dict[str, str]
    uri_columns: tuple[str, ...]
    is_first: npt.NDArray[np.bool_] | None
    notes: tuple[str, ...] = ()

    def to_rows(self, row_range: RowRange) -> tuple[pa.Table, list[Failure]]:
        """Convert rows to those of a part.

        Returns:
            The usable rows, and a failure for each other one.

        Raises:
            InputError: A column's values do not fit its type in a part.
        """
        with name_broken(row_range.file.path):
            columns = {name: self._column(row_range, name) for name in self.schema.names if name != "embedding"}
        embeddings, faults = _to_embeddings(row_range.lists, self.schema.field("embedding").type.list_size)
        faults |= self._listing_faults(row_range, columns["id"])
        failures = [_failure(row_range, row, faults[row], columns) for row in sorted(faults)]
        if faults:
            good = np.setdiff1d(np.arange(len(embeddings)), list(faults))
            columns = {name: column.take(pa.array(good)) for name, column in columns.items()}
            embeddings = embeddings[good]
        return to_part(columns, embeddings, self.schema), failures

    def _column(self, row_range: RowRange, name: str) -> pa.Array:
        n_rows = len(row_range.lists)
        if name == "uri":
            uris = pa.array([_place(row_range, row) for row in range(n_rows)])
            known = [row_range.columns[one].cast(pa.string()) for one in self.uri_columns if one in row_range.columns]
            return pc.coalesce(*known, uris)
        if name == "id" and name not in self.sources:
            return pa.array(
                [f"{self._prefix(row_range)}{row}" for row in range(row_range.first, row_range.first + n_rows)]
            )
        kind = pa.string() if name in _TEXTS else self.schema.field(name).type
        source = self.sources.get(name, "")
        column = row_range.columns.get(source)
        if column is None:
            return pa.nulls(n_rows, kind)
        if name not in _TEXTS:
            return _cast(column, kind, source, row_range.file.path)
        texts = _to_text(column, source, row_range.file.path)
        return to_hashes(texts) if name == "sha256" else texts

    def _prefix(self, row_range: RowRange) -> str:
        """Return the file's name as the prefix of a row's number, where there may be several files."""
        return "" if row_range.file.path == self.files.path else f"{name_below(row_range.file.path, self.files.path)}/"

    def _listing_faults(self, row_range: RowRange, ids: pa.Array) -> dict[int, _Fault]:
        nameless = pc.indices_nonzero(pc.equal(pc.fill_null(ids, ""), "")).to_pylist()
        end = row_range.start + len(ids)
        repeats = [] if self.is_first is None else np.flatnonzero(~self.is_first[row_range.start : end]).tolist()
        return dict.fromkeys(repeats, _REPEATED) | dict.fromkeys(nameless, _NAMELESS)


def _to_embeddings(lists: pa.Array, dim: int) -> tuple[Floats, dict[int, _Fault]]:
    """Convert lists to float32 [n, dim], with zeros where the width differs, and return the faults by row."""
    widths = pc.list_value_length(lists)
    fits = pc.fill_null(pc.equal(widths, dim), fill_value=False)
    numbers = lists.filter(fits).flatten().to_numpy(zero_copy_only=False)  # null becomes NaN
    embeddings = np.zeros((len(lists), dim), np.float32)
    with np.errstate(over="ignore"):  # numbers beyond float32 become infinite
        embeddings[fits.to_numpy(zero_copy_only=False)] = numbers.reshape(-1, dim)
    not_finite = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    others = pc.indices_nonzero(pc.invert(fits)).to_pylist()
    wrong = {row: _of_width(widths[row].as_py(), dim) for row in others}
    return embeddings, dict.fromkeys(not_finite.tolist(), _NOT_FINITE) | wrong


def _of_width(width: int | None, dim: int) -> _Fault:
    return _Fault("embed", "wrong width", f"the vector has {width} numbers; expected {dim}") if width else _NO_VECTOR


def _failure(row_range: RowRange, row: int, fault: _Fault, columns: dict[str, pa.Array]) -> Failure:
    place = _place(row_range, row)  # in the message too, so that no two failures are equal
    name, uri = columns["id"][row].as_py() or place, columns["uri"][row].as_py()
    return Failure(name, uri, fault.stage, fault.reason, f"{place}: {fault.message}")


def _place(row_range: RowRange, row: int) -> str:
    return f"{row_range.file.place}#{row_range.first + row}"


def map_columns(files: VectorFiles, options: VectorOptions, spec: BackboneSpec) -> ColumnMapping:
    """Map the columns of the files to those of a part.

    The id is the given column, or the usual one, or the row's number after the file's name. Columns with our names and
    types are ours, all others are user columns. `sha256` is ours only where it holds hashes, and rows with equal hashes
    have equal vectors.

    Args:
        files: The files; their column of ids is read.
        options: The given columns.
        spec: The spec for the schema.

    Raises:
        InputError: A given column is missing or of the wrong type, or the files' columns can't be unified.
    """
    schema = _unified(files)
    sources = _sources(files, schema, options)
    is_first = _find_repeats(files, sources["id"]) if "id" in sources else None
    if is_first is not None and options.id is None and files.must_be_unique:
        del sources["id"]
        is_first = None
    reason = _why_not_hashes(files, spec.dim) if "sha256" in sources else ""
    if reason:
        del sources["sha256"]
    others = [name for name in schema.names if name not in sources.values()]
    users = dict(zip(user_columns(others), others, strict=True))
    fields = [pa.field(stored, schema.field(name).type) for stored, name in users.items()]
    uri_columns = [name for name in files.uri_columns if name in schema.names and _is_text(schema.field(name).type)]
    kept = [stored for stored, name in users.items() if name == "sha256"]
    notes = [f"the column sha256 is stored as {kept[0]}: {reason}"] if reason else []
    if "id" not in sources and (lost := describe_lost(schema)):
        notes.append(lost)
    return ColumnMapping(files, part_schema(spec, fields), sources | users, tuple(uri_columns), is_first, tuple(notes))


def _why_not_hashes(files: VectorFiles, dim: int) -> str:
    """Explain why a column `sha256` holds no hashes of the images' bytes; empty where it may."""
    texts = _read_texts(files, "sha256")
    other = find_no_hash(texts)
    if other is not None:
        return f"it holds other things than 64 hexadecimal digits, such as {other[:_MAX_LETTERS]!r}"
    hashes = to_hashes(texts)
    if pc.count_distinct(hashes).as_py() == len(hashes) - hashes.null_count:
        return ""
    equal = EqualFiles(dim)
    for row_range in _row_ranges(files, 0):
        embeddings, faults = _to_embeddings(row_range.lists, dim)
        embeddings[list(faults)] = np.nan
        others = equal.add(hashes.slice(row_range.start, len(embeddings)).to_pylist(), equal.project(embeddings))
        if others:
            first, row = others[0]
            return f"rows {first} and {row} have the same one, and other vectors (rows are counted from 0)"
    return ""


def _unified(files: VectorFiles) -> pa.Schema:
    try:
        return pa.unify_schemas([file.schema for file in files.files], promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(
            f"The files of {files.path} do not fit together: {error}.", hint="Give files with the same columns."
        ) from error


def _sources(files: VectorFiles, schema: pa.Schema, options: VectorOptions) -> dict[str, str]:
    """Return the files' column of each of our columns but `embedding`, where there is one."""
    kinds = {field.name: field.type for field in schema}
    sources = {name: name for name in _TEXTS if name in kinds and _is_text(kinds[name])}
    sources |= {name: name for name in _NUMBERS if name in kinds and pa.types.is_integer(kinds[name])}
    for name, given, usual in (("id", options.id, files.usual_id), ("label", options.label, "label")):
        column = usual if given is None else given
        if column in kinds and _can_be_text(kinds[column]):
            sources[name] = column
        elif given is not None:
            raise InputError(
                f"{files.path} has no column {given} that can be the {name}; it has: {list_names(schema.names)}.",
                hint=f"Name one of these with `{name}='COLUMN'`.",
            )
    return sources


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(is_one(kind) for is_one in _TEXT_KINDS)


def _can_be_text(kind: pa.DataType) -> bool:
    try:
        pa.array([], kind).cast(pa.string())
    except pa.ArrowException:
        return False
    return not pa.types.is_null(kind)


def _to_text(column: pa.Array, name: str, path: Path) -> pa.Array:
    """Convert a column to text.

    Raises:
        InputError: It holds bytes that are no text.
    """
    try:
        return to_text(column, name, str(path))
    except pa.ArrowInvalid as error:
        if not pa.types.is_binary(column.type) and not pa.types.is_large_binary(column.type):
            raise
        raise InputError(
            f"The column {name} of {path} holds bytes that are no text (UTF-8), such as raw hashes.",
            hint="Name a column of text, such as `id='COLUMN'`, or write these bytes as text, in Python:"
            f" table['{name}'] = table['{name}'].map(bytes.hex)",
        ) from error


def _cast(column: pa.Array, kind: pa.DataType, name: str, path: Path) -> pa.Array:
    """Cast a column to its type over all files.

    Raises:
        InputError: A whole number is too large for the floating-point ones of other files.
        ArrowInvalid: Another value does not fit.
    """
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        if not pa.types.is_floating(kind):
            raise
        raise InputError(
            f"The column {name} of {path} is {column.type} there, and {kind} over all files, which can't hold each of"
            f" its values: {error}.",
            hint="Write it in one type in every file, such as whole numbers with missing ones, in Python:"
            f" table[{name!r}] = table[{name!r}].astype('Int64')",
        ) from error


def _find_repeats(files: VectorFiles, column: str) -> npt.NDArray[np.bool_] | None:
    """Return whether each row is the first with its id; None where no id repeats and none is missing."""
    ids = _read_texts(files, column)
    if pc.count_distinct(ids).as_py() == len(ids):
        return None
    return pc.index_in(ids, value_set=ids).to_numpy() == np.arange(len(ids))  # type: ignore[no-any-return]


def _read_texts(files: VectorFiles, column: str) -> pa.ChunkedArray:
    """Read a column of all files as text, null where a file has none."""
    texts = [pa.array([], pa.string())]
    for file in files.files:
        has_column = column in file.schema.names
        with name_broken(file.path):
            texts += [_to_text(one, column, file.path) for one in (file.read_column(column) if has_column else ())]
        if not has_column:
            texts.append(pa.nulls(file.rows, pa.string()))
    return pa.chunked_array(texts)
