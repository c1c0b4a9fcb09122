"""Read Parquet files made elsewhere: find the column of vectors, and read from any row."""

import contextlib
import itertools
import re
import types
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from frieze.core import InputError, translate_errors

BATCH_ROWS = 4096
"""The maximum number of rows in a batch."""

Batch = tuple[dict[str, pa.Array], pa.Array]
"""The columns of some rows, and their vectors as an Arrow array of lists."""

_BUFFER_BYTES = 1 << 20
_MAX_NAMES = 10
_MIN_COLUMNS = 2  # of one number each
_NOTHING: Mapping[str, str | None] = types.MappingProxyType({})
_NO_RANGES: Mapping[str, range] = types.MappingProxyType({})
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def name_broken(
    path: Path, *, hint: str = "Check the file; if it is broken, write it anew."
) -> contextlib.AbstractContextManager[None]:
    """Translate an error of reading a user's file into one that names the file.

    Raises:
        InputError: The file is missing, broken or of another format.
    """
    errors = (pa.ArrowException, pa.ArrowMemoryError, OSError, ValueError)  # corrupt files ask for too much memory
    return translate_errors(f"{path} can't be read", hint=hint, kind=InputError, errors=errors)


def read_head(path: Path) -> tuple[int, pa.Schema]:
    """Read a Parquet file's row count and schema.

    Raises:
        InputError: It can't be read, or two columns have the same name.
    """
    with _open_table(path) as table:
        rows, schema = table.metadata.num_rows, table.schema_arrow
    if len(set(schema.names)) < len(schema.names):
        raise InputError(f"{path} has two columns of one name.", hint="Write it anew, with names that differ.")
    return rows, schema


def choose_embedding(path: Path, schemas: Sequence[pa.Schema], given: str | None, *, files: Sequence[Path] = ()) -> str:
    """Choose the column of vectors.

    Args:
        path: The given path, for the message.
        schemas: The schema of each file, one or more.
        given: The given column; by default `embedding`, or the only one with lists of numbers.
        files: The file of each schema, where there are several.

    Raises:
        InputError: No column is in every file, or there are several and none was given.
    """
    candidates: list[str] = [name for name in schemas[0].names if all(_has_vectors(one, name) for one in schemas)]
    column = "embedding" if given is None else given
    if column in candidates:
        return column
    if given is None and len(candidates) == 1:
        return candidates[0]
    _check_all_have(dict(zip(files, schemas, strict=False)), given)
    what = "one column" if given is None else f"a column {given}"
    present = (
        f"has these: {list_names(candidates)}" if candidates else f"has none, only: {list_names(schemas[0].names)}"
    )
    hint = _advise(path, schemas[0], column, has_lists=bool(candidates))
    raise InputError(f"Expected {what} of lists of numbers; {path} {present}.", hint=hint)


def _check_all_have(schemas: Mapping[Path, pa.Schema], given: str | None) -> None:
    """Raise an error for the first file without the column of vectors that most others have."""
    named = {path: [name for name in schema.names if _has_vectors(schema, name)] for path, schema in schemas.items()}
    columns = [name for names in named.values() for name in names if given in (None, name)]
    if not columns:
        return
    usual = max(dict.fromkeys(columns), key=lambda name: (columns.count(name), name == "embedding"))
    odd = next((path for path, names in named.items() if usual not in names), None)
    if odd is None:
        return
    hint = f"Write it anew with the column {usual}, or move it to another folder."
    if len(named[odd]) == 1 and usual not in schemas[odd].names:
        renamed = f"pandas.read_parquet({str(odd)!r}).rename(columns={ {named[odd][0]: usual} })"
        hint = f"Rename it, in Python: import pandas; {renamed}.to_parquet({str(odd)!r})"
    raise InputError(
        f"Other files have lists of numbers in the column {usual}; {odd} has none there, only:"
        f" {list_names(schemas[odd].names)}.",
        hint=hint,
    )


def _advise(path: Path, schema: pa.Schema, column: str, *, has_lists: bool) -> str:
    """Return a hint on how to convert what a file has to lists of numbers."""
    kinds = {
        name: getattr(field.type, "storage_type", field.type) for name, field in zip(schema.names, schema, strict=True)
    }
    made = _lists_of(column, kinds.get(column))
    if has_lists and not made:
        return "Name the column with `embedding='COLUMN'`."
    made = made or _lists_of_numbered(kinds)
    made = made or next(filter(None, (_lists_of(name, kind) for name, kind in kinds.items() if _is_bytes(kind))), "")
    made = made or _lists_of_floats(kinds)
    if not made:
        return "Give a file with a column of lists of numbers, one list a row; of images: frieze embed"
    load = f"import json, numpy, pandas, re; table = pandas.read_parquet({str(path)!r}).rename(columns=str)"
    lists, _, note = made.partition("  # ")
    return f"Make lists of them ({note}), in Python: {load}; table['embedding'] = {lists}; {_WRITE}"


_WRITE = "table.to_parquet('vectors.parquet')"


