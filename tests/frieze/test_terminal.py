"""The output on the terminal."""

import json
import re
import types

import pytest
from click.testing import CliRunner

from frieze import terminal
from frieze.core import InputError


def test_json_keeps_letters_and_sorts_keys(capsys):
    """JSON goes to stdout with keys sorted and letters as they are."""
    terminal.show_json({"b": 1, "a": "é"})
    assert capsys.readouterr().out == '{\n  "a": "é",\n  "b": 1\n}\n'


def test_json_escapes_names_that_are_no_text(capsys):
    """A name with odd bytes is valid JSON on any stdout."""
    terminal.show_json({"a": "\udcff"})
    assert capsys.readouterr().out == '{\n  "a": "\\udcff"\n}\n'


def test_json_has_no_infinity(capsys):
    """What is no number of JSON's is null, however deep it stands."""
    terminal.show_json({"a": [float("inf"), {"b": float("nan")}], "c": 1.5})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"a": [None, {"b": None}], "c": 1.5}


def test_errors_go_to_stderr_with_their_hint(capsys):
    """An error is one line of what is wrong and one of what to type."""
    terminal.show_error(InputError("No such folder.", hint="ls"))
    assert capsys.readouterr() == ("", "Error: No such folder.\nls\n")


def test_a_file_name_cannot_steer_the_terminal(capsys, monkeypatch):
    """Control characters in a name are shown, not obeyed."""
    terminal.show_table([{"id": "a\x1b[2Jb"}], ["id"])
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    terminal.show_table([{"id": "a\x1b[2Jb"}], ["id"])
    terminal.show_fields({"id": "a\x1b[2Jb", "labels": {"a\x1b[2Jb": 1, "a\nb": 22, "c": 333}})
    terminal.show_error(InputError("a\x1b[2Jb"))
    terminal.show_message("a\x1b[2Jb")
    streams = capsys.readouterr()
    assert "\x1b" not in streams.out + streams.err
    assert (streams.out + streams.err).count("a\\x1b[2Jb") == 6
    assert streams.out.endswith("\n  a\\x1b[2Jb  1\n  a\\nb       22\n  c          333\n")


def test_a_pipe_gets_whole_values(capsys):
    """Where stdout is no terminal, a table is a line of names and a line a row, tabs between, and no value is cut."""
    name = "a very long name with blanks " * 10 + "\u3000é👩\u200d🚀"
    rows = [{"id": name, "n": 1234567, "score": 1 / 3, "no": None}, {"id": "a\tb\nc"}]
    terminal.show_table(rows, ["id", "n", "score", "no"])
    lines = capsys.readouterr().out.split("\n")
    assert lines == ["id\tn\tscore\tno", f"{name}\t1234567\t{1 / 3}\t", "a\\tb\\nc\t\t\t", ""]


def test_what_stands_beside_a_table_goes_to_stderr_in_a_pipe(capsys, monkeypatch):
    """The figures of a command that prints a table are not among its rows; a person sees both."""
    terminal.show_summary(["3 rows."])
    assert capsys.readouterr() == ("", "3 rows.\n")
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    terminal.show_summary(["3 rows."])
    assert capsys.readouterr() == ("3 rows.\n", "")


def test_brackets_in_a_name_are_no_markup(capsys, monkeypatch):
    """A name with rich's own markup is printed as it is."""
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    terminal.show_table([{"id": "[red]x[/red]"}], ["id"])
    assert "[red]x[/red]" in capsys.readouterr().out


def test_facts_are_plain_text(capsys):
    """Numbers, lists, tables and nothing are written so that a person can read them."""
    terminal.show_fields({"a": 0.12345, "bb": [1, 2], "c": {"x": True, "y": None}, "d": 1234.5, "e": {}})
    assert capsys.readouterr().out == "a   0.1235\nbb  1, 2\nc\n  x  yes\nd   1,234.5\n"
    terminal.show_fields({"tried": [{"C": 3, "accuracy": 0.51234}, {"C": 10, "accuracy": 0.5}]})
    assert capsys.readouterr().out == "tried  C 3 accuracy 0.5123, C 10 accuracy 0.5\n"


def test_progress_is_silent_without_a_terminal(capsys):
    """A bar that nobody sees writes nothing."""
    with terminal.progress("Embedding", "images") as step, terminal.spinner("x"):
        step(1, 2)
    assert capsys.readouterr() == ("", "")


def test_progress_without_a_terminal(monkeypatch, caplog):
    """In a pipe or a file a line each ten seconds is logged: how many, of how many, how fast, how long yet."""
    seconds = iter([0.0, 9.0, 10.5, 11.0, 21.0])
    monkeypatch.setattr(terminal, "time", types.SimpleNamespace(monotonic=lambda: next(seconds, 21.0)))
    with caplog.at_level("INFO", "frieze"), terminal.progress("Embedding", "images") as step:
        for done, total in [(5, 0), (1000, 300_000), (2000, 300_000), (12_345, 300_000)]:
            step(done, total)
    first, second = caplog.messages
    assert first.startswith("Embedding: 1,000 of 300,000 images")
    assert re.fullmatch(r"Embedding: 12,345 of 300,000 images, \d+ images/s, (\d+ days?, )?\d+:\d\d:\d\d left", second)


@pytest.mark.parametrize(("steps", "message"), [(1, "Done with 1,200 of 30,000 images.\n"), (0, "")])
def test_progress_prints_how_far_it_got(steps, message, capsys):
    """Ctrl-C prints how far the work got on stderr, also without a bar; before the first image it prints nothing."""

    def stop():
        with terminal.progress("Embedding", "images") as step:
            for _ in range(steps):
                step(1200, 30_000)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize(("answer", "is_yes"), [("y", True), ("n", False), ("", False)])
def test_a_question(answer, is_yes):
    """A question goes to stderr with control characters escaped; only yes is yes."""
    with CliRunner().isolation(input=f"{answer}\n") as (_, stderr, _):
        assert terminal.ask("Move to a\x1b[2J?") is is_yes
        assert stderr.getvalue().startswith(b"Move to a\\x1b[2J? [y/N]: ")
