"""Which rows of a table carry a label, in an order that does not depend on how the table was written."""

import dataclasses
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, Rows, Strings

_WHOLE = re.compile(r"^([+-]?\d+)\.0*$", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled rows of a table; their texts stay in Arrow, which takes a fraction of what Python objects do.

    Attributes:
        rows: int64 [n], row numbers of the table.
        labels: Their labels [n], none of them None; equal ones are one object.
        table: `id`, `sha256` and `uri` of all rows of the table.
    """

    rows: Rows
    labels: Strings
    table: pa.Table

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> Strings:
        """The images' ids [n], made anew each time."""
        return _to_strings(self.column("id"))

    @property
    def sha256(self) -> Strings:
        """Hash of each image's bytes [n], None where unknown; made anew each time."""
        return _to_strings(self.column("sha256"))

    @property
    def uris(self) -> Strings:
        """Where each image is [n], made anew each time."""
        return _to_strings(self.column("uri"))

    def column(self, name: str) -> pa.ChunkedArray:
        """Return `id`, `sha256` or `uri` of the examples."""
        return self.table[name].take(pa.array(self.rows))

    def take(self, chosen: Rows) -> Self:
        """Give some of the examples, by their place in this collection."""
        return dataclasses.replace(self, rows=self.rows[chosen], labels=self.labels[chosen])


_MENDS = {
    "frieze embed": "Take a column of the table with --label COLUMN, or a file with --labels FILE; or store them, which"
    " embeds nothing again: frieze embed SOURCE --labels FILE --out FEATURES",
    "frieze import": "Take a column of the table with --label COLUMN, or a file with --labels FILE; or store them:"
    " frieze import VECTORS --label COLUMN --out FEATURES --force",
}
"""What to type, by what made the table."""


def labelled_rows(table: pa.Table, *, maker: str = "frieze embed") -> Examples:
    """Find the rows that have a label.

    Args:
        table: `Features.rows`.
        maker: What made the table, `Manifest.maker`.

    Returns:
        The labelled rows in the order of their ids, so that a head does not depend on the order of the table.

    Raises:
        InputError: No row has a label.
    """
    labels = _shared_strings(table["label"].cast(pa.string()))
    rows = np.flatnonzero([label is not None for label in labels])
    if not len(rows):
        raise InputError(f"None of the {len(labels)} rows has a label.", hint=_MENDS[maker])
    texts = pa.table({name: table[name].cast(pa.string()) for name in ("id", "sha256", "uri")})
    rows = rows[pc.sort_indices(texts["id"].take(pa.array(rows))).to_numpy()]  # by bytes is as Python sorts
    return Examples(rows, labels[rows], texts)


def fold_label(label: str) -> str:
    """Reduce a label to what people mean by it, without case, outer blanks, and `.0` behind a whole number.

    >>> fold_label(" Roses"), fold_label("1.0")
    ('roses', '1')
    """
    return _WHOLE.sub(r"\1", unicodedata.normalize("NFC", label).strip().casefold())


def similar_labels(labels: Iterable[str]) -> list[list[str]]:
    """List the labels that are the same after `fold_label`.

    >>> similar_labels(["roses", "tulips", "Roses", "roses"])
    [['Roses', 'roses']]
    """
    found: dict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        found[fold_label(label)].append(label)
    return [one for one in found.values() if len(one) > 1]


def column_of(table: pa.Table, name: str, examples: Examples) -> Strings:
    """Give a column's values as text for some examples, [n]; None where there is none.

    Raises:
        InputError: The table has no such column.
    """
    if name not in table.column_names:
        raise InputError(f"There is no column {name}.", hint=f"There are: {', '.join(table.column_names)}.")
    values = table[name].take(pa.array(examples.rows)).to_pylist()
    return np.array([None if value is None else str(value) for value in values], dtype=object)


def _to_strings(column: pa.ChunkedArray) -> Strings:
    return np.array(column.to_pylist(), dtype=object)


def _shared_strings(column: pa.ChunkedArray) -> Strings:
    """Return the texts [N], equal ones as one Python object, None where unknown."""
    coded = column.dictionary_encode().combine_chunks()
    names = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    shared: Strings = names[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    return shared
