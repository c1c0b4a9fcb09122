"""Groups of duplicates of a table, found by a temporary index, and splits that keep groups on one side."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import terminal
from frieze.api.confirming import can_compare, comparison_progress, find_copies
from frieze.api.paths import scratch_folder
from frieze.core import Floats, Rows
from frieze.features import Features

if TYPE_CHECKING:
    from frieze.classifiers import SplitConfig
    from frieze.indexing import Index


@contextlib.contextmanager
def temporary_index(table: Features, near: Path) -> Iterator["Index"]:
    """Build an index that is deleted afterwards.

    Args:
        table: The table.
        near: A path beside which the index is written.
    """
    from frieze.indexing import build_index, open_index

    with scratch_folder(near) as folder:
        with terminal.spinner("Indexing"):
            build_index(table, folder / "index")
        yield open_index(folder / "index")


def number_rows(index: "Index") -> dict[str, int]:
    """Return the row number of each id."""
    return {name: row for row, name in enumerate(index.ids)}


def nearest_rows(index: "Index", table: Features, *, k: int) -> tuple[Rows, Floats]:
    """Find the nearest rows of each row, itself among them.

    Args:
        index: The index of the table.
        table: The table.
        k: How many; fewer where the table has fewer.

    Returns:
        rows: int64 [N, k], best first.
        scores: float32 [N, k].
    """
    rows = number_rows(index)
    batches = [index.top_k(embeddings, min(k, len(table))) for _, embeddings in table.batches()]
    ids, scores = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return np.array([rows[name] for name in ids.flat]).reshape(ids.shape), scores


@dataclasses.dataclass(frozen=True)
class DuplicateGroups:
    """Duplicates of an index.

    Attributes:
        groups: int64 [N], equal for duplicates; -1 for a row that has none.
        min_score: Minimum score of a pair that looks alike; None where there is nothing to compare.
    """

    groups: Rows
    min_score: float | None


def find_duplicate_groups(index: "Index", *, min_score: float | None = None) -> DuplicateGroups:
    """Find the duplicates of an index; where images can't be compared on their pixels, those that look alike, too.

    Args:
        index: The index.
        min_score: Minimum score of a pair that looks alike; estimated from the collection by default.
    """
    rows, groups = number_rows(index), np.full(len(index), -1, np.int64)
    with comparison_progress() as progress:
        document = find_copies(index, min_score=min_score, progress=progress)
    sets = document["groups"]
    if not can_compare() or document["n_unreadable"]:
        sets = _join_sets([*sets, *document["look_alikes"]])
        for note in document["notes"]:
            terminal.NOTES.warning("%s", note)
        terminal.NOTES.warning("images that look alike count as duplicates here.")
    # Numbered by their first rows: scores of equally tight sets differ by rounding.
    for number, group in enumerate(sorted(sorted(rows[name] for name in one["ids"]) for one in sets)):
        groups[group] = number
    return DuplicateGroups(groups, document["min_score"])


def _join_sets(sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join sets of ids that share one: a group of copies is in a set of look-alikes by its keeper."""
    joined: dict[str, list[str]] = {}
    for ids in (one["ids"] for one in sets):
        whole = list(dict.fromkeys(name for first in ids for name in joined.get(first, [first])))
        joined.update(dict.fromkeys(whole, whole))
    return [{"ids": ids} for ids in {id(ids): ids for ids in joined.values()}.values()]


def number_groups(table: Features, near: Path) -> Rows:
    """Number the groups of near-duplicates of a table.

    Args:
        table: The table.
        near: A path beside which a temporary index of the table may be written.

    Returns:
        int64 [N], equal also for frames of one file and parts of one image; a row that is alone is a group of its own.
    """
    import frieze.classifiers

    with temporary_index(table, near) as index:
        groups = find_duplicate_groups(index).groups
    groups = frieze.classifiers.join_groups(groups, frieze.classifiers.number_wholes(table.rows))
    return np.where(groups >= 0, groups, groups.max(initial=-1) + 1 + np.arange(len(groups)))


def split_by_group(config: "SplitConfig", table: Features, near: Path, *, group: str | None) -> "SplitConfig":
    """Return a split that keeps groups on one side.

    Args:
        config: The split without groups.
        table: The table.
        near: A path beside which a temporary index of the table may be written.
        group: A column, or `duplicates` for groups of near-duplicates; None for single rows, but see `keep_together`.
    """
    if group == "duplicates":
        return dataclasses.replace(config, groups=lambda: number_groups(table, near))
    return keep_together(dataclasses.replace(config, group=group), table)


def keep_together(config: "SplitConfig", table: Features) -> "SplitConfig":
    """Return a split that keeps frames of one file and parts of one image on one side, unless the user said how."""
    if config.group or config.column:
        _note_divided(table, config.column or config.group or "")
        return config
    columns = cut_columns(table)
    if not columns:
        return config
    terminal.NOTES.warning("%s stay on one side of the split, as with `group='%s'`.", cut_rows(columns), columns[0])
    return dataclasses.replace(config, group=columns[0])


def _note_divided(table: Features, column: str) -> None:
    """Say where the user's own column has several values in one file or image."""
    import frieze.classifiers

    columns = cut_columns(table)
    if not columns or column not in table.rows.column_names:
        return
    n_divided, n_wholes = frieze.classifiers.count_divided(table.rows, column)
    if n_divided:
        terminal.NOTES.warning(
            "%s have several values of `%s` (%s of %s), so that they may be on both sides of the split.",
            cut_rows(columns),
            column,
            f"{n_divided:,}",
            f"{n_wholes:,}",
        )


def cut_columns(table: Features) -> tuple[str, ...]:
    """Return the columns by which rows of a table are cut from one file or image."""
    import frieze.classifiers

    return frieze.classifiers.cut_columns(table.rows)


def cut_rows(columns: Sequence[str]) -> str:
    """Return what rows that are cut by some columns are called."""
    import frieze.classifiers

    return " and ".join(frieze.classifiers.CUT_FROM[name].rows for name in columns)
