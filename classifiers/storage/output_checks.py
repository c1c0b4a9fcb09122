"""Check output paths of heads and predictions before the work: what may be overwritten."""

from pathlib import Path

from frieze.classifiers.registry import HEADS
from frieze.classifiers.storage.head_folder import BACKBONE_NAME, REPORT_NAME
from frieze.classifiers.storage.head_json import NAME
from frieze.classifiers.storage.split_file import SPLIT_NAME
from frieze.core import FeatureFileError, check_table_file, check_writable, read_json

PREDICTION_COLUMNS = ("id", "prediction", "probability")

ABSTAINED = "abstained"
"""Column: whether the head abstains from this prediction."""

SCORE = "score_"
"""Prefix of the columns of scores."""


_FILES = {NAME, SPLIT_NAME, REPORT_NAME, "report.html", *(kind.file_name for kind in HEADS.values())}

_FOLDERS = {BACKBONE_NAME}
"""Files and folders of a head; frieze.api writes the HTML report."""


def check_head(out: Path, *, force: bool) -> None:
    """Check that a head can be written to a folder.

    Args:
        out: The folder to write.
        force: Whether an existing head is replaced; a folder with anything else in it never is.

    Raises:
        FeatureFileError: It can't be written, or holds something else.
    """
    check_writable(out, force=force)
    if not out.exists():
        return
    if not _is_head(out):
        raise FeatureFileError(
            f"{out} already exists and is no head.", hint="Use another --out: --force replaces heads only."
        )
    foreign = min(
        (path for path in out.iterdir() if path.name not in (_FOLDERS if path.is_dir() else _FILES)), default=None
    )
    if foreign is not None:
        raise FeatureFileError(
            f"{out} is not replaced: {foreign} is no part of a head.", hint="Move it elsewhere, or use another --out."
        )


def check_predictions(out: Path, *, force: bool) -> None:
    """Check that predictions can be written to a file.

    Args:
        out: The file to write; its suffix selects Parquet, CSV or JSON lines.
        force: Whether existing predictions are overwritten; any other file or folder never is.

    Raises:
        FeatureFileError: It can't be written, would overwrite something else, or has another suffix.
    """
    check_table_file(out, _are_predictions, "predictions", force=force)


def _is_head(path: Path) -> bool:
    try:
        return read_json(path / NAME, hint="").get("kind") == "head"
    except FeatureFileError:
        return False


def _are_predictions(names: list[str]) -> bool:
    n_columns = len(PREDICTION_COLUMNS)
    others = [name for name in names[n_columns:] if name != ABSTAINED]
    return tuple(names[:n_columns]) == PREDICTION_COLUMNS and all(name.startswith(SCORE) for name in others)
