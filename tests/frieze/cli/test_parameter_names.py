"""Parameters in messages of the library, in the words of the command line."""

import shlex

import click
import pytest

from frieze.api import tables as api
from frieze.cli.parameter_names import to_flags
from frieze.core import InputError

COMMAND = click.Command(
    "index",
    params=[
        click.Argument(["source"]),
        click.Option(["--out"]),
        click.Option(["-k"]),
        click.Option(["-n", "--min-score"], type=float),
        click.Option(["--force"], is_flag=True),
        click.Option(["--balanced/--no-balanced"], default=None),
        click.Option(["--exclude"], multiple=True),
        click.Option(["--json", "as_json"], is_flag=True),
    ],
)


def typed(text):
    """Return a text as the command line shows it."""
    return to_flags(text, COMMAND)


def test_name():
    """A parameter's name becomes its option, whatever is around it."""
    assert typed("Use another `out`, or leave `out` out.") == "Use another --out, or leave --out out."


def test_spelling():
    """The option's spelling is click's own: the longest, another than the name's, or a short one alone."""
    assert typed("`min_score`, `as_json`, `k`") == "--min-score, --json, -k"


def test_flag_on():
    """A flag that is True is its option alone."""
    assert typed("replace x with `force=True`.") == "replace x with --force."


def test_flag_off():
    """A flag that is False is the option that turns it off."""
    assert typed("`balanced=False` or `balanced=True`") == "--no-balanced or --balanced"


@pytest.mark.parametrize("number", ["1", "0.95", "1e-4", "-0.5"])
def test_number(number):
    """A number stays as it is written."""
    assert typed(f"Use `min_score={number}`.") == f"Use --min-score {number}."


@pytest.mark.parametrize("text", ["cosine", "my photos", "it's", "a`b", "", "256,128", "both '\"", "a\\b", "é"])
def test_text(text):
    """A text loses Python's quotes, and is quoted for the shell where it has to be."""
    option = typed(f"`out={text!r}`")
    assert option == f"--out {shlex.quote(text)}"
    assert shlex.split(option) == ["--out", text]


def test_several():
    """Several parameters in the same backticks become options one after the other."""
    assert typed("Use `out='x y', k=3, force=True`.") == "Use --out 'x y' -k 3 --force."


def test_list():
    """A list repeats an option that may be repeated; an empty one is an empty text."""
    assert typed("`exclude=['*.gif', 'old']`") == "--exclude '*.gif' --exclude old"
    assert typed("`exclude=[]`") == "--exclude ''"


@pytest.mark.parametrize("text", ["`metric`", "`metric='cosine'`", "`out='x', metric='l2'`"])
def test_other_name(text):
    """A name that the command has no parameter for stays, with its backticks and what stands beside it there."""
    assert typed(f"Use {text}.") == f"Use {text}."


def test_argument():
    """The command's arguments stay: they have no option."""
    assert typed("`source`, `source='x'`") == "`source`, `source='x'`"


@pytest.mark.parametrize(
    "code",
    [
        "force=False",
        "force=1",
        "force='x'",
        "out=True",
        "out=None",
        "out=['x']",
        "exclude=[1]",
        "out=x",
        "out=",
    ],
)
def test_no_such_value(code):
    """A value that the option does not take, or that is no literal, stays as it is."""
    assert typed(f"`{code}`") == f"`{code}`"


@pytest.mark.parametrize(
    "text",
    ["out", "Out of `memory `", "`out of`", "``", "`OUT`", "`frieze index --out X`", "`out='x`", "`**out`", "`out()`"],
)
def test_other_text(text):
    """Text that names no parameter stays."""
    assert typed(text) == text


def test_stray_backtick():
    """A backtick in a file's name hides no parameter after it."""
    assert typed("a`b.jpg: use another `out`") == "a`b.jpg: use another --out"


def test_error_of_a_command(run, monkeypatch):
    """Errors of the library are shown with the options of the command that ran, or else of another one."""

    def fail(*_args, **_kwargs):
        raise InputError("`image_size` is 0.", hint="Leave `accept_drift=False`, `shots` and `source` out.")

    monkeypatch.setattr(api, "embed", fail)
    result = run("embed", "photos", "--out", "x")
    assert result.stderr == "Error: --image-size is 0.\nLeave --no-accept-drift, --shots and `source` out.\n"
