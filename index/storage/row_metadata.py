"""rows.parquet: the metadata of each row of an index, which is every column but the embedding, in row order."""

import difflib
import functools
import itertools
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from frieze.core import FeatureFileError, Rows
from frieze.features import HASHES, free_names, perceptual_hash_columns

_GROUP_ROWS = 4096  # reading a hit reads its row group
_HIT_COLUMNS = ("query", "rank", "score")
"""Fields of a hit that are no columns of the table."""
_MAX_SHOWN = 300  # letters of an id in a message: paths are shown whole
_N_COMPARED = 20_000  # ids compared with a mistyped one


def write_rows(tables: Iterable[pa.Table], path: Path) -> None:
    """Write every column of a table but the embedding, in row order, table by table.

    Args:
        tables: One or more tables of one schema.
        path: The file.
    """
    tables = iter(tables)
    first = next(tables)
    with pq.ParquetWriter(path, first.schema, compression="zstd", use_dictionary=["label"]) as writer:
        for table in _regroup(itertools.chain([first], tables)):
            writer.write_table(table, row_group_size=_GROUP_ROWS)


def _regroup(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the same rows in tables of whole row groups, but for the last."""
    rest: list[pa.Table] = []
    for table in tables:
        joined = pa.concat_tables([*rest, table])
        n_whole = len(joined) // _GROUP_ROWS * _GROUP_ROWS
        if n_whole:
            yield joined.slice(0, n_whole)
        rest = [joined.slice(n_whole)]
    yield from (table for table in rest if len(table))


class RowMetadata:
    """An open rows.parquet: a row group is read when a hit lies in it, also after the file was deleted.

    Nothing here creates an Arrow value from a Python or NumPy one: pyarrow then imports pandas where that is installed,
    which delays a search by id by 0.4 s. (A filter, index/filters/evaluate.py, can't avoid it.)

    Attributes:
        schema: Names and types of the columns; those of perceptual hashes, which only `columns` reads, are left out.

    Raises:
        FeatureFileError: It is missing or broken.
    """

    def __init__(self, path: Path, *, hint: str) -> None:
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise FeatureFileError(f"{path} is missing or broken: {error}.", hint=hint) from error
        stored = self._file.schema_arrow
        self._hashes = perceptual_hash_columns(stored)
        self.schema = pa.schema([field for field in stored if field.name not in self._hashes], stored.metadata)
        self._path = path
        self._hint = hint
        self._groups: dict[int, pa.Table] = {}
        self._whole: pa.Table | None = None
        self._reading = threading.Lock()  # two threads in one ParquetFile read garbage, or crash

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    @functools.cached_property
    def ids(self) -> pa.ChunkedArray:
        """The ids, string [N]."""
        return self._locked_read(lambda: self._file.read(columns=["id"])["id"])

    def read(self, names: list[str]) -> pa.Table:
        """Read some columns, all N rows of them."""
        return self._locked_read(lambda: self._file.read(columns=names))

    def find(self, id: str) -> int | None:  # noqa: A002  the stored name of an image is its id everywhere
        """Return the row of an id; None where there is none."""
        if to_printable(id) != id:
            return None  # Arrow stores valid text only
        candidates = pc.indices_nonzero(pc.starts_with(self.ids, id)).to_pylist()
        return next((row for row in candidates if self.ids[row].as_py() == id), None)

    def suggest(self, unknown_id: str) -> str:
        """Return a hint with ids similar to an unknown one: those of the same file name first."""
        shown = to_printable(unknown_id)[:_MAX_SHOWN]
        same_name = self.ids.filter(pc.match_substring(self.ids, shown.rsplit("/", 1)[-1]))
        some = (same_name if len(same_name) else self.ids)[:_N_COMPARED].to_pylist()
        compared = [name for name in some if len(name) <= _MAX_SHOWN] or [f"{name[:_MAX_SHOWN]}..." for name in some]
        close = difflib.get_close_matches(shown, compared, n=3)
        return f"Did you mean: {', '.join(close)}?" if close else f"Its ids look like: {', '.join(compared[:3])}."

    @functools.cached_property
    def names_in_hits(self) -> dict[str, str]:
        """Each column's name in a table of hits: a user's column may have a name that hits use."""
        return free_names(self.schema.names, _HIT_COLUMNS)

    def resolve_name(self, name: str) -> str:
        """Return the column of a name, which may be its name in hits."""
        in_hits = {shown: stored for stored, shown in self.names_in_hits.items()}
        return name if name in self.schema.names else in_hits.get(name, name)

    def take_table(self, rows: Rows) -> pa.Table:
        """Return some rows [n] with Arrow types, in the order requested."""
        if not len(rows):
            return self.schema.empty_table()
        table, positions = self._table_with(rows)
        return table.take(pa.Array.from_buffers(pa.int64(), len(positions), [None, pa.py_buffer(positions)]))

    def take(self, rows: Rows) -> list[dict[str, Any]]:
        """Return some rows [n] as plain JSON values, in the order requested."""
        taken = self.take_table(rows) if len(rows) else pa.table({})
        return [{name: to_plain(value) for name, value in row.items()} for row in taken.to_pylist()]

    def _table_with(self, rows: Rows) -> tuple[pa.Table, Rows]:
        """Return a table with some rows [n], n >= 1, and their positions in it; the whole table once it is read."""
        if self._whole is not None:
            return self._whole, np.ascontiguousarray(rows, dtype=np.int64)
        numbers, number_at = np.unique(rows // _GROUP_ROWS, return_inverse=True)
        tables = [self._group(int(number)) for number in numbers]
        groups = self._groups
        if len(groups) == self._file.num_row_groups:
            tables = [groups[number] for number in range(len(groups))]
            self._whole = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
            self._groups = {}  # the whole table has them; threads that are reading now keep the old dict
            return self._whole, np.ascontiguousarray(rows, dtype=np.int64)
        table = pa.concat_tables(tables, promote_options="permissive")
        return table, np.ascontiguousarray(number_at * _GROUP_ROWS + rows % _GROUP_ROWS, dtype=np.int64)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Return some columns of all rows, also perceptual hashes; one that the table lacks is null throughout."""
        existing = [name for name in names if name in (self._hashes if name in HASHES else self.schema.names)]
        table = self.read(existing)
        for name in set(names) - set(existing):
            table = table.append_column(name, pa.nulls(len(self)))
        return table

    def _group(self, number: int) -> pa.Table:
        groups = self._groups
        if number not in groups:
            groups[number] = self._locked_read(lambda: self._file.read_row_group(number).drop_columns(self._hashes))
        return groups[number]

    def _locked_read(self, read: Callable[[], Any]) -> Any:
        try:
            with self._reading:
                return read()
        except MemoryError:  # Arrow's too: the file is not to blame
            raise
        except (pa.ArrowException, OSError) as error:
            raise FeatureFileError(f"{self._path} is broken: {error}.", hint=self._hint) from error


def abbreviate_id(name: str) -> str:
    """Format an id for a message: a long one by its beginning.

    >>> len(abbreviate_id("z" * 100_000))
    303
    """
    name = to_printable(name)
    return name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}..."


def to_printable(text: str) -> str:
    r"""Escape what is no valid text, such as bytes of a name that is not UTF-8.

    >>> print(to_printable("caf\udce9.jpg"))
    caf\udce9.jpg
    """
    return text.encode("utf-8", "backslashreplace").decode()


def to_plain(value: Any) -> Any:
    """Convert a column's value to plain JSON: bytes to hex, non-finite numbers to None, dates and others to text.

    >>> to_plain({"raw": b"a", "scores": [0.5, float("nan")]})
    {'raw': '61', 'scores': [0.5, None]}
    """
    if isinstance(value, dict):
        return {str(name): to_plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, str | int | float | None) else str(value)
