"""The labelled rows of a table, in the order of their ids, whatever the order of the table."""

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
    """Labelled rows of a table; their strings stay in Arrow, which takes a fraction of the memory of Python objects.

    Attributes:
        rows: int64 [n], row numbers of the table.
        labels: Their labels [n], never None; equal ones are one object.
        table: `id`, `sha256` and `uri` of all rows of the table.
    """

    rows: Rows
    labels: Strings
    table: pa.Table

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> Strings:
        """The images' ids [n], built at each access."""
        return _to_strings(self.column("id"))

    @property
    def sha256(self) -> Strings:
        """Hash of each image's bytes [n], None where unknown; built at each access."""
        return _to_strings(self.column("sha256"))

    @property
    def uris(self) -> Strings:
        """The images' URIs [n], built at each access."""
        return _to_strings(self.column("uri"))

    def column(self, name: str) -> pa.ChunkedArray:
        """Return `id`, `sha256` or `uri` of the examples."""
        return self.table[name].take(pa.array(self.rows))

    def take(self, chosen: Rows) -> Self:
        """Select examples by their position."""
        return dataclasses.replace(self, rows=self.rows[chosen], labels=self.labels[chosen])


_HINTS = {
    "frieze embed": "Use a column of the table with `label='COLUMN'`, or a file with `labels='FILE'`; or store them,"
    " which does not embed again: frieze embed SOURCE --labels FILE --out FEATURES",
    "frieze import": "Use a column of the table with `label='COLUMN'`, or a file with `labels='FILE'`; or store them:"
    " frieze import VECTORS --label COLUMN --out FEATURES --force",
}
"""What to type, by the command that wrote the table."""


def labelled_rows(table: pa.Table, *, maker: str = "frieze embed") -> Examples:
    """Find the rows that have a label.

    Args:
        table: `Features.rows`.
        maker: The command that wrote the table, `Manifest.maker`.

    Returns:
        The labelled rows in the order of their ids, so that a head does not depend on the order of the table.

    Raises:
        InputError: No row has a label, or labels are lists.
    """
    if pa.types.is_list(table["label"].type):
        raise InputError(
            "The labels are lists; this takes one label an image.",
            hint="Name a column of single labels with `label='COLUMN'`; train, evaluate and audit take lists, too.",
        )
    labels = _shared_strings(table["label"].cast(pa.string()))
    rows = np.flatnonzero([label is not None for label in labels])
    if not len(rows):
        raise InputError(f"None of the {len(labels)} rows has a label.", hint=_HINTS[maker])
    texts = pa.table({name: table[name].cast(pa.string()) for name in ("id", "sha256", "uri")})
    rows = rows[
        pc.sort_indices(texts["id"].take(pa.array(rows))).to_numpy()
    ]  # Arrow sorts by bytes, the order of Python
    return Examples(rows, labels[rows], texts)


def fold_label(label: str) -> str:
    """Normalise a label: no case, no outer blanks, no `.0` after a whole number.

    >>> fold_label(" Roses"), fold_label("1.0")
    ('roses', '1')
    """
    return _WHOLE.sub(r"\1", unicodedata.normalize("NFC", label).strip().casefold())


def similar_labels(labels: Iterable[str]) -> list[list[str]]:
    """List the labels that are the same after `fold_label`.

    >>> similar_labels(["roses", "tulips", "Roses", "roses"])
    [['Roses', 'roses']]
    """
    by_folded: dict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels)):
        by_folded[fold_label(label)].append(label)
    return [one for one in by_folded.values() if len(one) > 1]


def column_of(table: pa.Table, name: str, examples: Examples) -> Strings:
    """Return a column's values as strings for some examples, [n]; None where null.

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
    """Return strings [N], equal ones as one Python object, None where null."""
    coded = column.dictionary_encode().combine_chunks()
    names = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    shared: Strings = names[coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    return shared
