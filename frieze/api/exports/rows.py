"""The rows of an exported table: stored columns, the predictions of a head, and vectors, in batches."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from frieze.core import Floats
from frieze.features import Features, free_names

if TYPE_CHECKING:
    from frieze.classifiers import Head

PREDICTIONS = ("prediction", "probability", "abstained")
"""Columns of a head's predictions; the last one only where the head abstains."""

_AFTER = "label"
"""The column that predictions follow."""


class RowBatch(NamedTuple):
    """Some rows.

    Attributes:
        columns: All columns but the vectors; none is a dictionary.
        embeddings: float32 [n, D].
    """

    columns: pa.Table
    embeddings: Floats


@dataclasses.dataclass(frozen=True)
class ExportRows:
    """A table of features and a head whose predictions are columns.

    Attributes:
        table: The table.
        head: The head, of the table's backbone; None for no predictions.
        reserved: Names that an exported table has for other columns: a user column of such a name gets `source_` before
            it.
    """

    table: Features
    head: "Head | None" = None
    reserved: tuple[str, ...] = ()

    @property
    def dim(self) -> int:
        """The width of a vector."""
        return self.table.spec.dim

    def batches(self) -> tuple[pa.Schema, Iterator[RowBatch]]:
        """Return the schema of `RowBatch.columns`, and the rows.

        Raises:
            FeatureFileError: A part is missing or broken.
        """
        pairs = zip(self.table.row_tables(), self.table.vectors(), strict=True)
        batches = (RowBatch(self._columns(rows, vectors), vectors) for rows, vectors in pairs)
        first = next(batches, None)
        if first is None:
            return self._columns(self.table.rows, self.table.embeddings()).schema, iter(())
        return first.columns.schema, itertools.chain([first], batches)

    def _columns(self, rows: pa.Table, embeddings: Floats) -> pa.Table:
        rows = rows.replace_schema_metadata()
        predictions = {} if self.head is None else _predict(self.head, embeddings)
        names = free_names(rows.column_names, {*predictions, *self.reserved})
        columns = {names[name]: _plain(rows[name]) for name in rows.column_names}
        after = list(columns).index(_AFTER) + 1
        pairs = list(columns.items())
        return pa.table(dict([*pairs[:after], *predictions.items(), *pairs[after:]]))


def _plain(column: Any) -> Any:
    is_coded = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_coded else column


def _predict(head: "Head", embeddings: Floats) -> dict[str, Any]:
    """Return the columns of `PREDICTIONS` that a head has."""
    import frieze.classifiers

    return frieze.classifiers.prediction_columns(head, head.probabilities(embeddings))


def add_embeddings(columns: pa.Table, embeddings: Floats) -> pa.Table:
    """Append the column `embedding`, lists of D float32."""
    flat = pa.array(np.ascontiguousarray(embeddings).reshape(-1))
    return columns.append_column("embedding", pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1]))


def slices(batches: Iterator[RowBatch], n_rows: int) -> Iterator[RowBatch]:
    """Cut batches into such of at most `n_rows`: what is added to a row may be large."""
    for columns, embeddings in batches:
        for start in range(0, len(columns), n_rows):
            yield RowBatch(columns.slice(start, n_rows), embeddings[start : start + n_rows])
