"""Compaction: merge the small parts of many small runs, and recover a compaction that a crash interrupted."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.compute as pc

from frieze.core import TablePath, move_file, translate_io_errors, write_file
from frieze.features.concat import join_rows
from frieze.features.manifest import PARTS, Part
from frieze.features.part_files import read_part, write_part
from frieze.features.paths import STAGING, part_files, parts_in_compaction

_MAX_SMALL_PARTS = 16
"""Up to so many small parts are not merged: rewriting them at every run would cost more than reading them."""


def groups_to_compact(parts: Sequence[Part], *, shard_size: int) -> list[list[Part]]:
    """Choose the parts to merge.

    Args:
        parts: The live parts.
        shard_size: The maximum number of rows in a merged part.

    Returns:
        Groups of two or more parts, each of at most half that size; none while there are few.
    """
    small = [part for part in parts if part.rows <= shard_size // 2]
    return [group for group in _groups(small, shard_size) if len(group) > 1] if len(small) > _MAX_SMALL_PARTS else []


def _groups(parts: Sequence[Part], shard_size: int) -> Iterator[list[Part]]:
    group: list[Part] = []
    for part in parts:
        if sum(one.rows for one in group) + part.rows > shard_size:
            yield group
            group = []
        group.append(part)
    yield group


def merge_parts(folder: TablePath, group: Sequence[Part]) -> Part:
    """Merge parts into one that replaces the first of them.

    At every moment each id is in `parts/` at most once: the others move to `staging/` before the merge is committed.

    Args:
        folder: The table.
        group: Two or more live parts.

    Returns:
        The merged part.

    Raises:
        FeatureFileError: The disk refuses, or a part is broken; `recover_compaction` moves the other parts back.
    """
    first, *others = (folder / PARTS / part.name for part in group)
    table = join_rows([read_part(path) for path in (first, *others)])

    def write_and_move_others(staging: Path) -> None:
        write_part(table, staging)
        for path in others:
            move_file(path, folder / STAGING / path.name)

    write_file(first, write_and_move_others, staging_dir=folder / STAGING)
    for path in others:
        with translate_io_errors(folder):
            (folder / STAGING / path.name).unlink()
    return Part.of(first, len(table))


def recover_compaction(folder: TablePath) -> None:
    """Undo or finish an interrupted merge: a part in `staging/` moves back unless its rows are in the merged part."""
    for staged in parts_in_compaction(folder):
        ids = read_part(staged, ["id"])["id"]
        live = [read_part(path, ["id"])["id"] for path in part_files(folder)]
        is_merged = any(pc.any(pc.is_in(ids, one.combine_chunks())).as_py() for one in live)
        with translate_io_errors(folder):
            staged.unlink() if is_merged else move_file(staged, folder / PARTS / staged.name)
