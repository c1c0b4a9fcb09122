"""Check output paths of heads and predictions before the work: what may be overwritten."""

from pathlib import Path

from frieze.classifiers.registry import HEADS
from frieze.classifiers.storage.head_folder import BACKBONE_NAME, REPORT_NAME, WEIGHTS_NAME
from frieze.classifiers.storage.head_json import NAME
from frieze.classifiers.storage.split_file import SPLIT_NAME
from frieze.core import check_holds_only, check_table_file, check_writable

PREDICTION_COLUMNS = ("id", "prediction", "probability")

ABSTAINED = "abstained"
"""Column: whether the head abstains from this prediction."""

SCORE = "score_"
"""Prefix of the columns of scores."""


_FILES = {NAME, SPLIT_NAME, REPORT_NAME, WEIGHTS_NAME, "report.html", *(kind.file_name for kind in HEADS.values())}

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
    check_holds_only(out, "head", "a head", is_part=lambda path: _is_part(out, path))


def _is_part(out: Path, path: Path) -> bool:
    is_in_folder = path.parts[0] in _FOLDERS and (out / path.parts[0]).is_dir()
    return is_in_folder or (path.name in _FILES and len(path.parts) == 1 and not (out / path).is_dir())


def check_predictions(out: Path, *, force: bool) -> None:
    """Check that predictions can be written to a file.

    Args:
        out: The file to write; its suffix selects Parquet, CSV or JSON lines.
        force: Whether existing predictions are overwritten; any other file or folder never is.

    Raises:
        FeatureFileError: It can't be written, would overwrite something else, or has another suffix.
    """
    check_table_file(out, _are_predictions, "predictions", force=force)


def _are_predictions(names: list[str]) -> bool:
    n_columns = len(PREDICTION_COLUMNS)
    others = [name for name in names[n_columns:] if name != ABSTAINED]
    return tuple(names[:n_columns]) == PREDICTION_COLUMNS and all(name.startswith(SCORE) for name in others)
