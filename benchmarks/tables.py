"""Markdown tables with a name, which update_docs.py finds again in docs/benchmarks.md."""

import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path


def show(name: str, header: str, rows: Iterable[Sequence[object]], *notes: str, digits: int = 3) -> None:
    """Print a table, each row as soon as it is measured.

    Args:
        name: The table's name; docs/benchmarks.md has the table between `<!-- NAME -->` and `<!-- end -->`.
        header: Column names, separated by bars.
        rows: Cells.
        notes: Paragraphs below the table.
        digits: Decimals of a float.
    """
    print(f"\n<!-- {name} -->\n| {header} |\n|{'---|' * len(header.split('|'))}", flush=True)
    for row in rows:
        cells = (f"{cell:.{digits}f}" if isinstance(cell, float) else str(cell) for cell in row)
        print("| " + " | ".join(cells) + " |", flush=True)
    for note in notes:
        print(f"\n{note}")
    print("<!-- end -->", flush=True)


def run_passages(passages: Mapping[str, Callable[[Path], None]]) -> None:
    """Run the passages named on the command line, or all, with one temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or passages:
            passages[name](Path(folder))
