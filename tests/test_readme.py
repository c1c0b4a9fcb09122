"""The commands in the README and the guides."""

import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits

from frieze.cli.main import main

ROOT = Path(__file__).parents[1]
TUTORIALS = tuple(f"docs/tutorials/{name}.md" for name in ("photographer", "biologist", "engineer"))
PAGES = ("README.md", "docs/howto.md", "docs/page.md", "docs/scale.md", "CONTRIBUTING.md", *TUTORIALS)


def console_lines(page: str) -> list[str]:
    """Return the commands of a page's console blocks, without their comments."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def arguments(line: str) -> list[str]:
    """Return a `frieze` line's words after `frieze`."""
    return shlex.split(line, comments=True)[1:]


FRIEZE_LINES = [line for page in PAGES for line in console_lines(page) if line.startswith("frieze")]


@pytest.mark.parametrize("line", FRIEZE_LINES)
def test_each_line_parses(line):
    """Every `frieze` line of the pages is a right use of the command."""
    name, *args = arguments(line)
    command = main.get_command(click.Context(main), name)
    assert command.make_context(name, args).params


def test_each_make_target_is_there():
    """Every `make` line of the pages names a target of the Makefile."""
    named = {line.split()[1] for page in PAGES for line in console_lines(page) if line.startswith("make")}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """Every link and picture of the pages is a file of the project."""
    links = re.findall(r"(?<!\")\]\((?!http)([^)#]+)", (ROOT / page).read_text())
    links += re.findall(r'<img src="(.*?)"', (ROOT / page).read_text())
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


@pytest.mark.slow
def test_the_tour_of_five_commands_runs(tour_home):
    """The five commands run as they stand, one after the other."""
    lines = [line for line in console_lines("README.md") if line.startswith("frieze")]
    assert len(lines) == 5
    for line in lines:
        result = CliRunner().invoke(main, arguments(line))
        assert result.exit_code == 0, (line, result.output, result.exception)
    assert (tour_home / "found.html").exists()
    assert (tour_home / "predictions.parquet").exists()


def test_the_python_of_the_readme_runs(tour_home):
    """The README's Python runs as it stands."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102  our own page
    assert names["ids"].shape == names["scores"].shape == (3, 5)
    assert (tour_home / "photos.index").is_dir()


def test_the_keras_model_of_the_guide_runs(tour_home, tf):
    """The guide's model with a HubLayer trains, saves and loads as it stands."""
    module = tf.Module()
    module.weight = tf.Variable(np.eye(3, dtype=np.float32), name="weight")
    module.__call__ = tf.function(
        lambda images: tf.reduce_mean(images, (1, 2)) @ module.weight, [tf.TensorSpec([None, 8, 8, 3])]
    )
    tf.saved_model.save(module, "path/to/saved_model")
    (code,) = re.findall(r"```python\n(import keras\n.*?)```", (ROOT / "docs/howto.md").read_text(), re.DOTALL)
    names = {"images": np.random.default_rng(0).random((6, 8, 8, 3), np.float32), "labels": np.arange(6) % 5}
    exec(compile(code, "howto.md", "exec"), names)  # noqa: S102  our own page
    assert names["model"].predict(names["images"]).shape == (6, 5)
    assert not np.array_equal(names["model"].layers[0].get_weights()[0], np.eye(3))


def test_generated_docs_are_fresh():
    """docs/commands.md is what the help texts say today, and the check can tell."""
    script = [sys.executable, ROOT / "docs" / "make_commands.py", "--check"]
    assert subprocess.run(script, check=False).returncode == 0
    assert all(f"## frieze {name}\n" in (ROOT / "docs/commands.md").read_text() for name in main.list_commands(None))


@pytest.fixture
def run_demo(tmp_path, monkeypatch, capsys):
    """`run_demo()`: what `make demo`'s script prints, with 300 of its digits."""
    digits = load_digits()
    few = SimpleNamespace(images=digits.images[:300], target=digits.target[:300])
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: few)
    monkeypatch.setattr("sys.argv", ["demo.py"])
    monkeypatch.chdir(tmp_path)

    def run():
        runpy.run_path(str(ROOT / "examples" / "demo.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.slow
def test_the_demo_runs(run_demo, tmp_path):
    """`make demo`'s script makes everything and says where, twice in a row, and the second time embeds nothing."""
    assert "300 embedded, 0 unchanged, 0 failed" in run_demo()
    assert "0 embedded, 300 unchanged, 0 failed" in run_demo()
    page = (tmp_path / "demo-out" / "report.html").read_text()
    assert page.count('<figure class="query">') == 6
    assert "Confusion: rows are true, columns predicted" in page


def test_links_can_be_made_absolute():
    """The lines that CONTRIBUTING.md has for a public address leave no relative link in the README."""
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    text = (ROOT / "README.md").read_text()
    for one in tomllib.loads(block)["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text, n_links = re.subn(one["pattern"], one["replacement"], text)
        assert n_links > 0
    assert not [link for link in re.findall(r"\]\(([^)]*)\)", text) if not link.startswith(("http", "#", "ADDRESS"))]
