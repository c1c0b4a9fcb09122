"""The only writer to the terminal: results on stdout; messages, warnings and progress bars on stderr."""

import contextlib
import contextvars
import datetime as dt
import json
import logging
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from frieze.core import InputError, to_command_line, to_finite

if TYPE_CHECKING:
    from rich.progress import Task

_LOG = logging.getLogger("frieze")
NOTES = logging.getLogger("frieze.notes")
"""Of what the user may want to know, though nothing failed; the command line prints it as a note."""
ProgressStep = Callable[[int, int], None]
_quiet = contextvars.ContextVar("quiet", default=False)


def set_quiet(*, is_quiet: bool) -> None:
    """Set whether only errors and the result that was asked for are printed, in this context."""
    _quiet.set(is_quiet)


def is_quiet() -> bool:
    """Return whether only errors and the result that was asked for are printed."""
    return _quiet.get()


def show_json(document: Any) -> None:
    """Print one JSON document on stdout, keys sorted.

    It is valid JSON whatever encoding stdout has: infinity and NaN become null.
    """
    is_utf8 = getattr(sys.stdout, "encoding", "utf-8").lower().replace("-", "") == "utf8"
    text = json.dumps(to_finite(document), indent=2, sort_keys=True, ensure_ascii=not is_utf8, allow_nan=False)
    _write(f"{text}\n")


def show_fields(fields: Mapping[str, Any]) -> None:
    """Print names and values on stdout, one pair a line; nested mappings are indented."""
    _write("".join(f"{line}\n" for line in _lines(fields)))


def show_lines(lines: Sequence[str]) -> None:
    """Print lines on stdout; control characters are escaped."""
    _write("".join(f"{_to_text(line)}\n" for line in lines))


def _lines(fields: Mapping[str, Any]) -> Iterator[str]:
    shown = [(_to_text(name), value) for name, value in fields.items() if value is not None and value not in ({}, [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        if isinstance(value, Mapping):
            yield name
            yield from (f"  {line}" for line in _lines(value))
        else:
            yield f"{name:{width}}  {_to_text(value)}"


def is_terminal() -> bool:
    """Return whether stdout is a terminal, not a pipe or a file."""
    return sys.stdout is not None and sys.stdout.isatty()


def can_ask() -> bool:
    """Return whether stdin is a terminal, where somebody can answer."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(question: str) -> bool:
    """Ask a question on stderr, and return whether the answer is yes; no answer is no."""
    import click

    return click.confirm(escape_control_characters(question), err=True)


def show_summary(lines: Sequence[str]) -> None:
    """Print the lines that accompany a table; on stderr where stdout is a pipe and holds the table alone."""
    if is_quiet():
        return
    if is_terminal():
        show_lines(lines)
        return
    for line in lines:
        show_message(line)


def to_lines(fields: Mapping[str, Any]) -> list[str]:
    """Return the lines that `show_fields` prints."""
    return list(_lines(fields))


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as a table on stdout: drawn on a terminal, else as TSV with a header and untruncated values."""
    if is_terminal():
        _draw_table(rows, columns)
        return
    lines = ("\t".join(_to_tsv(row.get(column)) for column in columns) for row in rows)
    _write("".join(f"{line}\n" for line in ("\t".join(columns), *lines)))


def _draw_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if _is_number(rows, column) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_to_cell(row.get(column))) for column in columns))  # Text: a name is no markup
    console = Console(file=sys.stdout)
    with console.capture() as printed:
        console.print(table)
    _write(printed.get())


def show_message(message: str, *, is_error: bool = False) -> None:
    """Print a message on stderr; control characters are escaped, and a closed stderr is ignored.

    Args:
        message: One or more lines.
        is_error: Print it also where only errors are.
    """
    if is_quiet() and not is_error:
        return
    try:
        sys.stderr.write(f"{escape_control_characters(message)}\n")
        sys.stderr.flush()
    except OSError:
        discard_output(sys.stderr)


def show_note(text: str) -> None:
    """Print a note on stderr: what the user may want to know, though nothing failed."""
    show_message(f"Note: {text}")


def stdout_is_broken() -> bool:
    """Return whether writing to stdout fails: its disk is full, or its reader has gone."""
    try:
        if sys.stdout is not None:
            sys.stdout.write("\n")  # what was refused before may not be buffered any more
            sys.stdout.flush()
    except OSError:
        return True
    return False


def discard_output(stream: TextIO) -> None:
    """Redirect a broken stream to the null device; else Python reports it once more at exit."""
    with contextlib.suppress(OSError, ValueError):
        null_device = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null_device, stream.fileno())
        os.close(null_device)


def show_error(error: InputError) -> None:
    """Print an error on stderr, then the hint that says what to type."""
    show_message(f"Error: {error.message}", is_error=True)
    if error.hint:
        show_message(error.hint, is_error=True)


def show_problem(problem: Mapping[str, str]) -> None:
    """Print a problem that `verify` found on stderr, then its hint (JSON field `mend`)."""
    show_message(f"{problem['check']}: {problem['where']}: {problem['message']}", is_error=True)
    show_message(f"  {problem['mend']}", is_error=True)


