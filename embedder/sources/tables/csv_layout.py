"""How a CSV or TSV file is laid out: what parts its columns, where its header is, and whether its quotes enclose."""

import csv
import functools
import io
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from frieze.core import InputError
from frieze.embedder.sources.files import facts_of, open_place
from frieze.embedder.sources.folder import is_image_name

_SEPARATORS = ",;|\t"
_HEAD_BYTES = 16 << 20
"""No line before the header is longer."""
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_BLANK = re.compile(r'[\s,;|"]*')
_BOM = "\ufeff"
_REST = re.compile(r'[^"]*+(?:""[^"]*+)*+"')
"""What follows the quote that opens a value, up to the one that closes it."""
_MEND = (
    'Close the quote, or write one that is part of a value twice, within quotes: "the ""big"" one". Rows that are meant'
    " to lie within a value can be written as JSONL or Parquet."
)


class Layout(NamedTuple):
    """How a file is read.

    Attributes:
        separator: What stands between columns.
        n_skipped: Lines before the header.
        has_quotes: Whether a quote that begins a value encloses it; else it is a part of it.
        notes: In words, what is read otherwise than one may think.
    """

    separator: str
    n_skipped: int
    has_quotes: bool = True
    notes: tuple[str, ...] = ()


def layout_of(place: str) -> Layout:
    """Look through a file; one that was just looked through is not again.

    Raises:
        InputError: A quote that is not closed would swallow rows.
        OSError: The file can't be read.
    """
    return _look_through(place, facts_of(place))


@functools.lru_cache(4)
def _look_through(place: str, _facts: tuple[int, int]) -> Layout:
    layout = _begin(place)
    may_be_plain = layout.separator == "\t"  # many are written without quoting
    n_columns = len(header_of(place, layout))
    first = last = None
    with _lines_of(place) as lines:
        for last in _problems(lines, layout, n_columns):
            first = first or last
            if last.swallows or may_be_plain:
                break
    if first is None or last is None:
        return layout
    if may_be_plain:
        note = f"Quotes in {place} are read as parts of the values: {first.what}."
        return layout._replace(has_quotes=False, notes=(note,))
    if last.swallows:
        raise InputError(f"{place} can't be read: {last.what}.", hint=_MEND)
    note = f"Quotes in {place} that enclose a part of a value are left out, as most programs do: {first.what}."
    return layout._replace(notes=(note,))


def header_of(place: str, layout: Layout) -> list[str]:
    """Read the names of the columns."""
    with _lines_of(place, "utf-8-sig") as lines:
        rows = itertools.islice(lines, layout.n_skipped, None)
        if layout.has_quotes:
            return next(csv.reader(rows, delimiter=layout.separator), [])
        return next(rows, "").rstrip("\r\n").split(layout.separator)


def mend_header(place: str, names: Sequence[str]) -> str | None:
    """Say what to type where the first line names an image and no columns; None where it does not."""
    at = next((number for number, name in enumerate(names) if is_image_name(name.strip())), None)
    if at is None:
        return None
    others = iter(["label", *(f"column{number}" for number in range(2, len(names)))])
    header = layout_of(place).separator.join("path" if number == at else next(others) for number in range(len(names)))
    ending = place[place.rindex(".") :]
    command = f"(printf '%s\\n' {shlex.quote(header)}; cat {shlex.quote(place)}) > NEW{ending}"
    return f"Its first line is a row and not the names of the columns: put them on top: {command}"


def _lines_of(place: str, encoding: str = "latin-1") -> io.TextIOWrapper:
    """Open a file to read its lines, however they end; in Latin-1 all bytes are text, and ASCII is what it is."""
    return io.TextIOWrapper(open_place(place), encoding, newline="")


def _begin(place: str) -> Layout:
    """Tell by the first line with something in it what stands between columns, the usual where nothing does.

    Excel's own first line, `sep=;`, says it, and is no header.
    """
    usual = _SEPARATORS[::-1] if place.lower().endswith(".tsv") else _SEPARATORS
    with _lines_of(place) as lines:
        for number, line in enumerate(iter(lambda: lines.readline(_HEAD_BYTES), "")):
            text = line.encode("latin-1").decode("utf-8", "replace").removeprefix(_BOM).rstrip("\r\n")
            if told := _SEPARATOR_LINE.fullmatch(text):
                return Layout(told[1], number + 1)
            if not _BLANK.fullmatch(text):
                return Layout(max(usual, key=text.count), number)
    return Layout(usual[0], 0)


