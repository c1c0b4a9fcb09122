"""The only writer to the terminal: results on stdout, all talk and progress on stderr."""

import contextlib
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from frieze.core import InputError, to_command_line, to_finite

Step = Callable[[int, int], None]


def show_json(document: Any) -> None:
    """Print one JSON document on stdout, keys sorted; it is valid whatever stdout can write, and whatever is in it.

    JSON has no infinity and no NaN: null stands in their place.
    """
    is_utf8 = getattr(sys.stdout, "encoding", "utf-8").lower().replace("-", "") == "utf8"
    text = json.dumps(to_finite(document), indent=2, sort_keys=True, ensure_ascii=not is_utf8, allow_nan=False)
    _write(f"{text}\n")


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values on stdout, one pair a line; what stands inside a value is indented below it."""
    _write("".join(f"{line}\n" for line in _lines(facts)))


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    told = [(_plain(name), value) for name, value in facts.items() if value is not None and value not in ({}, [])]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        if isinstance(value, Mapping):
            yield name
            yield from (f"  {line}" for line in _lines(value))
        else:
            yield f"{name:{width}}  {_plain(value)}"


def is_terminal() -> bool:
    """Tell whether stdout is looked at by a person, and not read by a program or kept in a file."""
    return sys.stdout is not None and sys.stdout.isatty()


def show_beside(facts: Mapping[str, Any]) -> None:
    """Print what stands beside a table: below each other for a person, on stderr where stdout is the table alone."""
    if is_terminal():
        show_facts(facts)
        return
    for line in _lines(facts):
        say(line)


def show_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as a table on stdout: drawn for a person, else as TSV with a line of names and every value whole."""
    if is_terminal():
        _draw_table(rows, columns)
        return
    lines = ("\t".join(_whole(row.get(column)) for column in columns) for row in rows)
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
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))  # Text: a name is no markup
    console = Console(file=sys.stdout)
    with console.capture() as printed:
        console.print(table)
    _write(printed.get())


def say(message: str) -> None:
    """Print a line for people on stderr; a name in it can't steer the terminal, and nobody need listen."""
    try:
        sys.stderr.write(f"{printable(message)}\n")
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)


def takes_no_more() -> bool:
    """Tell whether stdout takes no more of what was written to it: its disk is full, or its reader has gone."""
    try:
        if sys.stdout is not None:
            sys.stdout.write("\n")  # what was refused before may be buffered no more
            sys.stdout.flush()
    except OSError:
        return True
    return False


def silence(stream: TextIO) -> None:
    """Let a stream that takes no more end in nothing, or Python complains about it once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def show_error(error: InputError) -> None:
    """Print what is wrong, then what to type."""
    say(f"Error: {error.message}")
    if error.hint:
        say(error.hint)


def show_problem(problem: Mapping[str, str]) -> None:
    """Print what a check found on stderr, then what to type."""
    say(f"{problem['check']}: {problem['where']}: {problem['message']}")
    say(f"  {problem['mend']}")


_KNOWN_FROM = {
    "option": "as --pixels says",
    "table": "as before in this table",
    "layers": "as the numbers in its first layers say",
    "hub": "as all modules of TensorFlow Hub take them",
}


def say_pixels(document: Mapping[str, Any]) -> None:
    """Say on stderr what range of pixels the network was given, where that does not go without saying."""
    known_from, stated = document.get("pixels_from"), document.get("pixels_stated")
    if known_from in _KNOWN_FROM:
        say(f"{document['backbone']} gets pixels in the range {document['pixels']}, {_KNOWN_FROM[known_from]}.")
    if stated is not None:
        say(
            f"Warning: the numbers in its first layers are made for {stated}: its embeddings are worse than they could"
            f" be. Make the table anew with: --pixels={stated} --force"
        )


def say_changes(document: dict[str, Any]) -> None:
    """Say on stderr what a rerun took over from the one before, what that was asked for otherwise, and what changed."""
    if document["remembered"]:
        say(f"Note: as the last time: {to_command_line(document['remembered'])}")
    if document["changed"]:
        before, now = ({name: one[when] for name, one in document["changed"].items()} for when in ("before", "now"))
        say(f"Note: changed: {to_command_line(now)}; the last time it was: {to_command_line(before)}")
    if document.get("relabelled"):
        are_all = document["relabelled"] == document["unchanged"] > 1
        more = ", all images that were there: train heads on these labels anew" if are_all else ""
        say(f"Note: relabelled {document['relabelled']:,}{more}.")


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
        A function that takes what is done and what there is to do; where nothing is to do yet, what is found so far.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    rate = TextColumn(f"{{task.fields[rate]}} {unit}/s")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=None, rate="-")

        def step(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            told = f"{speed:.0f}" if speed else "-"
            doing = "Listing" if done and not total else title
            bar.update(task, completed=done, total=total or None, rate=told, description=doing)

        try:
            yield step
        except KeyboardInterrupt:
            now = bar.tasks[0]
            bar.stop()
            if now.total:
                say(f"Done with {now.completed:,.0f} of {now.total:,.0f} {unit}.")
            raise


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


def _write(text: str) -> None:
    if sys.stdout is not None:  # closed by who started us
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        # A file name that is no text has lone surrogates, and some terminals know few letters: these are escaped.
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()  # here, where a full disk can still be told


def _whole(value: Any) -> str:
    """Write a value of a TSV table; only control characters are escaped, for tabs and line ends part the values."""
    if value is None:
        return ""
    text = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    return "".join(repr(char)[1:-1] if unicodedata.category(char) == "Cc" else char for char in text)


def _cell(value: Any) -> str:
    """Write a value of a table, whose numbers stand below each other."""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if value is None else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1 else f"{value:,.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return printable(str(value)).replace("\n", "\\n")


def _is_number(rows: Sequence[Mapping[str, Any]], column: str) -> bool:
    return any(isinstance(row.get(column), int | float) for row in rows)
