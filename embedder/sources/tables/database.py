"""SQLite and DuckDB files: the rows of a query, whose images are bytes or paths; read-only."""

import array
import functools
import os
import shlex
import sqlite3
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from frieze.core import ImageError, InputError, Rows, is_remote
from frieze.embedder.images.signatures import HEAD_BYTES, is_image, unsupported_error
from frieze.embedder.sources.base import Content, File, Listing, Source, SourceOptions, read_error
from frieze.embedder.sources.files import stat_uri, to_path
from frieze.embedder.sources.label_lists import join_label_lists, split_label_lists
from frieze.embedder.sources.listing import ImageRecord, build_listing, infer_array
from frieze.embedder.sources.tables.column_names import pop_label, pop_text
from frieze.embedder.sources.tables.manifest import choose_columns, to_references
from frieze.embedder.sources.tables.referenced_images import open_referenced

_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
_SQLITE = b"SQLite format 3\0"
_N_ROWS = 256
_AHEAD_BYTES = 64 << 20
_WAIT_S = 60
"""How long a program that writes is waited for."""
_N_STEPS = 1_000_000
"""Steps of SQLite, about 10 ms, after which a query looks whether it is to stop."""
_QUERY_HINT = (
    "Add the query: frieze embed {} --out FEATURES --query 'select path, label from images'\n"
    "Other commands take that table."
)
_TABLES = "select table_name, column_name from information_schema.columns order by table_name, ordinal_position"
_SQLITE_TABLES = (
    "select m.name as a, c.name as b from sqlite_master m, pragma_table_info(m.name) c"
    " where m.type in ('table', 'view')"
)