class _Problem(NamedTuple):
    """A quote that does not enclose a value as it should.

    Attributes:
        what: In words.
        swallows: Whether it would make rows a part of a value.
    """

    what: str
    swallows: bool


def _problems(lines: Iterable[str], layout: Layout, n_columns: int) -> Iterator[_Problem]:
    """Look for quotes that open a value, and are closed within a text, in a later line or never."""
    numbered = itertools.islice(enumerate(lines, 1), layout.n_skipped, None)
    rows = _Rows(layout.separator, n_columns)
    for first, opening in numbered:
        if '"' not in opening or rows.is_whole(opening.rstrip("\r\n")):
            continue
        last, (is_open, is_odd), alike = first, rows.follow(opening, is_open=False), []
        while is_open:
            last, line = next(numbered, (0, ""))
            if not last:
                yield _Problem(f"the quote that opens a value in line {first} is never closed", swallows=True)
                return
            alike.append(rows.is_like(line, opening))
            is_open, odd = rows.follow(line, is_open=True)
            is_odd = is_odd or odd
        if any(alike) and (is_odd or all(alike)):
            what = f"the quote that opens a value in line {first} is closed in line {last}, over what looks like rows"
            yield _Problem(what, swallows=True)
        elif is_odd:
            yield _Problem(f"line {last} has text behind the quote that closes a value", swallows=False)


class _Rows:
    """Knows the rows of a file by their lines.

    >>> rows = _Rows(",", 2)
    >>> rows.is_whole('0.jpg,"a, ""b"", c"'), rows.follow('0.jpg,"a', is_open=False), rows.follow('b" c', is_open=True)
    (True, (True, False), (False, True))
    >>> rows.is_like("1.jpg,b", '0.jpg,"a'), rows.is_like("and, too", '0.jpg,"a')
    (True, False)
    """

    def __init__(self, separator: str, n_columns: int) -> None:
        self._separator = separator
        self._n_columns = n_columns
        other = re.escape(separator)
        value = rf'(?:"[^"]*+(?:""[^"]*+)*+"(?![^{other}])|[^"{other}][^{other}]*+|)'
        self._whole = re.compile(rf"{value}(?:{other}{value})*+")

    def is_whole(self, line: str) -> bool:
        """Tell whether a line is a row whose quotes all enclose a value."""
        return self._whole.fullmatch(line) is not None

    def follow(self, line: str, *, is_open: bool) -> tuple[bool, bool]:
        """Go through a line; `is_open` tells whether it begins within quotes.

        Returns:
            Whether it ends within quotes, and whether text stands behind any that close a value.
        """
        line, at, is_odd = line.rstrip("\r\n"), 0, False
        if not is_open and line.startswith('"'):
            at, is_open = 1, True
        while True:
            if is_open:
                closed = _REST.match(line, at)
                if closed is None:
                    return True, is_odd
                at = closed.end()
                is_odd = is_odd or line[at : at + 1] not in ("", self._separator)
            at = line.find(self._separator, at) + 1
            if not at:
                return False, is_odd
            is_open = line.startswith('"', at)
            at += is_open

    def is_like(self, line: str, opening: str) -> bool:
        """Tell whether a line looks like a row: as many values, and the name of an image where `opening` has one.

        Where that has none, the first value has to look alike: words and numbers in the same places.
        """
        values = [value.strip('" \r\n') for value in line.split(self._separator)]
        if len(values) != self._n_columns:
            return False
        opened = [value.strip('" \r\n') for value in opening.split(self._separator)][: self._n_columns]
        at = next((number for number, value in enumerate(opened) if is_image_name(value)), None)
        if at is not None:
            return is_image_name(values[at])
        return self._n_columns > 1 and _shape_of(values[0]) == _shape_of(opened[0])


def _shape_of(name: str) -> str:
    """Write a name with 0 for each word with a digit in it, a for each other.

    >>> _shape_of("IMG_12-x"), _shape_of("00f3a"), _shape_of("Well")
    ('0-a', '0', 'a')
    """
    return re.sub(r"[^\W\d]+", "a", re.sub(r"\w*\d\w*", "0", name))
