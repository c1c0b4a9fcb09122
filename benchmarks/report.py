"""Markdown tables with a name, so that `write_tables.py` finds their place in docs/benchmarks.md."""

import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

# This folder comes first in a script's path, and its index.py would hide the room of that name.
sys.path.insert(0, str(Path(__file__).parents[1]))


def show(name: str, header: str, rows: Iterable[Sequence[object]], *notes: str, digits: int = 3) -> None:
    """Print a table, line by line as its rows come.

    Args:
        name: Of the table; docs/benchmarks.md has it between `<!-- NAME -->` and `<!-- end -->`.
        header: Column names between bars.
        rows: Cells.
        notes: What stands below the table.
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
    """Run the passages that the command line names, or all, each with one folder for what they make on the way."""
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or passages:
            passages[name](Path(folder))
