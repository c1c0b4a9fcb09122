"""Where heads, predictions and findings may be written: checked before the work, so that nobody waits for a refusal."""

from pathlib import Path

from frieze.classifiers.registry import HEADS
from frieze.classifiers.storage.head_folder import REPORT_NAME, TRUNK_NAME
from frieze.classifiers.storage.head_json import NAME
from frieze.classifiers.storage.split_file import SPLIT_NAME
from frieze.core import FeatureFileError, check_table_file, check_writable, read_json

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
    check_writable(out, force=force)
    if not out.exists():
        return
    if not _is_head(out):
        raise FeatureFileError(
            f"{out} is there already and holds no head.", hint="Give another --out: --force replaces heads only."
        )
    foreign = min(
        (path for path in out.iterdir() if path.name not in (_FOLDERS if path.is_dir() else _FILES)), default=None
    )
    if foreign is not None:
        raise FeatureFileError(
            f"{out} is not replaced: {foreign} is no part of a head.", hint="Move it elsewhere, or give another --out."
        )


def check_predictions(out: Path, *, force: bool) -> None:
    """Refuse a place where no predictions can be written, or where something stands that must not go.

    Args:
        out: The file to write; its suffix says whether it is Parquet, CSV or JSON lines.
        force: Whether predictions that stand there may go; any other file, or a folder, may not.

    Raises:
        FeatureFileError: It is such a place, or has another suffix.
    """
    check_table_file(out, _are_predictions, "predictions", force=force)


def _is_head(path: Path) -> bool:
    try:
        return read_json(path / NAME, hint="").get("kind") == "head"
    except FeatureFileError:
        return False


def _are_predictions(names: list[str]) -> bool:
    ours = len(PREDICTION_COLUMNS)
    others = [name for name in names[ours:] if name != ABSTAINED]
    return tuple(names[:ours]) == PREDICTION_COLUMNS and all(name.startswith(SCORE) for name in others)
