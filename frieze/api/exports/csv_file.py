"""A CSV file of everything, which Excel, pandas and DuckDB open as it is."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from frieze import terminal
from frieze.api.exports.rows import ExportRows, RowBatch
from frieze.core import check_table_file, counted, write_csv_for_excel

_FIRST, _ALWAYS = ["id", "uri", "label"], "sha256"
_VECTOR = "embedding_{}"
_MOST_ROWS, _MOST_COLUMNS = (
    1_048_575,
    16_384,
)  # of a sheet, below its first row; source: Excel specifications and limits
_FORMULA = r"^([=@].|[+-]\D)"


def check_csv(out: Path, *, force: bool) -> None:
    """Check that a CSV file can be written.

    Raises:
        FeatureFileError: It can't, or `out` is something else than an exported table.
    """
    check_table_file(out, _is_ours, "exported table", force=force, suffix=".csv")


def _is_ours(names: list[str]) -> bool:
    return names[: len(_FIRST)] == _FIRST and _ALWAYS in names


def write_csv(rows: ExportRows, out: Path, *, vectors: bool, **_: bool) -> list[str]:
    """Write a table as a CSV file: its columns, then with `vectors` a column `embedding_N` for each number.

    Returns:
        Notes on what Excel does to the file.

    Raises:
        FeatureFileError: The disk refuses, or a part is broken.
    """
    numbers = [_VECTOR.format(number) for number in range(rows.dim)] if vectors else []
    schema, batches = ExportRows(rows.table, rows.head, tuple(numbers)).batches()
    schema = pa.schema([*schema, *((name, pa.float32()) for name in numbers)])
    formulas = _Formulas()
    with terminal.spinner("Exporting"):
        write_csv_for_excel(out, schema, formulas.count(_to_table(batch, numbers) for batch in batches))
    return [*formulas.notes(), *_limits(len(rows.table), len(schema))]


def _to_table(batch: RowBatch, numbers: list[str]) -> pa.Table:
    table = batch.columns
    for name, column in zip(numbers, batch.embeddings.T, strict=False):
        table = table.append_column(name, pa.array(column))
    return table


class _Formulas:
    """Counts the texts that Excel takes for formulas."""

    def __init__(self) -> None:
        self.n_cells = 0

    def count(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for table in tables:
            for column in table.columns:
                if pa.types.is_string(column.type):
                    self.n_cells += pc.sum(pc.match_substring_regex(column, _FORMULA)).as_py() or 0
            yield table

    def notes(self) -> list[str]:
        texts = counted(self.n_cells, "text")
        note = f"Excel takes {texts} for formulas, since they begin with =, +, - or @: import these columns as text."
        return [note] if self.n_cells else []


def _limits(n_rows: int, n_columns: int) -> list[str]:
    """Return what of a file of this size Excel leaves out."""
    if n_rows <= _MOST_ROWS and n_columns <= _MOST_COLUMNS:
        return []
    return [
        f"Excel shows the first {_MOST_ROWS:,} rows and {_MOST_COLUMNS:,} columns of a file, and this one has more."
    ]
