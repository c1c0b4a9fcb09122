"""How the labelled rows of a table are parted into those to fit on and those held out."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from frieze.classifiers.config import MAX_SEED
from frieze.classifiers.data.labelled_examples import Examples, column_of
from frieze.classifiers.data.splits import Split, draw_shots, split_given, split_groups, split_stratified
from frieze.core import InputError, Rows, Strings
from frieze.features import Features


def check_seed(seed: int) -> None:
    """Refuse a seed that NumPy or scikit-learn does not take.

    Raises:
        InputError: It is out of range.
    """
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"The seed is {seed}; it lies between 0 and {MAX_SEED}.", hint="Use for example --seed 0")


@dataclasses.dataclass(frozen=True)
class SplitConfig:
    """How rows are parted into those to fit on and those held out.

    Attributes:
        test_size: Share to hold out, between 0 and 1, both excluded.
        seed: For the split.
        column: Of the table, which says `train`, `val` or `test` for each row; None to draw.
        group: Of the table: rows of one value come on one side; None for rows on their own.
        groups: Gives the same for each row of the table, int64 [N], in place of a column; asked when it is needed.
        shots: Rows of each class to fit on, drawn from the training rows; None for all.
    """

    test_size: float = 0.2
    seed: int = 0
    column: str | None = None
    group: str | None = None
    groups: Callable[[], Rows] | None = None
    shots: int | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.column and (self.group or self.groups is not None):
            raise InputError("The column of parts says where each row goes.", hint="Leave --group or --split out.")

    def part(self, features: Features, examples: Examples) -> tuple[Split, Rows | None]:
        """Part some labelled rows; give the groups int64 [n] too where there are some."""
        if self.column:
            parts = column_of(features.rows, self.column, examples)
            return split_given(parts, examples.labels, column=self.column), None
        groups = self.find_groups(features, examples)
        if groups is None:
            return split_stratified(examples.labels, test_size=self.test_size, seed=self.seed), None
        return split_groups(examples.labels, groups, test_size=self.test_size, seed=self.seed), groups

    def draw(self, split: Split, labels: Strings) -> list[Split]:
        """Give the splits to fit on, the one that counts first: more than one where few rows a class are drawn."""
        return [split] if self.shots is None else draw_shots(split, labels, self.shots, seed=self.seed)

    def find_groups(self, features: Features, examples: Examples) -> Rows | None:
        """Number the groups of some labelled rows, int64 [n]; None where rows are on their own."""
        if self.groups is not None:
            return self.groups()[examples.rows]
        if self.group is None:
            return None
        values = column_of(features.rows, self.group, examples)
        own = np.array([f"\0{row}" if value is None else value for row, value in enumerate(values)])
        return np.unique(own, return_inverse=True)[1]  # a row without a value is on its own

    def to_json(self, split: Split) -> dict[str, Any]:
        """Give what head.json says of it."""
        n_train, n_test = len(split.train), len(split.test)
        known = {"method": split.method, "test_size": self.test_size, "seed": self.seed}
        by = {"column": self.column} if self.column else {"group": self.group or "duplicates"}
        known |= {} if self.shots is None else {"shots": self.shots}
        return known | (by if split.method != "stratified" else {}) | {"n_train": n_train, "n_test": n_test}
