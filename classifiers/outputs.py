"""Where heads, predictions and findings may be written: checked before the work, so that nobody waits for a refusal."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from classifiers.findings import SCHEMA
from classifiers.heads import HEADS
from classifiers.storage import NAME, REPORT_NAME, SPLIT_NAME, TRUNK_NAME
from features import FeatureFileError, check_free, clear_errors, read_json

PREDICTION_COLUMNS = ("id", "prediction", "probability")
ABSTAINED = "abstained"
"""Whether a prediction is not to be believed, for heads that abstain."""
SCORE = "score_"
"""What the columns of scores begin with."""

_FILES = {NAME, SPLIT_NAME, REPORT_NAME, "report.html", *(kind.file_name for kind in HEADS.values())}
_FOLDERS = {TRUNK_NAME}
"""All that a head's folder may hold; the page is written by the room above."""


def check_head(out: Path, *, force: bool) -> None:
    """Refuse a place where no head can be written, or where something stands that must not go.

    Args:
        out: The folder to write.
        force: Whether a head that stands there may go; a folder with anything else in it may not.

    Raises:
        FeatureFileError: It is such a place.
    """
    _check_place(out, force=force)
    if not out.exists():
        return
    if not _is_head(out):
        raise FeatureFileError(
            f"{out} is there already and holds no head.", mend="Give another --out: --force replaces heads only."
        )
    foreign = min(
        (path for path in out.iterdir() if path.name not in (_FOLDERS if path.is_dir() else _FILES)), default=None
    )
    if foreign is not None:
        raise FeatureFileError(
            f"{out} is not replaced: {foreign} is no part of a head.", mend="Move it elsewhere, or give another --out."
        )


def check_predictions(out: Path, *, force: bool) -> None:
    """Refuse a place where no predictions can be written, or where something stands that must not go.

    Args:
        out: The Parquet file to write.
        force: Whether predictions that stand there may go; any other file, or a folder, may not.

    Raises:
        FeatureFileError: It is such a place.
    """
    _check_table(out, _are_predictions, "predictions", force=force)


def check_findings(out: Path, *, force: bool) -> None:
    """Refuse a place where no findings of an audit can be written, or where something stands that must not go.

    Args:
        out: The Parquet file to write.
        force: Whether findings that stand there may go; any other file, or a folder, may not.

    Raises:
        FeatureFileError: It is such a place.
    """
    _check_table(out, lambda names: names == SCHEMA.names, "findings", force=force)


def _check_table(out: Path, is_ours: Callable[[list[str]], bool], what: str, *, force: bool) -> None:
    """Refuse a place for a Parquet file; one that stands there is known by the names of its columns."""
    out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
    _check_place(out, force=force)
    if out.exists() and not is_ours(_columns(out)):
        raise FeatureFileError(
            f"{out} is there already and holds no {what}.",
            mend=f"Give another --out: --force replaces {what} only.",
        )


def _check_place(out: Path, *, force: bool) -> None:
    check_free(out, replace=force)
    with clear_errors(out):
        nearest = next(folder for folder in out.absolute().parents if folder.exists())
        # Under such a name the result is written at first: it must be allowed, and not too long.
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".tmp", dir=nearest).cleanup()


def _is_head(path: Path) -> bool:
    try:
        return read_json(path / NAME, mend="").get("kind") == "head"
    except FeatureFileError:
        return False


def _columns(path: Path) -> list[str]:
    """Name the columns of a Parquet file; none where it is something else."""
    try:
        names: list[str] = pq.read_schema(path).names if path.is_file() else []
    except (pa.ArrowException, OSError):
        return []
    return names


def _are_predictions(names: list[str]) -> bool:
    ours = len(PREDICTION_COLUMNS)
    others = [name for name in names[ours:] if name != ABSTAINED]
    return tuple(names[:ours]) == PREDICTION_COLUMNS and all(name.startswith(SCORE) for name in others)
