"""The only writer to the terminal: results on stdout, all talk and progress on stderr."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from features import InputError

Step = Callable[[int, int], None]


def show_json(document: Any) -> None:
    """Print one JSON document on stdout, keys sorted."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    # A file name that is no text has lone surrogates: these alone are written as JSON escapes.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values on stdout, one pair a line."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        sys.stdout.write(f"{name:{width}}  {_plain(value)}\n")


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as a table on stdout."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if _is_number(rows, column) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_plain(row.get(column))) for column in columns))  # Text: a name is no markup
    Console(file=sys.stdout).print(table)


def say(message: str) -> None:
    """Print a line for people on stderr."""
    sys.stderr.write(f"{message}\n")


def show_error(error: InputError) -> None:
    """Print what is wrong, then what to type."""
    say(f"Error: {printable(error.message)}")
    if error.mend:
        say(printable(error.mend))


def printable(text: str) -> str:
    r"""Escape what a terminal would obey instead of show, such as a file name that moves the cursor.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )


@contextlib.contextmanager
def progress(title: str, unit: str) -> Iterator[Step]:
    """Show a bar with rate and time left on stderr; nothing where stderr is no terminal.

    Yields:
        A function that takes what is done and what there is to do.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    rate = TextColumn(f"{{task.fields[rate]}} {unit}/s")
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=None, rate="-")

        def step(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:.0f}" if speed else "-")

        yield step


@contextlib.contextmanager
def waiting(title: str) -> Iterator[None]:
    """Show on stderr that something goes on; nothing where stderr is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(title):
        yield


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:,.1f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return "-" if value is None else printable(str(value)).replace("\n", "\\n")


def _is_number(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    return any(isinstance(row.get(column), int | float) for row in rows)
