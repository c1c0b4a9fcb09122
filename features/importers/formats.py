"""Open files of vectors made elsewhere, to read in batches: NumPy .npy, Parquet, clip-retrieval folders."""

import dataclasses
import functools
import os
import re
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from frieze.core import InputError, MismatchError, counted
from frieze.features.importers.pandas_index import read_ranges
from frieze.features.importers.parquet import (
    BATCH_ROWS,
    Batch,
    choose_embedding,
    name_broken,
    partition_values,
    read_batches,
    read_column,
    read_head,
    read_vectors,
    to_columns,
)

_NPY, _PARQUET, _ZIP = b"\x93NUMPY", b"PAR1", b"PK\x03\x04"
_MATRIX_AXES = 2
_KINDS = (
    "Give a .npy file [N, D], a Parquet file with a column of lists of numbers, a folder of such Parquet files,"
    " or clip-retrieval's folder with img_emb/ and metadata/."
)

_TO_LISTS = "table['embedding'] = {}; table.to_parquet('vectors.parquet')"
_CONVERSIONS = {
    ".csv": "Make it a Parquet file, in Python: import pandas; table = pandas.read_csv('FILE.csv'); "
    + _TO_LISTS.format("table.loc[:, 'FIRST':'LAST'].to_numpy('float32').tolist()")
    + " (FIRST and LAST are the names of the first and last column of numbers)",
    ".jsonl": "Make it a Parquet file, in Python: import pandas;"
    " pandas.read_json('FILE.jsonl', lines=True).to_parquet('vectors.parquet')",
}
"""Suffix of an unsupported file -> how to convert it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorOptions:
    """The columns of files of vectors; None for the usual ones.

    Attributes:
        id: Column of the ids.
        embedding: Column of the vectors, lists of numbers.
        label: Column of the labels.
        ids: File with the ids of a `.npy` file: text, one per line, or a `.npy` of strings.
    """

    id: str | None = None
    embedding: str | None = None
    label: str | None = None
    ids: Path | None = None

    def to_json(self) -> dict[str, str | None]:
        """Return the options as plain JSON values."""
        return dataclasses.asdict(self) | {"ids": None if self.ids is None else str(self.ids.absolute())}

    def refuse(self, *names: str, why: str) -> None:
        """Refuse options that do not apply to a kind of file.

        Raises:
            InputError: One of them was given.
        """
        for name in names:
            if getattr(self, name) is not None:
                raise InputError(f"`{name}` is of no use here: {why}.", hint=f"Leave `{name}` out.")


@dataclasses.dataclass(frozen=True)
class VectorFile:
    """One file of vectors and their columns.

    Attributes:
        path: The file of vectors, absolute.
        rows: The number of vectors.
        schema: The columns beside the vectors.
        read: Reads from a row number to the end, in batches.
        read_column: Reads the column of a name, in batches.
    """

    path: Path
    rows: int
    schema: pa.Schema
    read: Callable[[int], Iterator[Batch]]
    read_column: Callable[[str], Iterator[pa.Array]]

    @property
    def place(self) -> str:
        """The path as text; a URL where its name is not UTF-8."""
        try:
            return str(self.path).encode().decode()
        except UnicodeEncodeError:
            return self.path.as_uri()


@dataclasses.dataclass(frozen=True)
class VectorFiles:
    """All files of vectors at a path, in their order.

    Attributes:
        path: The given path, absolute.
        files: The files of vectors.
        all_paths: Every file that is read, also those of ids and metadata.
        usual_id: Default column of the ids.
        must_be_unique: Whether that column is used only where no value repeats.
        uri_columns: Columns that may hold an image's path or URL, the best first.
    """

    path: Path
    files: tuple[VectorFile, ...]
    all_paths: tuple[Path, ...]
    usual_id: str = "id"
    must_be_unique: bool = False
    uri_columns: tuple[str, ...] = ("uri",)

    @property
    def rows(self) -> int:
        """The number of rows in all files."""
        return sum(file.rows for file in self.files)


def open_vectors(path: Path, options: VectorOptions) -> VectorFiles:
    """Open files of vectors made elsewhere; no vector is read yet.

    Args:
        path: A `.npy` or Parquet file, by its first bytes; a folder of Parquet files, read in the order of their names,
            those in folders `name=value` last; or clip-retrieval's folder, read in the order of its numbers.
        options: Which column is what.

    Returns:
        The files, with one row or more.

    Raises:
        InputError: Something is missing, broken, empty or of another kind.
        MismatchError: Files that belong together have other row counts or widths.
    """
    path = path.absolute()
    files = _opener(path)(path, options)
    if files.rows == 0:
        raise InputError(f"{path} holds no rows.", hint=_KINDS)
    return files


def name_below(path: Path, folder: Path) -> str:
    """Return a file's name as text, with the folders `name=value` between it and a folder.

    >>> name_below(Path("/t/label=cat/0.parquet"), Path("/t")), name_below(Path("/t/img_emb/0.npy"), Path("/t"))
    ('label=cat/0.parquet', '0.npy')
    """
    above = next(one for one in path.parents if one == folder or not partition_values(f"{one.name}/"))
    return os.fsencode(path.relative_to(above)).decode("utf-8", "backslashreplace")


def _opener(path: Path) -> Callable[[Path, VectorOptions], VectorFiles]:
    if path.is_dir():
        return _open_clip_retrieval if (path / "img_emb").is_dir() else _open_parquet
    if not path.is_file():  # reading a pipe would block
        raise InputError(f"There is no file or folder {path}.", hint=f"Check the path. {_KINDS}")
    with name_broken(path):
        head = _read_magic(path)
    for magic, opener in ((_NPY, _open_npy), (_PARQUET, _open_parquet)):
        if head.startswith(magic):
            return opener
    if head.startswith(_ZIP):
        hint = "Save the array of vectors alone, with numpy.save('FILE.npy', vectors)."
        raise InputError(f"{path} is an archive, such as numpy.savez makes.", hint=hint)
    raise InputError(
        f"{path} is no file of vectors: it begins with {head!r}.", hint=_CONVERSIONS.get(path.suffix, _KINDS)
    )


def _read_magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_NPY))


def _open_npy(path: Path, options: VectorOptions) -> VectorFiles:
    options.refuse("id", "embedding", "label", why="a .npy file has no columns")
    rows, _ = _map_matrix(path).shape
    columns = {} if options.ids is None else {"id": _read_ids(options.ids, n_rows=rows, vectors=path)}
    file = VectorFile(
        path,
        rows,
        pa.schema([(name, column.type) for name, column in columns.items()]),
        functools.partial(_read_npy, path, columns),
        lambda name: iter([columns[name]]),
    )
    return VectorFiles(path, (file,), (path,) if options.ids is None else (path, options.ids.absolute()))


def _map_matrix(path: Path) -> Any:
    """Memory-map an array [N, D] of numbers."""
    hint = "Save numbers [N, D] with numpy.save('FILE.npy', vectors)."
    with name_broken(path, hint=hint):
        matrix = _map_array(path)
    if matrix.ndim != _MATRIX_AXES or matrix.dtype.kind not in "fiu" or matrix.shape[1] == 0:
        raise InputError(f"{path} holds no vectors: its shape is {matrix.shape}, its type {matrix.dtype}.", hint=hint)
    return matrix


def _map_array(path: Path) -> Any:
    try:
        return np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except (SyntaxError, TypeError, tokenize.TokenError) as error:  # the header is parsed as Python
        raise ValueError(f"its header is broken ({error})") from error


def _read_npy(path: Path, columns: dict[str, pa.Array], start: int) -> Iterator[Batch]:
    for first in range(start, len(_map_matrix(path)), BATCH_ROWS):
        lists = _npy_lists(path, first, BATCH_ROWS)
        yield {name: column.slice(first, len(lists)) for name, column in columns.items()}, lists


def _npy_lists(path: Path, first: int, n_rows: int) -> pa.Array:
    rows = _map_matrix(path)[first : first + n_rows]  # mapped again each time, so that read pages leave memory
    with np.errstate(over="ignore"):  # numbers beyond float32 become infinite, and failures
        floats = np.ascontiguousarray(rows, dtype=np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(floats.reshape(-1)), floats.shape[1])


def _read_ids(path: Path, *, n_rows: int, vectors: Path) -> pa.Array:
    hint = "Give a text file, saved as UTF-8, with one id a line, or a .npy file of strings [N]."
    if not path.is_file():
        raise InputError(f"There is no file {path}.", hint=hint)
    with name_broken(path, hint=hint):
        ids = pa.array(_npy_ids(path) if _read_magic(path).startswith(_NPY) else _lines(path, n_rows), pa.string())
    if len(ids) != n_rows:
        raise MismatchError(
            f"{path} has {counted(len(ids), 'id')}, but {vectors} has {counted(n_rows, 'row')}.", hint=hint
        )
    return ids


def _lines(path: Path, n_rows: int) -> list[str]:
    """Read the lines of a text; trailing blank lines beyond `n_rows` are dropped."""
    with path.open(encoding="utf-8-sig") as file:
        lines = [line.rstrip("\n") for line in file]
    while len(lines) > n_rows and not lines[-1].strip():
        lines.pop()
    return lines


def _npy_ids(path: Path) -> list[str]:
    array = _map_array(path)
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise ValueError(f"its shape is {array.shape}, its type {array.dtype}")
    return [one.decode() if isinstance(one, bytes) else str(one) for one in array.tolist()]


def _open_parquet(path: Path, options: VectorOptions) -> VectorFiles:
    options.refuse("ids", why="Parquet has its ids in a column, which `id` names")
    with name_broken(path):
        paths = [path] if path.is_file() else list(_parquet_below(path))
    if not paths:
        raise InputError(f"{path} holds no .parquet file and no img_emb/.", hint=_KINDS)
    heads_by_path = {one: read_head(one) for one in paths}
    # The types of empty files do not count.
    heads_by_path = {one: head for one, head in heads_by_path.items() if head[0]} or heads_by_path
    heads = list(heads_by_path.values())
    embedding = choose_embedding(path, [schema for _, schema in heads], options.embedding, files=list(heads_by_path))
    files = [_to_file(one, embedding, *head) for one, head in heads_by_path.items()]
    is_range = any(
        "id" in read_ranges(schema, rows) for rows, schema in heads
    )  # it may restart in each file of a folder
    return VectorFiles(path, tuple(files), tuple(paths), must_be_unique=is_range)


def _parquet_below(folder: Path) -> Iterator[Path]:
    """Yield a folder's Parquet files in the order of their names, then those of its folders `name=value`."""
    children = sorted(folder.iterdir())
    yield from filter(_is_parquet, children)
    for path in children:
        if path.is_dir() and partition_values(f"{path.name}/"):
            yield from _parquet_below(path)