def _lists_of(name: str, kind: pa.DataType | None) -> str:
    """Return Python code that converts a column of bytes or texts to lists, with an assumption; else nothing."""
    if kind is not None and _is_bytes(kind):
        what = "'float32' is what they were written in; it may be 'float64' or 'float16'"
        return f"table[{name!r}].map(lambda data: numpy.frombuffer(data, 'float32'))  # {what}"
    if kind is not None and (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return f"table[{name!r}].map(json.loads)  # of JSON texts"
    return ""


def _lists_of_numbered(kinds: Mapping[str, pa.DataType]) -> str:
    """Return such code for the largest group of columns whose names differ in a number: `emb_0` to `emb_7`."""
    alike: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        match = re.fullmatch(r"(.*?)[0-9]+", name, re.DOTALL)
        if match and _is_number(kind):
            alike.setdefault(match[1], []).append(name)
    before, names = max(alike.items(), key=lambda item: len(item[1]), default=("", []))
    if len(names) < _MIN_COLUMNS:
        return ""
    columns = f"[name for name in table if re.fullmatch({re.escape(before) + '[0-9]+'!r}, name)]"
    if names != sorted(names, key=lambda name: int(name.removeprefix(before))):
        columns = f"sorted({columns}, key=lambda name: int(name[{len(before)}:]))"
    return f"table[{columns}].to_numpy('float32').tolist()  # of columns of one number each"


def _lists_of_floats(kinds: Mapping[str, pa.DataType]) -> str:
    """Return such code for all columns of floats."""
    names = [name for name, kind in kinds.items() if pa.types.is_floating(kind)]
    if len(names) < _MIN_COLUMNS:
        return ""
    columns = f"table[{names}]" if len(names) < _MAX_NAMES else "table.select_dtypes('floating')"
    return f"{columns}.to_numpy('float32').tolist()  # of columns of one number each, if that is what they hold"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _has_vectors(schema: pa.Schema, name: str) -> bool:
    if name not in schema.names:
        return False
    kind = schema.field(name).type
    kind = getattr(kind, "storage_type", kind)  # a tensor type is stored as lists
    is_list = any(is_one(kind) for is_one in _LISTS)
    return is_list and _is_number(kind.value_type)


def partition_values(place: str) -> dict[str, str | None]:
    """Parse the partition folders `name=value` of a file's path, as Hive, Spark and pyarrow write them.

    >>> partition_values("/t/label=cat/year=2020/part-0.parquet"), partition_values("/a=b/photos/x.parquet")
    ({'label': 'cat', 'year': '2020'}, {})
    >>> partition_values("t/label=__HIVE_DEFAULT_PARTITION__/%20=a%2Fb/0.parquet")
    {'label': None, ' ': 'a/b'}
    """
    folders = place.split("/")[-2::-1]
    partitions = list(itertools.takewhile(lambda name: name.partition("=")[0] and "=" in name, folders))
    pairs = (map(urllib.parse.unquote, name.split("=", 1)) for name in reversed(partitions))
    return {name: None if value == _NO_VALUE else value for name, value in pairs}


def list_names(names: Sequence[str]) -> str:
    """Join the first few names.

    >>> list_names(["a", "b"]), list_names([])
    ('a, b', 'no column')
    """
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return (", ".join(names[:_MAX_NAMES]) or "no column") + more


def read_batches(path: Path, start: int = 0, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Read row `start` and all after it.

    Args:
        path: A Parquet file.
        start: The first row to read.
        columns: The columns to read; None for all.

    Raises:
        InputError: The file is broken.
    """
    with _open_table(path) as table:
        groups = list(range(table.num_row_groups))
        while groups and (n_rows := table.metadata.row_group(groups[0]).num_rows) <= start:
            start -= n_rows
            groups.pop(0)
        if not groups:  # which pyarrow 18 refuses
            return
        for batch in table.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns):
            batch.validate(full=True)  # Parquet does not promise that text is UTF-8
            if start < len(batch):
                yield batch.slice(start)
            start = max(start - len(batch), 0)


def to_columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    """Return a batch's columns by name."""
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def read_vectors(
    path: Path,
    embedding: str,
    start: int,
    *,
    partition: Mapping[str, str | None] = _NOTHING,
    ranges: Mapping[str, range] = _NO_RANGES,
) -> Iterator[Batch]:
    """Read columns and vectors of row `start` and all after it.

    Args:
        path: A Parquet file.
        embedding: Its column of vectors.
        start: The first row to read.
        partition: Columns with one value for all rows, from its folders.
        ranges: Columns of consecutive numbers.

    Raises:
        InputError: The file is broken.
    """
    for batch in read_batches(path, start):
        columns = to_columns(batch)
        columns |= {name: _repeat(value, len(batch)) for name, value in partition.items()}
        columns |= {name: _numbers(one[start : start + len(batch)]) for name, one in ranges.items()}
        start += len(batch)
        lists = columns.pop(embedding)
        yield columns, getattr(lists, "storage", lists)


def read_column(
    path: Path,
    name: str,
    *,
    partition: Mapping[str, str | None] = _NOTHING,
    ranges: Mapping[str, range] = _NO_RANGES,
) -> Iterator[pa.Array]:
    """Read one column; `partition` and `ranges` hold those that are not in the file, as in `read_vectors`.

    Raises:
        InputError: The file is broken.
    """
    if name in partition:
        return iter([_repeat(partition[name], read_head(path)[0])])
    if name in ranges:
        return iter([_numbers(ranges[name])])
    return (batch[name] for batch in read_batches(path, columns=[name]))


def _numbers(one: range) -> pa.Array:
    return pa.array(np.arange(one.start, one.stop, one.step, dtype=np.int64))


def _repeat(value: str | None, n_rows: int) -> pa.Array:
    return pa.array([value] * n_rows, pa.string())


@contextlib.contextmanager
def _open_table(path: Path) -> Iterator[Any]:
    with (
        name_broken(path),
        path.open("rb") as file,  # by Python: Arrow refuses names that are not UTF-8
        # Without a buffer a whole row group is in memory, and some files have only one.
        pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False) as table,
    ):
        yield table
