"""The files of a stored index: index.json names the one live generation, and is replaced last."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features import FeatureFileError, lock, read_json

CONTRACT = 1
INDEX_NAME = "index.json"
FAISS_NAME = "index.faiss"
ROWS_NAME = "rows.parquet"
_GENERATION = "generation-"
_NEEDED = {"features", "files", "generation", "index_kind", "metric", "nprobe", "request", "rows"}
_ANOTHER = "Give another --out: a new or an empty folder."


def read_document(path: Path) -> dict[str, Any]:
    """Read an index's index.json.

    Raises:
        FeatureFileError: It is missing, broken, or of a contract that this version does not know.
    """
    document = read_json(path / INDEX_NAME, mend=f"Make the index with: frieze index FEATURES --out {path} --force")
    if document.get("kind") != "index":
        raise FeatureFileError(f"{path / INDEX_NAME} does not belong to an index.", mend="Give the path of an index.")
    if document.get("contract", 0) > CONTRACT:
        raise FeatureFileError(
            f"{path} is an index of contract {document['contract']}; this version reads up to {CONTRACT}.",
            mend="Upgrade with: pip install --upgrade frieze",
        )
    if missing := _NEEDED - document.keys():
        raise FeatureFileError(
            f"{path / INDEX_NAME} lacks what an index has: {', '.join(sorted(missing))}.",
            mend="Put back the index.json that belongs there.",
        )
    return document


def stored_document(path: Path, *, force: bool) -> dict[str, Any] | None:
    """Read what stands at `path` already: an index's document, or None where there is room for a new one.

    Args:
        path: Where an index is to stand.
        force: Whether an index whose index.json can't be read may go.

    Raises:
        FeatureFileError: Something else stands there, or an index.json that can't be read and `force` is not set.
    """
    if not path.exists():
        return None
    has_index = (path / INDEX_NAME).exists()
    if not has_index and path.is_dir() and _is_all_ours(path):
        return None
    if not has_index:
        raise FeatureFileError(f"{path} is there already and is no index.", mend=_ANOTHER)
    return None if force and _is_ruin(path) else read_document(path)


def _is_ruin(path: Path) -> bool:
    """Tell whether a folder was an index: generations of ours beside an index.json that can't be read."""
    try:
        read_json(path / INDEX_NAME, mend="")
    except FeatureFileError:
        return _is_all_ours(path) and any(path.glob(f"{_GENERATION}*"))
    return False


def _is_all_ours(path: Path) -> bool:
    return all(_is_ours(child) for child in path.iterdir())


def _is_ours(child: Path) -> bool:
    name = child.name.removeprefix(".")
    return name.startswith((INDEX_NAME, _GENERATION)) or child.name == ".lock"


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a folder for writing an index; it is made when missing.

    Raises:
        FeatureFileError: Another process writes to it, or the disk refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with lock(path):
            yield
    except OSError as error:
        raise FeatureFileError(
            f"{path} can't be written: {error.strerror or error}.",
            mend="Check the folder's permissions and the space left, or give another --out.",
        ) from error


def next_generation(path: Path) -> Path:
    """Name the folder of the generation to come: one above all that are there."""
    suffixes = [child.name.removeprefix(_GENERATION) for child in path.glob(f"{_GENERATION}*")]
    last = max((int(suffix) for suffix in suffixes if suffix.isdecimal()), default=0)
    return path / f"{_GENERATION}{last + 1}"


def sweep(path: Path, *, live: str | None) -> None:
    """Delete every generation but the live one, and what a broken run left behind.

    A reader that has opened an older generation goes on: its files stay until it lets them go.
    """
    for child in [*path.glob(f"{_GENERATION}*"), *path.glob(f".{_GENERATION}*")]:
        if child.name != live:
            shutil.rmtree(child, ignore_errors=True)
    for left_over in path.glob(f".{INDEX_NAME}.*.tmp"):
        left_over.unlink()


def measure_files(folder: Path) -> dict[str, int]:
    """Give the size in bytes of each file of a generation."""
    return {file.name: file.stat().st_size for file in sorted(folder.iterdir())}


def check_files(folder: Path, sizes: dict[str, int], *, mend: str) -> None:
    """Refuse a generation that was copied by half: FAISS maps an index that lacks its last bytes.

    Raises:
        FeatureFileError: A file is missing or has another size than it was written with.
    """
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            raise FeatureFileError(f"{path} is missing.", mend=mend)
        if path.stat().st_size != size:
            raise FeatureFileError(f"{path} is broken: {path.stat().st_size} bytes instead of {size}.", mend=mend)
