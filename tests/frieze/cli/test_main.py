"""The command line as a whole: help, exit codes, streams."""

import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import frieze
from frieze import terminal
from frieze.api import tables as api
from frieze.api.exporting import MODEL_FORMATS
from frieze.api.exports.formats import TABLE_FORMATS
from frieze.classifiers import HEADS
from frieze.cli.main import main
from frieze.embedder import ENGINES, FITS, PIXELS, PRECISIONS
from frieze.embedder.backbones.views import VIEWS
from frieze.features import METRICS
from frieze.indexing import KINDS

GOLDEN = Path(__file__).parents[2] / "data" / "golden-head-1"
COMMANDS = main.list_commands(click.Context(main))
HEAVY = ["tensorflow", "keras", "faiss", "numpy", "sklearn", "pyarrow", "rich", "PIL", "jinja2"]


def function(name: str):
    """Return a command's mirror in Python: `import` is no name there."""
    return getattr(frieze, "import_vectors" if name == "import" else name)


def command(name: str) -> click.Command:
    """Return a command by name."""
    return main.get_command(click.Context(main), name)


def modules_after(code: str) -> set[str]:
    """Return the names of the modules that a fresh Python has loaded after running the code."""
    script = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def choices(name: str, option: str) -> set[str]:
    """Return the words that a command's option takes."""
    return set(next(param for param in command(name).params if param.name == option).type.choices)


def loaded_by_each(lines, names) -> list[list[str]]:
    """Run calls of a command one after the other in a fresh Python; return those of the modules loaded after each."""
    script = (
        "import json, sys; from frieze.cli.main import main\n"
        "lines, names = map(json.loads, sys.argv[1:])\n"
        "for line in lines:\n"
        "    try: main(line, standalone_mode=False)\n"
        "    except SystemExit: pass\n"
        "    print('loaded:', *(name for name in names if name in sys.modules), file=sys.stderr)"
    )
    arguments = (json.dumps([[str(word) for word in line] for line in lines]), json.dumps(names))
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("loaded:")]


def test_help_loads_nothing_heavy():
    """Help is quick because it imports neither TensorFlow nor FAISS nor NumPy."""
    lines = [["--help"], *([name, "--help"] for name in COMMANDS)]
    loaded = loaded_by_each(lines, HEAVY)
    assert {line[0]: names for line, names in zip(lines, loaded, strict=True) if names} == {}


def test_the_parser_waits_for_a_filter(world):
    """A search by id without --where loads neither what reads a filter nor pandas."""
    args = ["search", str(world / "photos.index"), "id:red/0.png", "--json"]
    loaded = modules_after(f"from frieze.cli.main import main; main({args!r}, standalone_mode=False)")
    assert "frieze.indexing.stored_index" in loaded
    assert not loaded & {"sqlglot", "pandas"}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_ends_in_an_example(name, run):
    """Each command's help says what it does and ends in an example that is a call of it."""
    lines = run(name, "--help").stdout.strip().splitlines()
    assert any(f"Example: frieze {name} " in line for line in lines[-2:])
    assert command(name).help


MIRRORED = [name for name in COMMANDS if name != "config"]  # which is of the command line alone


@pytest.mark.parametrize("name", MIRRORED)
def test_commands_mirror_functions(name):
    """Every command is a function of the same name with the same options."""
    options = {param.name for param in command(name).params if param.name not in ("as_json", "verbose", "quiet")}
    assert options == set(inspect.signature(function(name)).parameters)


@pytest.mark.parametrize("name", MIRRORED)
def test_defaults_agree(name):
    """An option left out means the same on the command line and in Python."""
    parameters = inspect.signature(function(name)).parameters
    required = [param for param in command(name).params if param.required]
    args = [word for param in required for word in ([param.opts[0], "x"] if "--" in param.opts[0] else ["x"])]
    read = command(name).make_context(name, args).params
    others = set(parameters) - {param.name for param in required}
    assert {one: read[one] for one in others} == {one: parameters[one].default for one in others}


@pytest.mark.parametrize(
    ("name", "option", "table"),
    [
        ("embed", "fit", set(FITS)),
        ("embed", "pixels", set(PIXELS)),
        ("embed", "views", set(VIEWS)),
        ("embed", "engine", {"auto", *ENGINES}),
        ("embed", "precision", set(PRECISIONS)),
        ("export", "format", {*MODEL_FORMATS, *TABLE_FORMATS}),
        ("index", "metric", set(METRICS)),
        ("index", "kind", {"auto", *KINDS}),
        ("train", "head", set(HEADS) - {"svm-rbf"}),  # asked for by --kernel
    ],
)
def test_choices_are_the_tables(name, option, table):
    """What an option offers is what the room's table has, no more and no less."""
    assert choices(name, option) == table


