"""Detects the layout of a CSV or TSV file: its separator, its header line, and whether quotes enclose values."""

import csv
import functools
import io
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from frieze.core import InputError
from frieze.embedder.sources.files import open_uri, stat_uri
from frieze.embedder.sources.folder import is_image_name

_SEPARATORS = ",;|\t"
_HEAD_BYTES = 16 << 20
"""Longest line before the header."""
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_BLANK = re.compile(r'[\s,;|"]*')
_BOM = "\ufeff"
_TO_CLOSING_QUOTE = re.compile(r'[^"]*+(?:""[^"]*+)*+"')
"""The rest of a value after its opening quote, up to the closing one."""
_HINT = (
    'Close the quote; double a quote that is part of a value, within quotes: "the ""big"" one". Values that'
    " contain rows can be written as JSONL or Parquet."
)


class Layout(NamedTuple):
    """How to read a file.

    Attributes:
        separator: The character between columns.
        n_skipped: Number of lines before the header.
        has_quotes: Whether a quote at the beginning of a value encloses it; otherwise it is part of the value.
        notes: Sentences about rows that are read in a way the user may not expect.
    """

    separator: str
    n_skipped: int
    has_quotes: bool = True
    notes: tuple[str, ...] = ()


def detect_layout(uri: str) -> Layout:
    """Detect the layout of a file; the last few results are cached.

    Raises:
        InputError: An unclosed quote would swallow rows.
        OSError: The file can't be read.
    """
    return _detect(uri, stat_uri(uri))


@functools.lru_cache(4)
def _detect(uri: str, _stat: tuple[int, int]) -> Layout:
    layout = _detect_separator(uri)
    may_be_plain = layout.separator == "\t"  # many are written without quoting
    n_columns = len(read_header_line(uri, layout))
    first = last = None
    with _lines_of(uri) as lines:
        for last in _problems(lines, layout, n_columns):
            first = first or last
            if last.swallows or may_be_plain:
                break
    if first is None or last is None:
        return layout
    if may_be_plain:
        note = f"Quotes in {uri} are read as parts of the values: {first.what}."
        return layout._replace(has_quotes=False, notes=(note,))
    if last.swallows:
        raise InputError(f"{uri} can't be read: {last.what}.", hint=_HINT)
    note = f"Quotes in {uri} that enclose a part of a value are left out, as most programs do: {first.what}."
    return layout._replace(notes=(note,))


def read_header_line(uri: str, layout: Layout) -> list[str]:
    """Read the names of the columns from the header line."""
    with _lines_of(uri, "utf-8-sig") as lines:
        rows = itertools.islice(lines, layout.n_skipped, None)
        if layout.has_quotes:
            return next(csv.reader(rows, delimiter=layout.separator), [])
        return next(rows, "").rstrip("\r\n").split(layout.separator)


def header_hint(uri: str, names: Sequence[str]) -> str | None:
    """Return the hint for a file whose first line is a row with an image; None for any other."""
    at = next((number for number, name in enumerate(names) if is_image_name(name.strip())), None)
    if at is None:
        return None
    others = iter(["label", *(f"column{number}" for number in range(2, len(names)))])
    header = detect_layout(uri).separator.join("path" if number == at else next(others) for number in range(len(names)))
    ending = uri[uri.rindex(".") :]
    command = f"(printf '%s\\n' {shlex.quote(header)}; cat {shlex.quote(uri)}) > NEW{ending}"
    return f"Its first line is a row, not a header: add the names of the columns: {command}"


def _lines_of(uri: str, encoding: str = "latin-1") -> io.TextIOWrapper:
    """Open a file as lines with any line ending; Latin-1 decodes any bytes and keeps ASCII."""
    return io.TextIOWrapper(open_uri(uri), encoding, newline="")


def _detect_separator(uri: str) -> Layout:
    """Detect the separator from the first line that is not blank; comma or tab by default.

    Excel's first line `sep=;` states it, and is no header.
    """
    candidates = _SEPARATORS[::-1] if uri.lower().endswith(".tsv") else _SEPARATORS
    with _lines_of(uri) as lines:
        for number, line in enumerate(iter(lambda: lines.readline(_HEAD_BYTES), "")):
            text = line.encode("latin-1").decode("utf-8", "replace").removeprefix(_BOM).rstrip("\r\n")
            if stated := _SEPARATOR_LINE.fullmatch(text):
                return Layout(stated[1], number + 1)
            if not _BLANK.fullmatch(text):
                return Layout(max(candidates, key=text.count), number)
    return Layout(candidates[0], 0)


class _Problem(NamedTuple):
    """A quote that does not enclose a whole value.

    Attributes:
        what: Description for messages.
        swallows: Whether rows would become part of a value.
    """

    what: str
    swallows: bool


def _problems(lines: Iterable[str], layout: Layout, n_columns: int) -> Iterator[_Problem]:
    """Yield quotes that open a value and are closed inside the value, in a later line or never."""
    numbered = itertools.islice(enumerate(lines, 1), layout.n_skipped, None)
    rows = _Rows(layout.separator, n_columns)
    for first, opening in numbered:
        if '"' not in opening or rows.is_whole(opening.rstrip("\r\n")):
            continue
        last, (is_open, has_rest), alike = first, rows.follow(opening, is_open=False), []
        while is_open:
            last, line = next(numbered, (0, ""))
            if not last:
                yield _Problem(f"the quote that opens a value in line {first} is never closed", swallows=True)
                return
            alike.append(rows.is_like(line, opening))
            is_open, rest = rows.follow(line, is_open=True)
            has_rest = has_rest or rest
        if any(alike) and (has_rest or all(alike)):
            what = f"the quote that opens a value in line {first} is closed in line {last}, over what looks like rows"
            yield _Problem(what, swallows=True)
        elif has_rest:
            yield _Problem(f"line {last} has text after the quote that closes a value", swallows=False)


class _Rows:
    """Recognizes the rows of a file by their lines.

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
        """Return whether a line is a row whose quotes all enclose values."""
        return self._whole.fullmatch(line) is not None

    def follow(self, line: str, *, is_open: bool) -> tuple[bool, bool]:
        """Scan a line; `is_open` says whether it begins within quotes.

        Returns:
            Whether it ends within quotes, and whether text follows any closing quote.
        """
        line, at, has_rest = line.rstrip("\r\n"), 0, False
        if not is_open and line.startswith('"'):
            at, is_open = 1, True
        while True:
            if is_open:
                closed = _TO_CLOSING_QUOTE.match(line, at)
                if closed is None:
                    return True, has_rest
                at = closed.end()
                has_rest = has_rest or line[at : at + 1] not in ("", self._separator)
            at = line.find(self._separator, at) + 1
            if not at:
                return False, has_rest
            is_open = line.startswith('"', at)
            at += is_open

    def is_like(self, line: str, opening: str) -> bool:
        """Return whether a line looks like a row: as many values, and an image name in the same column as `opening`.

        Without an image name the first value must have the same shape: words and numbers in the same order.
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
    """Replace each word with a digit in it by 0, each other word by a.

    >>> _shape_of("IMG_12-x"), _shape_of("00f3a"), _shape_of("Well")
    ('0-a', '0', 'a')
    """
    return re.sub(r"[^\W\d]+", "a", re.sub(r"\w*\d\w*", "0", name))
