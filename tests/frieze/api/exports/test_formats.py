"""What `frieze export` says of formats: of tables, of models, and of what does not fit."""

import pytest

import frieze
from frieze.api.exporting import MODEL_FORMATS
from frieze.api.exports.formats import TABLE_FORMATS
from frieze.core import InputError

AS_CSV = "--format csv --out {new}.csv"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{head} " + AS_CSV, "is a head; expected a table of features"),
        ("{features} --out {new}", "is a table of features; expected a head"),
        ("{head} --out {new} --vectors", "--vectors is for exports of tables, and --format savedmodel is a model"),
        ("{head} --out {new} --predictions {head}", "--predictions is for exports of tables"),
        ("{features} --predictions {features} " + AS_CSV, "is a table of features; expected a head"),
        ("{features} --predictions {nothing} " + AS_CSV, "There is no"),
        ("{features} --format datasets --vectors --out {new}.parquet", "has the vectors in any case"),
        ("{features} --format lance --out {new}", "ends in no suffix; expected .lance"),
        ("{features} --format csv --out {new}.xlsx", "ends in .xlsx; expected .csv"),
        ("{features} --format csv --out s3://bucket/a.csv", "is not on disk"),
    ],
)
def test_what_can_not_be_exported(world, run, tmp_path, line, message):
    """What does not fit a format is refused with its reason, and nothing is written."""
    paths = {kind: world / f"photos.{kind}" for kind in ("features", "head")}
    result = run("export", *line.format(new=tmp_path / "new", nothing=tmp_path / "nothing", **paths).split())
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format(world, tmp_path):
    """From Python, too, the formats are listed where there is no such one."""
    with pytest.raises(InputError, match="no format xlsx") as caught:
        frieze.export(world / "photos.head", out=tmp_path / "m", format="xlsx")
    names = caught.value.hint.removeprefix("Use one of: ").rstrip(".").split(", ")
    assert names == [*MODEL_FORMATS, *TABLE_FORMATS]


def test_predictions_of_another_backbone(odd_table, world, tmp_path):
    """A head on other vectors is refused before anything is written."""
    with pytest.raises(InputError, match="backbone"):
        frieze.export(odd_table, out=tmp_path / "a.csv", format="csv", predictions=world / "photos.head")
    assert list(tmp_path.iterdir()) == []


def test_summary(odd_table, tmp_path, run):
    """The command says how many images are where, and what opens them; notes go to stderr."""
    result = run("export", odd_table, "--format", "csv", "--out", tmp_path / "a.csv")
    first, second = result.stdout.splitlines()
    assert first.startswith(f"44 images in {tmp_path / 'a.csv'} (")
    assert second == f"To open it: python -c \"import pandas; print(pandas.read_csv('{tmp_path / 'a.csv'}'))\""
    assert "formulas" in result.stderr