_KNOWN_FROM = {
    "option": "as --pixels says",
    "table": "as before in this table",
    "layers": "as the numbers in its first layers say",
    "hub": "as all modules of TensorFlow Hub take them",
}


def log_pixel_range(document: Mapping[str, Any]) -> None:
    """Log what range of pixels the network gets, unless its maker documents it."""
    known_from, stated = document.get("pixels_from"), document.get("pixels_stated")
    if known_from in _KNOWN_FROM:
        pixels = document["pixels"]
        _LOG.info("%s gets pixels in the range %s, %s.", document["backbone"], pixels, _KNOWN_FROM[known_from])
    if stated is not None:
        _LOG.warning(
            "Warning: the numbers in its first layers are made for %s: its embeddings are worse than they could"
            " be. Remake the table with: --pixels=%s --force",
            stated,
            stated,
        )


def log_changes(document: dict[str, Any]) -> None:
    """Log which options a rerun took from the last run, which ones differ, and how many labels changed."""
    if document["remembered"]:
        NOTES.warning("as the last time: %s", to_command_line(document["remembered"]))
    if document["changed"]:
        changes = document["changed"].items()
        before, now = ({name: change[when] for name, change in changes} for when in ("before", "now"))
        NOTES.warning("changed: %s; the last time it was: %s", to_command_line(now), to_command_line(before))
    if document.get("relabelled"):
        are_all = document["relabelled"] == document["unchanged"] > 1
        more = ", all images that were there: retrain heads on these labels" if are_all else ""
        NOTES.warning("relabelled %s%s.", f"{document['relabelled']:,}", more)


def escape_control_characters(text: str) -> str:
    r"""Escape control characters, which a terminal would obey instead of show.

    >>> escape_control_characters("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )


_LINE_EVERY_S = 10.0


def _describe(task: "Task", unit: str) -> str:
    """Return how far a task is, as one line.

    For example `Embedding: 12,300 of 300,000 images, 41 images/s, 1:57:01 left`.
    """
    of_total = f" of {task.total:,.0f}" if task.total else ""
    rate = f", {task.fields['rate']} {unit}/s" if task.speed else ""
    left = f", {dt.timedelta(seconds=task.time_remaining)} left" if task.time_remaining else ""
    return f"{task.description}: {task.completed:,.0f}{of_total} {unit}{rate}{left}"


@contextlib.contextmanager
def progress(title: str, unit: str) -> Iterator[ProgressStep]:
    """Show a progress bar with rate and time left on stderr; where that is no terminal, log a line each ten seconds.

    Yields:
        A function that takes how many are done and the total; a total of 0 means that images are still being listed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    rate_column = TextColumn(f"{{task.fields[rate]}} {unit}/s")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate_column, TimeRemainingColumn())
    with Progress(*columns, console=console, disable=is_quiet() or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=None, rate="-")
        logged_s = time.monotonic()

        def step(done: int, total: int) -> None:
            nonlocal logged_s
            speed = bar.tasks[0].speed
            rate = f"{speed:.0f}" if speed else "-"
            description = "Listing" if done and not total else title
            bar.update(task, completed=done, total=total or None, rate=rate, description=description)
            now_s = time.monotonic()
            if not console.is_terminal and now_s - logged_s >= _LINE_EVERY_S:
                logged_s = now_s
                _LOG.info("%s", _describe(bar.tasks[0], unit))

        try:
            yield step
        except KeyboardInterrupt:
            now = bar.tasks[0]
            bar.stop()
            if now.total:
                show_message(f"Done with {now.completed:,.0f} of {now.total:,.0f} {unit}.")
            raise


@contextlib.contextmanager
def spinner(title: str) -> Iterator[None]:
    """Show a spinner on stderr, where that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if is_quiet() or not console.is_terminal:
        yield
        return
    with console.status(title):
        yield


def _write(text: str) -> None:
    if sys.stdout is not None:  # None where the parent process closed it
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        # A file name that is not UTF-8 has lone surrogates, and some terminals know few letters: these are escaped.
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()  # here, where a full disk can still be reported


def _to_tsv(value: Any) -> str:
    """Format a value of a TSV table; control characters are escaped, since tabs and line ends separate values.

    >>> _to_tsv(["a", "b"]), _to_tsv(True), _to_tsv(None)
    ('["a", "b"]', 'yes', '')
    """
    if value is None:
        return ""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)  # as a CSV file of the table has it
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    return "".join(repr(char)[1:-1] if unicodedata.category(char) == "Cc" else char for char in text)


def _to_cell(value: Any) -> str:
    """Format a value of a table that is drawn, with aligned decimals."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else _to_text(value)


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:,.1f}"
    if isinstance(value, Mapping):  # within a list
        return " ".join(f"{name} {_to_text(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_to_text, value))

    return escape_control_characters(str(value)).replace("\n", "\\n")


def _is_number(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    return any(isinstance(row.get(column), int | float) for row in rows)
