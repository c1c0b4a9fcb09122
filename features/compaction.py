"""Small parts of many small runs, merged into few; a merge that was cut short is undone or finished."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.compute as pc

from frieze.core import translate_io_errors, write_file
from frieze.features.concat import join_rows
from frieze.features.manifest import PARTS, Part
from frieze.features.part_files import read_part, write_part
from frieze.features.paths import STAGING, part_files, staged_parts

_PILE = 16
"""How many small parts are left alone: rewriting them at every run would cost more than reading them."""


def groups_to_compact(parts: Sequence[Part], *, shard_size: int) -> list[list[Part]]:
    """Choose the parts to merge.

    Args:
        parts: The live parts.
        shard_size: Rows in a merged part at most.

    Returns:
        Groups of two or more parts, each of at most half that size; none while there are few.
    """
    small = [part for part in parts if part.rows <= shard_size // 2]
    return [group for group in _groups(small, shard_size) if len(group) > 1] if len(small) > _PILE else []


def _groups(parts: Sequence[Part], shard_size: int) -> Iterator[list[Part]]:
    group: list[Part] = []
    for part in parts:
        if sum(one.rows for one in group) + part.rows > shard_size:
            yield group
            group = []
        group.append(part)
    yield group


def merge(folder: Path, group: Sequence[Part]) -> Part:
    """Write some parts as one in the place of the first.

    At every moment each id is in `parts/` at most once: the others step aside before the merged part takes its place.

    Args:
        folder: The table.
        group: Two or more live parts.

    Returns:
        The merged part.

    Raises:
        FeatureFileError: The disk refuses, or a part is broken; `recover_compaction` brings back what stepped aside.
    """
    first, *others = (folder / PARTS / part.name for part in group)
    table = join_rows([read_part(path) for path in (first, *others)])

    def write_and_make_room(staging: Path) -> None:
        write_part(table, staging)
        for path in others:
            path.replace(folder / STAGING / path.name)

    write_file(first, write_and_make_room, staging_dir=folder / STAGING)
    for path in others:
        with translate_io_errors(folder):
            (folder / STAGING / path.name).unlink()
    return Part.of(first, len(table))


def recover_compaction(folder: Path) -> None:
    """Undo or finish a merge that was cut short: a part that stepped aside comes back, unless its rows are merged."""
    for staged in staged_parts(folder):
        ids = read_part(staged, ["id"])["id"]
        live = [read_part(path, ["id"])["id"] for path in part_files(folder)]
        is_merged = any(pc.any(pc.is_in(ids, one.combine_chunks())).as_py() for one in live)
        with translate_io_errors(folder):
            staged.unlink() if is_merged else staged.replace(folder / PARTS / staged.name)
