"""The tutorials: each line runs as it stands, one after the other."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from frieze.cli.main import main

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"


@pytest.fixture
def home(tour_home, monkeypatch):
    """A folder with what the tutorials start from: the tour's, a copy, a file of labels, a cache; no server starts."""
    (tour_home / "photos" / "copy.png").write_bytes((tour_home / "photos" / "sky" / "0.png").read_bytes())
    names = sorted(path.relative_to(tour_home / "photos") for path in tour_home.glob("photos/*/*.png"))
    rows = [f"{name},{name.parent},site {number % 5}" for number, name in enumerate(names)]
    (tour_home / "labels.csv").write_text("\n".join(["id,label,site", *rows, "missing.png,sky,", ""]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tour_home / "cache"))
    monkeypatch.setattr("uvicorn.Config.configure_logging", lambda _: None)
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)
    monkeypatch.setattr("webbrowser.open", lambda _: None)
    return tour_home


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in TUTORIALS.glob("*.md")))
def test_a_tutorial(name, home):
    """Every `frieze` line and every Python block of a tutorial runs."""
    names = {}
    for kind, code in re.findall(r"```(console|python)\n(.*?)```", (TUTORIALS / f"{name}.md").read_text(), re.DOTALL):
        if kind == "python":
            exec(compile(code, name, "exec"), names)  # noqa: S102  our own page
            continue
        for line in code.splitlines():
            result = CliRunner().invoke(main, shlex.split(line.removeprefix("$ frieze "), comments=True))
            assert result.exit_code == 0, (line, result.output, result.exception)


@pytest.mark.slow
def test_the_site(tmp_path, monkeypatch):
    """The site is built without a warning, with every public function that its reference names."""
    build = pytest.importorskip("mkdocs.commands.build")
    config = pytest.importorskip("mkdocs.config")
    monkeypatch.chdir(TUTORIALS.parents[1])
    build.build(config.load_config("mkdocs.yml", site_dir=str(tmp_path / "site"), strict=True))
    assert "frieze.api.tables.embed" in (tmp_path / "site" / "api" / "index.html").read_text()
