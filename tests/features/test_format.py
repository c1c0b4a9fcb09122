"""docs/format.md says what is so."""

import ast
import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from frieze.features import open_features

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden-features-1"
HASHED = ROOT / "tests" / "data" / "golden-features-1-phash"
TEXT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(sql|python)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def _section(title):
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def _table(title):
    """Return the cells of a section's table, without its head."""
    lines = [line for line in _section(title).splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines]


def _columns(path):
    return [[field.name, str(field.type), "unknown" if field.nullable else "never"] for field in pq.read_schema(path)]


def _fields(document, prefix=""):
    """Name every field of a document with dots; `request` and `versions` hold names of their own."""
    if isinstance(document, list) and document and isinstance(document[0], dict):
        document = document[0]
    if not isinstance(document, dict) or prefix in ("request.", "versions."):
        return {prefix[:-1]}
    return set().union(*(_fields(value, f"{prefix}{name}.") for name, value in document.items()))


def test_named_tests_exist():
    """Each test that the page names is there."""
    names = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", TEXT)
    assert len(names) > 30
    for path, name in names:
        functions = {
            node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)
        }
        assert name in functions, f"{path} has no {name}"


def test_each_bullet_names_a_test():
    """No line of the contract stands without a test."""
    bullets = re.findall(r"^- \*\*.*?(?=^- |^#|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert len(bullets) >= 12
    assert [bullet for bullet in bullets if "::test_" not in bullet] == []


def test_columns_of_a_part():
    """The page's columns of a part are the stored ones: name, type, nullability, order."""
    expected = [[name, kind.replace("[D]", "[4]"), null] for name, kind, null, _ in _table("A part")]
    assert _columns(GOLDEN / "parts" / "part-000000.parquet") == expected


def test_columns_of_perceptual_hashes():
    """The page's columns and field of perceptual hashes are the stored ones, after our other columns."""
    *columns, (field, _) = _table("A part, where perceptual hashes are stored")
    hashed, plain = (_columns(folder / "parts" / "part-000000.parquet") for folder in (HASHED, GOLDEN))
    assert hashed == [*plain, *(row[:3] for row in columns)]
    documents = [json.loads((folder / "features.json").read_text()) for folder in (HASHED, GOLDEN)]
    assert _fields(documents[0]) - _fields(documents[1]) == {field}


def test_columns_of_failures():
    """The page's columns of failures.parquet are the stored ones."""
    assert _columns(GOLDEN / "failures.parquet") == [row[:3] for row in _table("failures.parquet")]


def test_fields_of_features_json():
    """features.json has exactly the fields that the page explains."""
    document = json.loads((GOLDEN / "features.json").read_text())
    fields = [row[0] for row in _table("features.json")]
    assert (_fields(document), len(fields)) == (set(fields), len(set(fields)))


@pytest.mark.parametrize(("language", "code"), EXAMPLES)
def test_examples_run(language, code, tmp_path, monkeypatch):
    """Each example of the page runs, and finds the stored vectors."""
    shutil.copytree(GOLDEN, tmp_path / "photos.features")
    monkeypatch.chdir(tmp_path)
    if language == "sql":
        duckdb = pytest.importorskip("duckdb")
        assert len(duckdb.sql(code).fetchall()) in (1, 3)  # one failure, three pairs
    else:
        actual = {}
        exec(code, actual)  # noqa: S102 - the page's own code
        assert actual["embeddings"].tobytes() == open_features("photos.features").embeddings().tobytes()


def test_every_language_has_an_example():
    """The page shows DuckDB twice, pandas, Polars and Frieze."""
    assert [language for language, _ in EXAMPLES] == ["sql", "sql", "python", "python", "python"]
