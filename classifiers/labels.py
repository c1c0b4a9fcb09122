"""Which rows of a table carry a label, in an order that does not depend on how the table was written."""

import dataclasses
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Self

import numpy as np
import pyarrow as pa

from features import InputError, Rows, Strings

_WHOLE = re.compile(r"^([+-]?\d+)\.0*$", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled rows of a table.

    Attributes:
        rows: int64 [n], row numbers of the table.
        ids: The images' ids [n].
        labels: Their labels [n], none of them None.
        sha256: Hash of each image's bytes [n], None where unknown.
        uris: Where each image is [n].
    """

    rows: Rows
    ids: Strings
    labels: Strings
    sha256: Strings
    uris: Strings

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: Rows) -> Self:
        """Give some of the examples, by their place in this collection."""
        return type(self)(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))


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
    labels = _strings(table, "label")
    ids = _strings(table, "id")
    rows = np.flatnonzero([label is not None for label in labels])
    if not len(rows):
        raise InputError(f"None of the {len(labels)} rows has a label.", mend=_MENDS[maker])
    rows = rows[np.argsort(ids[rows])]
    return Examples(rows, ids[rows], labels[rows], _strings(table, "sha256")[rows], _strings(table, "uri")[rows])


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
        raise InputError(f"There is no column {name}.", mend=f"There are: {', '.join(table.column_names)}.")
    values = [None if value is None else str(value) for value in table[name].to_pylist()]
    return np.array(values, dtype=object)[examples.rows]


def _strings(table: pa.Table, name: str) -> Strings:
    return np.array(table[name].cast(pa.string()).to_pylist(), dtype=object)
