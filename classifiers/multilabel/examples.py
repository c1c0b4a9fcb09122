"""The rows of a table that have lists of labels: which labels each row has."""

import dataclasses
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from frieze.classifiers.data.labelled_examples import Examples
from frieze.core import InputError, Rows, Strings

Mask = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class MultilabelExamples:
    """Rows whose labels are known, an empty list included.

    Attributes:
        examples: The n rows in the order of their ids; `labels` has the rarest label of each, by which splits are
            stratified, and an empty text where it has none.
        classes: The names of the C labels, sorted.
        has_label: bool [n, C].
    """

    examples: Examples
    classes: Strings
    has_label: Mask

    def __len__(self) -> int:
        return len(self.examples)

    def name_lists(self) -> Strings:
        """Return the labels of each row as one text [n], joined by commas; empty for none."""
        return np.array([", ".join(self.classes[of_row]) for of_row in self.has_label], dtype=object)

    def take(self, chosen: Rows) -> Self:
        """Select rows by their position."""
        return dataclasses.replace(self, examples=self.examples.take(chosen), has_label=self.has_label[chosen])

    def take_classes(self, is_kept: Mask) -> Self:
        """Select labels, bool [C]; the rows stay stratified as they are."""
        return dataclasses.replace(self, classes=self.classes[is_kept], has_label=self.has_label[:, is_kept])


def multilabel_rows(table: pa.Table) -> MultilabelExamples:
    """Find the rows that have a list of labels.

    Args:
        table: `Features.rows` with lists of texts as labels; null where the labels of a row are not known.

    Returns:
        The rows in the order of their ids, so that a head does not depend on the order of the table.

    Raises:
        InputError: No row has a label, or labels are no lists.
    """
    lists = table["label"]
    if not pa.types.is_list(lists.type):
        raise InputError(
            "Each image has one label; this takes lists of labels.",
            hint="Name a column of lists with `label='COLUMN'`.",
        )
    texts = pa.table({name: table[name].cast(pa.string()) for name in ("id", "sha256", "uri")})
    rows = np.flatnonzero(lists.is_valid().to_numpy())
    rows = rows[pc.sort_indices(texts["id"].take(pa.array(rows))).to_numpy()]
    classes, has_label = to_matrix(lists.take(pa.array(rows)))
    if not len(classes):
        raise InputError(
            f"None of the {len(lists):,} rows has a label in its list.",
            hint="Name another column of lists with `label='COLUMN'`, or a file with `labels='FILE'`.",
        )
    return MultilabelExamples(Examples(rows, _rarest(classes, has_label), texts), classes, has_label)


def to_matrix(lists: pa.ChunkedArray) -> tuple[Strings, Mask]:
    """Return the names in lists of texts [n], sorted, and which of them each list has, bool [n, C].

    >>> names, has_label = to_matrix(pa.chunked_array([[["b", "a"], [], ["b", None]]]))
    >>> names.tolist(), has_label.astype(int).tolist()
    (['a', 'b'], [[1, 1], [0, 0], [0, 1]])
    """
    whole = lists.combine_chunks()
    rows, values = pc.list_parent_indices(whole), pc.list_flatten(whole).cast(pa.string())
    is_text = pc.not_equal(pc.fill_null(values, ""), "")
    rows, coded = rows.filter(is_text).to_numpy(), values.filter(is_text).dictionary_encode()
    names = np.array(coded.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names, kind="stable")
    has_label = np.zeros((len(lists), len(names)), bool)
    has_label[rows, np.argsort(order)[coded.indices.to_numpy()]] = True
    return names[order], has_label


def _rarest(classes: Strings, has_label: Mask) -> Strings:
    """Return the rarest label of each row [n], an empty text for none.

    Who holds out a share of each rarest label holds out about that share of every label, for the frequent ones are
    there in plenty (after Sechidis et al. 2011, On the Stratification of Multi-Label Data).
    """
    rarest_first = np.argsort(has_label.sum(axis=0), kind="stable")
    rarest = rarest_first[has_label[:, rarest_first].argmax(axis=1)]
    names: Strings = np.append(classes, "")[np.where(has_label.any(axis=1), rarest, len(classes))]
    return names
