"""Defaults from variables and files."""

import json

import click
import pytest

from frieze.api import tables
from frieze.api.remembered_options import FINETUNE_DEFAULTS, INDEX_DEFAULTS, TRAIN_DEFAULTS
from frieze.cli.main import main
from frieze.cli.settings import _stored_options
from frieze.embedder.job import stored_request


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that writes a file of the current folder, which is one below that of the first file."""
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    return lambda text, name="frieze.toml": (tmp_path / name).write_text(text)


@pytest.fixture
def given(monkeypatch):
    """What `frieze embed` calls its function with."""
    parameters = {}
    monkeypatch.setattr(tables, "embed", lambda _, **given: parameters.update(given) or [])
    return parameters


def test_precedence(project, run, given, monkeypatch):
    """An option comes before a variable, that before the file, and that before the default."""
    project('[embed]\nworkers = 3\nshard-size = 5\nlimit = 7\nexclude = "*.gif"')
    monkeypatch.setenv("FRIEZE_EMBED_WORKERS", "4")
    monkeypatch.setenv("FRIEZE_EMBED_SHARD_SIZE", "6")
    assert run("embed", "photos", "--out", "t", "--workers", "2").exit_code == 0
    values = {name: given[name] for name in ("workers", "shard_size", "limit", "exclude", "device")}
    assert values == {"workers": 2, "shard_size": 6, "limit": 7, "exclude": ("*.gif",), "device": "auto"}


def test_pyproject(project, run, given):
    """`[tool.frieze]` of pyproject.toml is read where no frieze.toml is nearer; one without it is passed over."""
    project("[tool.frieze.embed]\nlimit = 7", "pyproject.toml")
    project("[tool.other]", "below/pyproject.toml")
    run("embed", "photos", "--out", "t")
    assert given["limit"] == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[embd]", "embd is no table of a command; the nearest is embed."),
        ("[embed]\nbackbon = 'x'", "[embed] backbon is no option of the command; the nearest is backbone."),
        ("[embed]\nforce = true", "[embed] force can't be set: it is given anew with each command."),
        ("[embed]\nlimit = 'x'", "[embed] limit: 'x' is not a valid integer range."),
        ("[embed]\nlimit = true", "[embed] limit: True is no value of --limit."),
        ("[embed", "frieze.toml can't be read"),
    ],
)
def test_what_is_wrong_in_a_file(project, run, given, text, message):
    """A wrong name or value of a file is refused by name, with the nearest, and nothing runs."""
    project(text)
    result = run("embed", "photos", "--out", "t")
    assert (result.exit_code, given) == (1, {})
    assert message in result.stderr


def test_an_unknown_variable(project, run, given, monkeypatch):
    """A variable of a command's that names no option is refused with the nearest; others of ours keep their meaning."""
    monkeypatch.setenv("FRIEZE_DATA", "folder")
    assert run("embed", "photos", "--out", "t").exit_code == 0
    monkeypatch.setenv("FRIEZE_EMBED_LIMITS", "3")
    result = run("embed", "photos", "--out", "t")
    assert "FRIEZE_EMBED_LIMITS is no option of the command; the nearest is limit." in result.stderr


def test_a_table_keeps_its_options(project, run, world):
    """Of a table that exists a file changes nothing, which one line says; of a new one it is the default."""
    project('[embed]\nfit = "crop"')
    rerun = run("embed", world / "photos", "--out", world / "photos.features")
    assert (rerun.exit_code, rerun.stderr.count("does not change what exists")) == (3, 1)
    assert "30 unchanged" in rerun.stdout
    run("embed", world / "photos", "--out", "new.features")
    assert json.loads(run("info", "new.features", "--json").stdout)["backbone"]["fit"] == "crop"
    assert "does not change" not in run("embed", world / "photos", "--out", "new.features").stderr


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("embed", stored_request._NAMES),
        ("index", INDEX_DEFAULTS),
        ("train", TRAIN_DEFAULTS),
        ("finetune", FINETUNE_DEFAULTS),
    ],
)
def test_the_options_that_outputs_store(name, stored):
    """The options that no setting changes are those that the output stores."""
    assert set(stored) <= _stored_options(main.get_command(click.Context(main), name), name) | {"seed", "cache"}


def test_config(project, run, monkeypatch):
    """`config` lists what is set and where; with a command its defaults, too."""
    project("[search]\nk = 3")
    monkeypatch.setenv("FRIEZE_EMBED_LIMIT", "5")
    rows = json.loads(run("config", "--json").stdout)
    assert [(row["command"], row["option"], row["value"]) for row in rows] == [
        ("embed", "--limit", "5"),
        ("search", "-k", 3),
    ]
    assert (rows[0]["from"], rows[1]["from"].endswith("frieze.toml")) == ("FRIEZE_EMBED_LIMIT", True)
    of_index = {row["option"]: row for row in json.loads(run("config", "serve", "--json").stdout)}
    assert (of_index["--port"]["value"], of_index["--port"]["from"]) == (8501, "default")