def _to_file(path: Path, embedding: str, rows: int, schema: pa.Schema) -> VectorFile:
    """Open a Parquet file; the values of its partition folders and a pandas RangeIndex become columns."""
    folders = partition_values(os.fsencode(path).decode(errors="backslashreplace"))
    partition = {name: value for name, value in folders.items() if name not in schema.names}
    ranges = {name: one for name, one in read_ranges(schema, rows).items() if name not in partition}
    fields = [*(pa.field(name, pa.string()) for name in partition), *(pa.field(name, pa.int64()) for name in ranges)]
    return VectorFile(
        path,
        rows,
        pa.schema([*schema.remove(schema.get_field_index(embedding)), *fields], metadata=schema.metadata),
        functools.partial(read_vectors, path, embedding, partition=partition, ranges=ranges),
        functools.partial(read_column, path, partition=partition, ranges=ranges),
    )


def _is_parquet(path: Path) -> bool:
    return path.suffix == ".parquet" and not path.name.startswith(".") and path.is_file()


def _open_clip_retrieval(path: Path, options: VectorOptions) -> VectorFiles:
    options.refuse("ids", "embedding", why="clip-retrieval's folder has its ids in metadata/, its vectors in img_emb/")
    vectors = _numbered(path / "img_emb", r"img_emb_(\d+)\.npy")
    tables = _numbered(path / "metadata", r"metadata_(\d+)\.parquet")
    if vectors.keys() != tables.keys() or not vectors:
        alone = sorted(vectors.keys() ^ tables.keys(), key=int)
        raise MismatchError(
            f"{path} has {len(vectors)} files img_emb/img_emb_*.npy and {len(tables)} metadata/metadata_*.parquet"
            f" (without a partner: {', '.join(alone[:10]) or 'none'}).",
            hint="Put back the files that are missing: each number needs one of both.",
        )
    pairs = [(vectors[number], tables[number]) for number in sorted(vectors, key=int)]
    files = tuple(_open_pair(*pair, width=_map_matrix(pairs[0][0]).shape[1]) for pair in pairs)
    all_paths = tuple(one for pair in pairs for one in pair)
    uris = ("uri", "url", "image_path")
    return VectorFiles(path, files, all_paths, usual_id="image_path", must_be_unique=True, uri_columns=uris)


def _numbered(folder: Path, pattern: str) -> dict[str, Path]:
    with name_broken(folder):
        matches = [(re.fullmatch(pattern, path.name), path) for path in (folder.iterdir() if folder.is_dir() else ())]
    return {match[1]: path for match, path in matches if match}


def _open_pair(vectors: Path, table: Path, *, width: int) -> VectorFile:
    rows, dim = _map_matrix(vectors).shape
    n_described, schema = read_head(table)
    if rows != n_described:
        raise MismatchError(
            f"{vectors} has {counted(rows, 'row')}, but {table} has {n_described}.",
            hint="They belong together row by row: write both anew.",
        )
    if dim != width:
        raise MismatchError(
            f"The vectors of {vectors} have width {dim}, those of the first file {width}.",
            hint="Import what one network made: move the others to a folder of their own.",
        )
    return VectorFile(
        vectors, rows, schema, functools.partial(_read_pair, vectors, table), functools.partial(read_column, table)
    )


def _read_pair(vectors: Path, table: Path, start: int) -> Iterator[Batch]:
    for batch in read_batches(table, start):
        yield to_columns(batch), _npy_lists(vectors, start, len(batch))
        start += len(batch)