def test_input_error_is_exit_code_1(run, tmp_path):
    """An InputError goes to stderr with its hint, and the exit code is 1."""
    result = run("info", tmp_path)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Error:" in result.stderr
    assert "frieze embed SOURCE --out FEATURES" in result.stderr


def test_wrong_usage_is_exit_code_2(run):
    """A missing option is wrong usage."""
    assert run("embed", "photos").exit_code == 2
    assert run("no-such-command").exit_code == 2


def test_interrupt_is_exit_code_130(run, monkeypatch):
    """Ctrl-C ends with 130 and says how to go on."""

    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "embed", interrupt)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process goes on
    result = run("embed", "photos", "--out", "x")
    assert result.exit_code == 130
    assert "same command again" in result.stderr


def test_impatient_interrupts_are_exit_code_130():
    """Ctrl-C once more, while the first one is reported, ends with 130 too."""
    script = (
        "import click, signal\n"
        "from frieze.api import tables as api; from frieze.cli import main as cli\n"
        "press = lambda *_, **__: signal.raise_signal(signal.SIGINT)\n"
        "api.embed = click.echo = press\n"
        "cli.main(['embed', 'photos', '--out', 'x'])"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, capture_output=True).returncode == 130


def test_a_bug_keeps_its_traceback(run, monkeypatch):
    """An error that is ours is not dressed up as the user's."""

    def fail(*_args, **_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(api, "info", fail)
    assert isinstance(run("info", "x").exception, ZeroDivisionError)


def test_no_tensorflow_where_no_network_runs(world, tmp_path):
    """A search by id, a linear head, also of a file of labels, and a re-run with nothing to do import no TensorFlow."""
    features, head = world / "photos.features", world / "photos.head"
    table = frieze.open_features(features)
    rows = [f"{name},{label}" for name, label in zip(table.ids, table.labels, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *rows]))
    lines = [
        ("info", features),
        ("search", world / "photos.index", "id:red/0.png", "--json"),
        ("train", features, "--labels", tmp_path / "labels.csv", "--out", tmp_path / "h"),
        ("evaluate", head, features),
        ("predict", head, features, "--out", tmp_path / "p.parquet"),
        ("embed", world / "photos", "--out", features),
    ]
    loaded = loaded_by_each(lines, ["tensorflow", "keras"])
    assert {line[0]: names for line, names in zip(lines, loaded, strict=True) if names} == {}


def test_the_installed_command_runs():
    """The script that pip installs answers."""
    script = Path(sys.executable).with_name("frieze")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("frieze, version ")


def start(*args, **streams):
    """Run our command in a process of its own, with other streams than ours."""
    code = "from frieze.cli.main import main; main()"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run([sys.executable, "-c", code, *args], cwd=Path(__file__).parents[3], check=False, **streams)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("args", "unbuffered"),
    [
        *((args, "") for args in (["backbones"], ["backbones", "--json"], ["--help"], ["info", GOLDEN])),
        (["backbones"], "1"),
    ],
)
def test_a_full_disk_under_stdout_is_reported(args, unbuffered, monkeypatch):
    """A stdout that can't be written ends in one line on stderr and exit code 1, whoever wrote to it."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("wb") as full:
        done = start(*map(str, args), stdout=full)
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, lines[-1]) == (1, "Error: stdout can't be written: No space left on device.")
    assert "Traceback" not in done.stderr.decode()


def test_a_closed_pipe_ends_it_quietly():
    """Where nobody reads stdout any more, nothing is said about it."""
    reading, writing = os.pipe()
    os.close(reading)
    done = start("info", str(GOLDEN), stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep(run, monkeypatch, given, expected):
    """In a command FAISS's threads sleep while they wait, unless OMP_WAIT_POLICY is set."""
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    assert run("--version").exit_code == 0
    assert os.environ["OMP_WAIT_POLICY"] == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [("serch", "Did you mean search or serve?"), ("trian", "Did you mean train?"), ("xyz", "'xyz'.")],
)
def test_an_unknown_command(name, message, run):
    """A command that does not exist is refused with those of a similar name."""
    result = run(name)
    assert result.exit_code == 2
    assert result.stderr.strip().endswith(message)


def test_notes_name_options(run, monkeypatch):
    """What the library logs names the command's options, not Python's parameters."""
    monkeypatch.setattr(frieze.api.heads, "train", lambda *_, **__: terminal.NOTES.warning("by `group='image'`."))
    assert run("train", "t", "--out", "o").stderr.startswith("Note: by --group image.\n")
