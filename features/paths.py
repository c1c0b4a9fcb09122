"""The files of a table's folder; any other file in it is never overwritten or deleted."""

import re
import shlex
from collections.abc import Iterator

from frieze.core import FeatureFileError, TablePath, read_json
from frieze.features.manifest import NAME, PARTS, is_features

STAGING = "staging"

_FILES = (NAME, "failures.parquet", ".lock")
_PART = r"part-\d{6,}\.parquet"
_REPLACED = r"part-\d{6,}\.[0-9a-f]{16}\.parquet"
_GRAPH = r"int8-[0-9a-f]{16}\.zip"
_LEFT_OVER = re.compile(rf"\.({_PART}|{_REPLACED}|{_GRAPH}|{re.escape(NAME)}|failures\.parquet)\.\d+\.tmp")
_STORED_PART = re.compile(_PART)
_REPLACED_PART = re.compile(_REPLACED)
_STORED_GRAPH = re.compile(_GRAPH)
_STAGED = re.compile(rf"{_PART}|{_REPLACED}|{_LEFT_OVER.pattern}")


def part_files(folder: TablePath) -> list[TablePath]:
    """List a table's parts, in the order of their numbers, without broken links."""
    paths = (folder / PARTS).glob("part-*")
    return sorted(path for path in paths if _STORED_PART.fullmatch(path.name) and path.is_file())


def graph_files(folder: TablePath) -> list[TablePath]:
    """List the graphs in int8."""
    return [path for path in folder.iterdir() if _STORED_GRAPH.fullmatch(path.name) and path.is_file()]


def leftovers(folder: TablePath) -> list[TablePath]:
    """List the temporary files of an interrupted `write_file`."""
    children = (*folder.iterdir(), *(folder / STAGING).iterdir())
    return [path for path in children if _LEFT_OVER.fullmatch(path.name) and path.is_file()]


def parts_in_compaction(folder: TablePath) -> list[TablePath]:
    """List the parts that an interrupted compaction moved to `staging/`."""
    return [path for path in (folder / STAGING).iterdir() if _STORED_PART.fullmatch(path.name)]


def replaced_parts(folder: TablePath) -> list[TablePath]:
    """List the replaced parts that are kept for readers."""
    return [path for path in (folder / STAGING).iterdir() if _REPLACED_PART.fullmatch(path.name)]


def check_table_dir(folder: TablePath) -> None:
    """Refuse a folder that holds something other than a table of features.

    Raises:
        FeatureFileError: It does, or its `staging` is a link, behind which files would be overwritten and deleted.
    """
    if (folder / STAGING).is_symlink():
        raise FeatureFileError(
            f"{folder / STAGING} is a link; the files behind it are not overwritten.",
            hint=f"Delete the link: rm {shlex.quote(str(folder / STAGING))}",
        )
    if folder.is_dir() and (is_features(folder) or _first_foreign(folder) is None):
        return
    if folder.exists():
        raise FeatureFileError(
            f"{folder} already exists and is not a table of features.",
            hint="Use another `out`: a new or an empty folder.",
        )


def check_only_table_files(folder: TablePath) -> None:
    """Refuse to replace a folder that holds more than a table of features.

    Raises:
        FeatureFileError: It does; the message names one such file.
    """
    foreign = _first_foreign(folder)
    if foreign is None and is_features(folder):
        foreign = folder / NAME if _is_not_ours(folder) else None
    if foreign is not None:
        raise FeatureFileError(
            f"{folder} is not replaced: {foreign} is no part of a table of features.",
            hint="Move it elsewhere, or use another `out`.",
        )


def _is_not_ours(folder: TablePath) -> bool:
    try:
        return read_json(folder / NAME, hint="").get("kind") != "features"
    except FeatureFileError:  # broken: the other files decide
        return False


def _first_foreign(folder: TablePath) -> TablePath | None:
    return next(_foreign(folder), None)


def _foreign(folder: TablePath) -> Iterator[TablePath]:
    for child in folder.iterdir():
        if child.name == PARTS and child.is_dir():
            yield from (path for path in child.iterdir() if not _STORED_PART.fullmatch(path.name))
        elif child.name == STAGING and child.is_dir() and not child.is_symlink():
            yield from (path for path in child.iterdir() if not _STAGED.fullmatch(path.name))
        elif child.name not in _FILES and not (_LEFT_OVER.fullmatch(child.name) or _STORED_GRAPH.fullmatch(child.name)):
            yield child
