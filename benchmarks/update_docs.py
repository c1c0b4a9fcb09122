"""Write the tables on stdin into docs/benchmarks.md and the documents beside it; stdin is passed on to stdout.

Usage: python -m benchmarks.embedding.throughput | python -m benchmarks.update_docs [FILE.md]
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks import ROOT

DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = re.compile(r"<!-- (?!end)(.+) -->"), "<!-- end -->"


def tables(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each table's name and text, with its two marks, as soon as it is complete."""
    name, text = "", ""
    for line in lines:
        print(line, end="", flush=True)
        if begin := BEGIN.fullmatch(line.strip()):
            name, text = begin[1], ""
        text += line
        if name and line.strip() == END:
            yield name, text
            name = ""


def replace_table(document: str, name: str, text: str) -> str:
    """Replace the document's table of that name.

    Raises:
        SystemExit: The document has no table of that name.
    """
    marked = re.compile(rf"<!-- {re.escape(name)} -->\n.*?{END}\n", re.DOTALL)
    if not marked.search(document):
        raise SystemExit(f"The document has no table {name!r}: add <!-- {name} --> and {END} where it belongs.")
    return marked.sub(lambda _: text, document, count=1)


def main() -> None:
    """Write each table as soon as it is complete, in every document that has its marks."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENT
    for name, text in tables(sys.stdin):
        others = [
            other for other in path.parent.glob("*.md") if other != path and f"<!-- {name} -->" in other.read_text()
        ]
        for document in (path, *others):
            document.write_text(replace_table(document.read_text(encoding="utf-8"), name, text), encoding="utf-8")


if __name__ == "__main__":
    main()
