import importlib
import io
import re

import pytest

from benchmarks import ROOT, update_docs

MODULES = [
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in sorted((ROOT / "benchmarks").rglob("*.py"))
    if path.name != "__init__.py"
]
DOCUMENT = "Before.\n<!-- one -->\nold\n<!-- end -->\nBetween.\n<!-- two -->\n<!-- end -->\n"


def test_marks():
    """Every table that a benchmark prints has its marks in docs/benchmarks.md, and all marks have a benchmark."""
    marks = re.findall(r"<!-- (?!end)(.+) -->", (ROOT / "docs" / "benchmarks.md").read_text())
    scripts = "".join(path.read_text() for path in (ROOT / "benchmarks").rglob("*.py"))
    names = re.findall(r"show\(\s*f?\"([^\"]+)\"", scripts)
    patterns = [re.sub(r"\\{.*?\\}", ".+", re.escape(name)) for name in names]
    assert len(marks) == len(set(marks))
    assert [name for name in marks if not any(re.fullmatch(pattern, name) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in marks)] == []


def test_tables_in_two_documents():
    """A table that stands in two documents is the same in both."""
    tables = {}
    for path in sorted((ROOT / "docs").glob("*.md")):
        for name, text in re.findall(r"<!-- (?!end)(.+?) -->\n(.*?)<!-- end -->", path.read_text(), re.DOTALL):
            assert tables.setdefault(name, text) == text, f"{path.name}: {name}"
    assert "built-in accuracy" in tables


def test_replace_table():
    """A table replaces the one with its name, and nothing else changes."""
    document = update_docs.replace_table(DOCUMENT, "one", "<!-- one -->\n| 1\\2 |\n<!-- end -->\n")
    assert document == DOCUMENT.replace("old", "| 1\\2 |")


def test_missing_marks():
    """A table without marks in the document ends the run, with the marks to add."""
    with pytest.raises(SystemExit, match="add <!-- three --> and <!-- end --> where it belongs"):
        update_docs.replace_table(DOCUMENT, "three", "")


def test_main(tmp_path, monkeypatch, capsys):
    """Input is passed on; only complete tables are written, into every document that has their marks."""
    path, printed = tmp_path / "b.md", "Hello.\n<!-- two -->\n| 2 |\n<!-- end -->\n<!-- one -->\n| cut"
    path.write_text(DOCUMENT)
    other = tmp_path / "other.md"
    other.write_text("<!-- two -->\n<!-- end -->\n")
    monkeypatch.setattr("sys.argv", ["update_docs.py", str(path)])
    monkeypatch.setattr("sys.stdin", io.StringIO(printed))
    update_docs.main()
    assert capsys.readouterr().out == printed
    assert path.read_text() == DOCUMENT.replace("<!-- two -->\n", "<!-- two -->\n| 2 |\n")
    assert other.read_text() == "<!-- two -->\n| 2 |\n<!-- end -->\n"


@pytest.mark.parametrize("module", MODULES)
def test_imports(module):
    """Every benchmark can be imported, and its usage names the module that it is run as."""
    text = importlib.import_module(module).__doc__
    usages = re.findall(r"python -m (benchmarks[.\w]+)", text)
    assert set(usages) <= set(MODULES)
    assert module in usages or "Usage" not in text


def test_commands():
    """Every benchmark that the Makefile or a document names is there."""
    makefile, *documents = (path.read_text() for path in (ROOT / "Makefile", *(ROOT / "docs").glob("*.md")))
    by_default = re.search(r"BENCHMARKS \?= ((?:.*\\\n)*.*)", makefile)[1].replace("\\\n", "").split()
    commands = set(re.findall(r"-m (benchmarks\.[.\w]+\w)", "".join(documents)))
    assert "benchmarks.search.run" in commands
    assert sorted({*commands, *(f"benchmarks.{name}" for name in by_default)} - set(MODULES)) == []
