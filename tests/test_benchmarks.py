import io
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WRITING = runpy.run_path(str(ROOT / "benchmarks" / "write_tables.py"))
DOCUMENT = "Before.\n<!-- one -->\nold\n<!-- end -->\nBetween.\n<!-- two -->\n<!-- end -->\n"


def test_places():
    """Every table that a benchmark prints has its place in docs/benchmarks.md, and every place its benchmark."""
    places = re.findall(r"<!-- (?!end)(.+) -->", (ROOT / "docs" / "benchmarks.md").read_text())
    scripts = "".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    names = re.findall(r"show\(\s*f?\"([^\"]+)\"", scripts)
    patterns = [re.sub(r"\\{.*?\\}", ".+", re.escape(name)) for name in names]
    assert len(places) == len(set(places))
    assert [name for name in places if not any(re.fullmatch(pattern, name) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in places)] == []


def test_twice_the_same():
    """A table that stands in two documents says the same in both."""
    tables = {}
    for path in sorted((ROOT / "docs").glob("*.md")):
        for name, text in re.findall(r"<!-- (?!end)(.+?) -->\n(.*?)<!-- end -->", path.read_text(), re.DOTALL):
            assert tables.setdefault(name, text) == text, f"{path.name}: {name}"
    assert "built-in accuracy" in tables


def test_put():
    """A table takes the place of the one with its name, and all else stays."""
    put = WRITING["put"](DOCUMENT, "one", "<!-- one -->\n| 1\\2 |\n<!-- end -->\n")
    assert put == DOCUMENT.replace("old", "| 1\\2 |")


def test_no_place():
    """A table without a place in the document ends the run and says what to put there."""
    with pytest.raises(SystemExit, match="put <!-- three --> and <!-- end --> where it belongs"):
        WRITING["put"](DOCUMENT, "three", "")


def test_main(tmp_path, monkeypatch, capsys):
    """What comes in is passed on; whole tables alone are written, into every document that has a place for them."""
    path, printed = tmp_path / "b.md", "Hello.\n<!-- two -->\n| 2 |\n<!-- end -->\n<!-- one -->\n| cut"
    path.write_text(DOCUMENT)
    other = tmp_path / "other.md"
    other.write_text("<!-- two -->\n<!-- end -->\n")
    monkeypatch.setattr("sys.argv", ["write_tables.py", str(path)])
    monkeypatch.setattr("sys.stdin", io.StringIO(printed))
    WRITING["main"]()
    assert capsys.readouterr().out == printed
    assert path.read_text() == DOCUMENT.replace("<!-- two -->\n", "<!-- two -->\n| 2 |\n")
    assert other.read_text() == "<!-- two -->\n| 2 |\n<!-- end -->\n"


def test_benchmarks_find_the_rooms():
    """A script among the benchmarks finds the room `index`, and not the benchmark of that name."""
    code = "import report; from frieze import indexing; assert indexing.__doc__.startswith('Embeddings to neighbours')"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "benchmarks")
