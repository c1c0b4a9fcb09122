"""Puts the tables that come in from a benchmark into their places in docs/benchmarks.md and beside it; passes all on.

Usage: python benchmarks/embed.py | python benchmarks/write_tables.py [FILE.md]
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = re.compile(r"<!-- (?!end)(.+) -->"), "<!-- end -->"


def tables(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give each table's name and text, its two marks included, as it comes in."""
    name, text = "", ""
    for line in lines:
        print(line, end="", flush=True)
        if begin := BEGIN.fullmatch(line.strip()):
            name, text = begin[1], ""
        text += line
        if name and line.strip() == END:
            yield name, text
            name = ""


def put(document: str, name: str, text: str) -> str:
    """Put a table where the document has one of that name.

    Raises:
        SystemExit: It has none.
    """
    place = re.compile(rf"<!-- {re.escape(name)} -->\n.*?{END}\n", re.DOTALL)
    if not place.search(document):
        raise SystemExit(f"There is no place for the table {name!r}: put <!-- {name} --> and {END} where it belongs.")
    return place.sub(lambda _: text, document, count=1)


def main() -> None:
    """Write each table as soon as it is whole, in every document that has a place for it."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENT
    for name, text in tables(sys.stdin):
        others = [
            other for other in path.parent.glob("*.md") if other != path and f"<!-- {name} -->" in other.read_text()
        ]
        for document in (path, *others):
            document.write_text(put(document.read_text(encoding="utf-8"), name, text), encoding="utf-8")


if __name__ == "__main__":
    main()
