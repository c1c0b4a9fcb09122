"""The files of confirmed copies: which of them can be moved, and under which names."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from frieze.core import InputError, hash_file, to_table_path

if TYPE_CHECKING:
    from frieze.indexing import Index

NO_FILE = "no file of their own: in an archive, a table, a bucket, on the web or in memory"
MISSING = "no longer there"
LINK = "symbolic links"
UNKNOWN = "the index has no sha256 of them"
CHANGED = "changed since they were embedded"
SAME_FILE = "the same file as the one to keep"
KEEPER = "the one to keep is missing, has changed or is no file of its own"
DECIDED = "decided on the page to be kept"
_COLUMNS = ("id", "uri", "sha256", "size_bytes")


class ImageFile(NamedTuple):
    """A file as it was when it was embedded."""

    path: Path
    sha256: str
    size_bytes: int


class CopyFile(NamedTuple):
    """The file of a confirmed copy, and that of the image to keep.

    Attributes:
        copy: The copy.
        keeper: The image to keep.
        member: The copy's entry in the document of `frieze duplicates`.
    """

    copy: ImageFile
    keeper: ImageFile
    member: dict[str, Any]


def list_copies(index: "Index", document: dict[str, Any]) -> tuple[list[CopyFile], Counter[str]]:
    """List the copies that are files of their own; nothing is read of them.

    Args:
        index: The opened index.
        document: The document of `frieze duplicates`.

    Returns:
        The copies; and of the others why they are left, with their number.
    """
    files = _image_files(index, document)
    kept = _kept_by_decision(index)
    copies, left = [], Counter[str]()
    for group in document["groups"]:
        keeper = files[group["keep"]]
        for member in group["members"]:
            file = files[member["id"]]
            if member["id"] in kept:
                left[DECIDED] += 1
            elif isinstance(file, str):
                left[file] += 1
            elif isinstance(keeper, str):
                left[KEEPER] += 1
            elif _is_same_file(file, keeper):
                left[SAME_FILE] += 1
            else:
                copies.append(CopyFile(file, keeper, member))
    return copies, left


def why_not_to_move(one: CopyFile) -> str | None:
    """Read a copy and the image to keep, and return why the copy is left; None where both are as they were embedded."""
    if not is_file(one.copy.path):
        return MISSING
    if not is_unchanged(one.keeper):
        return KEEPER
    if _is_same_file(one.copy, one.keeper):
        return SAME_FILE
    return None if is_unchanged(one.copy) else CHANGED


def relative_names(index: "Index", copies: list[CopyFile]) -> list[Path]:
    """Return the paths of copies relative to the folder that was embedded, or else to the lowest one above all."""
    if not copies:
        return []
    paths = [Path(os.path.normpath(one.copy.path)) for one in copies]  # `..` would lead out of a folder
    source = source_folder(index)
    if source is None or not all(path.is_relative_to(source) for path in paths):
        source = Path(os.path.commonpath([path.parent for path in paths]))
    return [path.relative_to(source) for path in paths]


def source_folder(index: "Index") -> Path | None:
    """Return the folder whose images the table of an index holds; None where it is none, or the table is gone."""
    from frieze.features import read_manifest

    try:
        source = Path(read_manifest(to_table_path(index.document["features"]["path"])).source)
    except InputError:
        return None
    return source if source.is_absolute() and source.is_dir() else None


def _image_files(index: "Index", document: dict[str, Any]) -> dict[str, ImageFile | str]:
    """Return the file of each image of the groups, or why it has none."""
    ids = [name for group in document["groups"] for name in group["ids"]]
    if not ids:
        return {}
    table = index.metadata(ids)
    rows = table.select([name for name in _COLUMNS if name in table.column_names]).to_pylist()
    return {row["id"]: _image_file(row) for row in rows}


def _image_file(row: dict[str, Any]) -> ImageFile | str:
    from frieze.embedder import to_path

    path = Path(os.fsdecode(to_path(row["uri"])))
    if not path.is_absolute():
        return NO_FILE
    if os.path.islink(path):  # noqa: PTH114  Path's raises where a folder can't be read or a name is too long
        return LINK
    if not is_file(path):
        return NO_FILE if any(map(is_file, path.parents)) else MISSING
    if not row.get("sha256") or not row.get("size_bytes"):
        return UNKNOWN
    return ImageFile(path, row["sha256"], row["size_bytes"])


def _is_same_file(file: ImageFile, other: ImageFile) -> bool:
    """Return whether two paths lead to one file: by a hard link, or through a folder that is linked."""
    try:
        return file.path.samefile(other.path)
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Return whether there is a file, which may be behind a link; False where that can't be told."""
    return os.path.isfile(path)  # noqa: PTH113  Path's raises where a folder can't be read or a name is too long


def is_unchanged(file: ImageFile) -> bool:
    """Return whether a file has the bytes that it had; False where it is gone."""
    try:
        return file.path.stat().st_size == file.size_bytes and hash_file(file.path) == file.sha256
    except OSError:
        return False


def _kept_by_decision(index: "Index") -> set[str]:
    """Return the ids of the images that a decision on the page keeps."""
    folder = index.path.resolve()
    if not folder.with_name(f"{folder.name}.decisions.jsonl").exists():
        return set()
    try:
        from frieze.web.decisions import read_current_decisions
    except ModuleNotFoundError as error:
        raise InputError(
            f"There are decisions on duplicates beside {index.path}, which can't be read without {error.name}.",
            hint="Type: pip install 'frieze[web]'",
        ) from error
    return {name for one in read_current_decisions(index) for name in one.kept_ids()}