def open_database(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images that a query returns.

    Args:
        files: One database.
        source: The source as the user typed it.
        options: `query` is the query, in the database's SQL. Its columns are those of a manifest: one of paths or
            bytes, and `id`, `label` and others.

    Returns:
        The images in the order of the rows. The default id is the path; of bytes, file and row.

    Raises:
        InputError: There is no query, it fails, or a column is missing.
    """
    if len(files) > 1:
        raise InputError(f"{source} is several databases.", hint="Give one at a time, each with its query.")
    (file,) = files
    if is_remote(file.uri):
        raise InputError(f"{file.uri} is a database in a bucket.", hint="Copy it to disk: databases are read there.")
    if options.query is None:
        raise InputError(
            f"{file.uri} is a database, of which a query chooses the images. It has {_describe(file.uri)}.",
            hint=_QUERY_HINT.format(shlex.quote(os.fsdecode(to_path(file.uri)))),
        )
    names, rows = _run(file.uri, options.query)
    chosen = choose_columns(names, options, f"the result of {options.query!r}")
    first = next((row for row in rows if row[names.index(chosen["image"])] is not None), None)
    if first is None:
        raise InputError(f"{options.query!r} returns no image from {file.uri}.", hint="Try the query in a shell.")
    if isinstance(first[names.index(chosen["image"])], bytes):
        return _open_bytes(file, source, options, chosen)
    return _open_paths(file, source, options, chosen)


def read_queried(uri: str, below: str) -> bytes:
    """Read one image.

    Args:
        uri: URI of the database.
        below: The rest of the image's URI: the query and the column, percent-encoded, and the number of the row.

    Raises:
        ImageError: The image can't be read.
    """
    try:
        query, column, row = map(urllib.parse.unquote, below.split("/"))
        # The database skips the rows before, and need not read their bytes.
        one = f"select * from ({_bare(query)}\n) limit 1 offset {int(row)}"  # noqa: S608  the user's own query
        (content,) = _Bytes(uri, one, column, stat_uri(uri), 1 << 62).read([0])
    except (ValueError, InputError) as error:
        raise ImageError("read", "missing", f"{uri} holds no image {below}: {error}") from error
    except OSError as error:
        raise read_error(error) from error
    if isinstance(content, ImageError):
        raise content
    return content


def _bare(query: str) -> str:
    """Return a query that may stand in brackets."""
    return query.rstrip().rstrip(";")


def _from_row(query: str, row: int) -> str:
    """Return a query for the rows from one on: SQLite skips those before, and need not read their bytes."""
    return f"select * from ({_bare(query)}\n) limit -1 offset {row}"  # noqa: S608  the user's own query


def _is_sqlite(uri: str) -> bool:
    with open(to_path(uri), "rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _checksum(data: Any) -> int:
    """Return a checksum of a cell; 0 for what is no bytes."""
    return zlib.crc32(data) if isinstance(data, bytes) else 0


def _run(uri: str, query: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Run a query; return the names of its columns, and its rows, read a few at a time.

    Raises:
        InputError: The query fails, has two columns of a name, or the library is missing.
    """
    try:
        names, rows = (_run_sqlite if _is_sqlite(uri) else _run_duckdb)(os.fsdecode(to_path(uri)), query)
    except (sqlite3.Error, sqlite3.Warning, OSError, UnicodeEncodeError) as error:
        raise _query_error(uri, query, error) from error
    if len(set(names)) < len(names) or not names:
        raise InputError(
            f"{query!r} has no columns, or two of the same name: {', '.join(names)}.",
            hint="Write a select, and name its columns: select a.path as path, b.name as label ...",
        )
    return names, _translated(rows, uri, query)


def _translated(rows: Iterator[tuple[Any, ...]], uri: str, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows; an error on the way is one of the query."""
    try:
        yield from rows
    except (sqlite3.Error, pa.ArrowException, OSError, RuntimeError) as error:
        raise _query_error(uri, query, error) from error


def _query_error(uri: str, query: str, error: Exception) -> InputError:
    """Return the error of a query that failed.

    Raises:
        KeyboardInterrupt: It did not fail: the databases stop at Ctrl-C with an error of their own.
    """
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT or "interrupted" in str(error).lower():
        raise KeyboardInterrupt from error
    return InputError(
        f"{query!r} can't be run on {uri}: {str(error).strip().rstrip('.')}.",
        hint="Try the query in the database's shell.",
    )


def _run_sqlite(path: str, query: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    connection = sqlite3.connect(
        f"file:{urllib.parse.quote(os.fsencode(path))}?mode=ro", _WAIT_S, uri=True, check_same_thread=False
    )
    connection.text_factory = lambda text: text.decode(errors="backslashreplace")
    connection.set_progress_handler(lambda: 0, _N_STEPS)  # Python handles Ctrl-C in between
    if query != _SQLITE_TABLES:
        connection.set_authorizer(_authorize)
    cursor = connection.execute(query)
    return [column[0] for column in cursor.description or ()], cursor


def _authorize(action: int, *_: str | None) -> int:
    """Allow SQLite to read its own tables, and nothing else."""
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _run_duckdb(path: str, query: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    try:
        import duckdb
    except ImportError as error:
        raise InputError(
            f"{path} is no SQLite file; DuckDB's files need a library that is not installed.",
            hint="Type: pip install 'frieze[duckdb]'",
        ) from error
    settings: dict[str, Any] = {"enable_external_access": "false"}  # it reads its own tables, no other file
    try:
        connection = duckdb.connect(path, read_only=True, config=settings)
        reader = _await(connection, _start_duckdb, connection, query)
    except (duckdb.Error, RuntimeError) as error:
        raise _query_error(path, query, error) from error
    return ([], iter(())) if reader is None else (list(reader.schema.names), _read_duckdb(connection, reader))


def _start_duckdb(connection: Any, query: str) -> Any:
    """Start a query; return a reader of its batches, None where it has no result."""
    relation = connection.sql(query)
    return None if relation is None else relation.to_arrow_reader(_N_ROWS)


def _read_duckdb(connection: Any, reader: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a query; it ends where they are not wanted any more."""
    try:
        while (batch := _await(connection, next, reader, None)) is not None:
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)
    finally:
        connection.interrupt()


def _await(connection: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of DuckDB, which does not look for Ctrl-C while it works, in another thread."""
    with ThreadPoolExecutor(1) as thread:
        result = thread.submit(function, *arguments)
        try:
            return result.result()
        except KeyboardInterrupt:
            connection.interrupt()
            raise


def _describe(uri: str) -> str:
    """Describe the tables of a database in a phrase."""
    tables: dict[str, list[str]] = {}
    for query in (_SQLITE_TABLES, _TABLES):
        try:
            for table, column in _run(uri, query)[1]:
                tables.setdefault(table, []).append(column)
            break
        except InputError:
            continue
    return ", ".join(f"{name} ({', '.join(columns)})" for name, columns in list(tables.items())[:5]) or "no tables"


def _open_paths(file: File, source: str, options: SourceOptions, chosen: dict[str, str]) -> Source:
    """List the images whose paths a query returns."""
    names, rows = _run(file.uri, str(options.query))
    values = _values(names, rows, frozenset(chosen.values()))
    texts = [
        name for role, name in chosen.items() if role != "label" or not any(isinstance(v, list) for v in values[name])
    ]
    columns = {
        name: pa.array(map(_text, of), pa.string()) if name in texts else infer_array(of) for name, of in values.items()
    }
    table = pa.table(columns)
    if options.labels != "none":
        table, chosen = split_label_lists(table, chosen)
    references, failures = to_references(table, chosen, file)
    opened = open_referenced(join_label_lists(references), failures, source, options)
    return Source(opened.listing, opened.read, has_columns=True, notes=opened.notes)


def _values(names: list[str], rows: Iterator[tuple[Any, ...]], chosen: frozenset[str]) -> dict[str, list[Any]]:
    """Return the values of each column, without those of bytes that are not chosen, such as thumbnails beside paths."""
    values: dict[str, list[Any]] = {name: [] for name in names}
    for row in rows:
        for name, value in zip(names, row, strict=True):
            if isinstance(value, bytes) and name not in chosen:
                values.pop(name, None)
            elif name in values:
                values[name].append(value)
    return values


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _open_bytes(file: File, source: str, options: SourceOptions, chosen: dict[str, str]) -> Source:
    """List the images whose bytes a query returns."""
    stat = stat_uri(file.uri)
    below = "/".join(urllib.parse.quote(one, safe="") for one in (str(options.query), chosen["image"]))
    checksums = array.array("L")
    records = _records(file, f"{file.uri}/{below}", options, chosen, checksums)
    listed = build_listing(records, options.on_progress)
    of_rows = np.array(checksums, np.uint32)
    reader = _Bytes(file.uri, str(options.query), chosen["image"], stat, options.max_bytes, of_rows)
    read = functools.partial(_read_listed, reader, listed.offsets)
    return Source(Listing(source, listed.images, tuple(listed.duplicates)), read, in_order=True, has_columns=True)


def _read_listed(reader: "_Bytes", offsets: Rows, rows: Rows) -> Iterator[Content]:
    """Yield the content of rows of a listing, from which repeated ids are missing."""
    return reader.read(offsets[rows])


def _records(
    file: File, base: str, options: SourceOptions, chosen: dict[str, str], checksums: "array.array[int]"
) -> Iterator[ImageRecord]:
    """Yield the images of a query; append the checksum of each row."""
    query = str(options.query)
    names, rows = _run(file.uri, _from_row(query, 0) if _is_sqlite(file.uri) else query)  # planned as it is read
    mtime_ns = stat_uri(file.uri)[1]
    for number, row in enumerate(rows):
        columns = dict(zip(names, row, strict=True))
        data = columns.pop(chosen["image"])
        checksums.append(_checksum(data))
        stated_id = pop_text(columns, [chosen["id"]] if "id" in chosen else ())
        label, label_from = (None, None)
        if options.labels != "none":
            label, label_from = pop_label(columns, chosen.get("label"), ())
        columns = {name: value for name, value in columns.items() if not isinstance(value, bytes)}
        size_bytes = len(data) if isinstance(data, bytes) else 0
        name = stated_id or f"{file.name}/{number:06d}"
        yield ImageRecord(name, f"{base}/{number}", label, size_bytes, mtime_ns, 0, number, columns, label_from)


class _Bytes:
    """Reads the images that a query returns as bytes; fast in ascending order.

    SQLite's rows are read ahead and its file let go of, so that other programs can write to it while images are
    embedded. Whether a changed file still has an image at its row is told by the checksum that the listing took.
    """

    def __init__(
        self,
        uri: str,
        query: str,
        column: str,
        stat: tuple[int, int],
        max_bytes: int,
        checksums: npt.NDArray[np.uint32] | None = None,
    ) -> None:
        self._uri, self._query, self._column = uri, query, column
        self._stat, self._max_bytes, self._checksums = stat, max_bytes, checksums
        self._rows: Iterator[Any] | None = None
        self._at = 0

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_rows": None}  # another process runs the query itself

    def read(self, rows: Rows | Sequence[int]) -> Iterator[Content]:
        """Yield the content of each row."""
        for row in rows:
            try:
                yield self._check(self._read(int(row)), int(row))
            except ImageError as error:
                yield error
            except (OSError, MemoryError) as error:
                yield read_error(error)
            except InputError as error:
                self._rows = None
                yield ImageError("read", "unreadable", str(error))

    def _read(self, row: int) -> Any:
        """Return the image column of a row."""
        for _ in range(2):  # what was read ahead, then from this row on
            if self._rows is None or row < self._at:
                self._rows, self._at = self._begin(row)
            for data in self._rows:
                self._at += 1
                if self._at == row + 1:
                    return data
            self._rows = None
        raise ImageError("read", "missing", f"the query returns no row {row}")

    def _begin(self, row: int) -> tuple[Iterator[Any], int]:
        """Return the image column of rows, and the number of the first: of SQLite some, in memory, else all."""
        if not _is_sqlite(self._uri):
            self._check_unchanged()
            names, rows = _run(self._uri, self._query)
            at = names.index(self._column)
            return (values[at] for values in rows), 0
        names, rows = _run(self._uri, _from_row(self._query, row))
        at, ahead, n_bytes = names.index(self._column), list[Any](), 0
        for values in rows:
            ahead.append(values[at])
            n_bytes += len(values[at]) if isinstance(values[at], bytes) else 0
            if n_bytes >= _AHEAD_BYTES:
                break
        return iter(ahead), row

    def _check_unchanged(self) -> None:
        if stat_uri(self._uri) != self._stat:
            raise ImageError("read", "changed", f"{self._uri} has changed since it was listed")

    def _check(self, data: Any, row: int) -> bytes:
        if self._checksums is not None and _checksum(data) != self._checksums[row]:
            raise ImageError("read", "changed", f"{self._uri} has another image in this row since it was listed")
        if not isinstance(data, bytes):
            raise ImageError("read", "no bytes", "the row holds no bytes")
        if len(data) > self._max_bytes:
            raise ImageError("read", "too large", f"the image has {len(data)} bytes; the limit is {self._max_bytes}")
        if not is_image(data[:HEAD_BYTES]):
            raise unsupported_error(data[:HEAD_BYTES])
        return data
