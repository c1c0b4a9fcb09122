import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.classifiers import check_predictions
from frieze.classifiers.label_audit.findings import SCHEMA, check_findings
from frieze.classifiers.storage.head_folder import check_head
from frieze.core import FeatureFileError

CHECKS = pytest.mark.parametrize("check", [check_head, check_predictions, check_findings])
FORCE = pytest.mark.parametrize("force", [False, True])
COLUMNS = ["id", "prediction", "probability"]


def write_columns(path, names):
    """Write a Parquet file of these columns and no rows."""
    pq.write_table(pa.table({name: [] for name in names}), path)
    return path


@CHECKS
@FORCE
def test_a_free_path_is_accepted_and_stays_free(check, force, tmp_path):
    """Checking leaves nothing behind, also where the folders above are still to be made."""
    check(tmp_path / "new" / "below" / "out.csv", force=force)
    assert list(tmp_path.iterdir()) == []


@CHECKS
@FORCE
@pytest.mark.parametrize(
    ("name", "reason"),
    [("file/out", "Not a directory"), ("file/new/out", "Not a directory"), ("x" * 256, "File name too long")],
)
def test_an_impossible_path_is_refused(check, force, tmp_path, name, reason):
    """A file where a folder should be, or too long a name, is refused before the work."""
    (tmp_path / "file").touch()
    with pytest.raises(FeatureFileError, match=f"can't be written: {reason}"):
        check(tmp_path / name, force=force)


@CHECKS
def test_existing_files_stay_without_force(check, tmp_path):
    """Without force nothing is replaced."""
    with pytest.raises(FeatureFileError, match="already exists") as caught:
        check(write_columns(tmp_path / "p.parquet", COLUMNS), force=False)
    assert "`force=True`" in caught.value.hint


@pytest.mark.parametrize("names", [COLUMNS, [*COLUMNS, "score_ant", "score_bee"]])
def test_force_replaces_predictions(tmp_path, names):
    """With force a file that has the columns of predictions may go."""
    check_predictions(write_columns(tmp_path / "p.parquet", names), force=True)


@pytest.mark.parametrize("names", [[], COLUMNS[:2], ["id", "embedding"], [*COLUMNS, "note"]])
def test_force_replaces_no_other_table(tmp_path, names):
    """With force a Parquet file of other columns stays."""
    with pytest.raises(FeatureFileError, match="already exists and holds no predictions") as caught:
        check_predictions(write_columns(tmp_path / "p.parquet", names), force=True)
    assert "`force=True` replaces predictions only" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"PAR1"])
def test_force_replaces_no_other_file(tmp_path, content):
    """With force a file that is no Parquet stays."""
    (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(FeatureFileError, match="holds no predictions"):
        check_predictions(tmp_path / "photo.png", force=True)


def test_predictions_replace_no_folder(tmp_path):
    """With force a folder stays, also one of Parquet files."""
    write_columns(tmp_path / "p.parquet", COLUMNS)
    with pytest.raises(FeatureFileError, match="holds no predictions"):
        check_predictions(tmp_path, force=True)


def test_force_replaces_findings_only(tmp_path):
    """With force a file that has the columns of findings may go, and one that has others stays."""
    check_findings(write_columns(tmp_path / "f.parquet", SCHEMA.names), force=True)
    for names in (COLUMNS, SCHEMA.names[:-2], [*SCHEMA.names, "note"]):
        with pytest.raises(FeatureFileError, match="holds no findings"):
            check_findings(write_columns(tmp_path / "p.parquet", names), force=True)


def test_predictions_may_stand_below_a_colon(tmp_path, monkeypatch):
    """A relative path that looks like a URL to pyarrow is a path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").mkdir()
    write_columns(tmp_path / "a:b" / "p.parquet", COLUMNS)
    check_predictions(type(tmp_path)("a:b/p.parquet"), force=True)


@pytest.mark.parametrize("name", ["notes.txt", "features.json", "head.json"])
def test_force_replaces_heads_only(tmp_path, name):
    """With force a folder that holds no head stays."""
    (tmp_path / name).write_text('{"kind": "features"}', encoding="utf-8")
    with pytest.raises(FeatureFileError, match="is not a head"):
        check_head(tmp_path, force=True)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "report.html/mine.txt"])
def test_force_never_takes_a_foreign_file_along(copied, name):
    """A folder that holds more than a head stays; the message names what to move away."""
    head = copied("linear")
    (head / name).parent.mkdir(exist_ok=True)
    (head / name).touch()
    first = name.split("/")[0]
    with pytest.raises(FeatureFileError, match=f"copied is not replaced: .*/{first} is no part of a head") as caught:
        check_head(head, force=True)
    assert caught.value.hint == "Move it elsewhere, or use another `out`."


@pytest.mark.parametrize("name", ["report.html", "head.keras"])
def test_force_replaces_every_file_of_a_head(copied, name):
    """Files that a head of any kind may have are no foreign ones."""
    head = copied("linear")
    (head / name).touch()
    check_head(head, force=True)


@pytest.mark.parametrize("check", [check_predictions, check_findings])
@pytest.mark.parametrize("name", ["p", "p.xlsx", "p.csv.gz"])
def test_another_suffix_is_refused(check, name, tmp_path):
    """The suffix says how a table is written; one that is not known is refused before the work, with those that are."""
    with pytest.raises(FeatureFileError, match="the suffix says how a table is written") as caught:
        check(tmp_path / name, force=False)
    assert caught.value.hint == "Give a name that ends in .parquet, .csv or .jsonl."
