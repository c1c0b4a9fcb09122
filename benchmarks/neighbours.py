"""Which packages can be installed beside Frieze: what uv resolves for both, newest first; nothing is installed.

Usage: python -m benchmarks.neighbours   prints the table of docs/benchmarks.md (needs uv and a package index)
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import ROOT
from benchmarks.tables import show

NEIGHBOURS = (
    "awswrangler",
    "fiftyone",
    "gradio",
    "keras-hub",
    "label-studio",
    "lancedb",
    "lightly-studio",
    "mlflow",
    "ray[data]",
    "streamlit",
    "torch",
    "transformers",
    "ultralytics",
)
SHARED = ("numpy", "pillow", "protobuf", "pyarrow", "scikit-learn", "tensorflow")
"""Packages on whose versions most conflicts are."""
PYTHON = "3.11"


def resolve(*requirements: str) -> dict[str, str]:
    """Return the versions that uv would install, by name; empty where there are none, or uv can't be run."""
    with tempfile.NamedTemporaryFile("w", suffix=".in") as file:
        file.write("\n".join(requirements))
        file.flush()
        command = ["uv", "pip", "compile", "-q", "--no-header", "--no-annotate", "--python-version", PYTHON, file.name]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return dict(re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", done.stdout, re.MULTILINE))


def beside(neighbour: str) -> tuple[str, ...]:
    """Return a row: the newest version of a package alone and beside Frieze, and the shared versions then."""
    name = neighbour.partition("[")[0]
    alone, both = resolve(neighbour).get(name, "none"), resolve(str(Path()), neighbour)
    together = both.get(name, "none")
    is_newest = "yes" if together == alone else "**older**" if both else "**no**"
    return f"`{neighbour}`", alone, together, is_newest, *(both.get(shared, "") for shared in SHARED)


def main() -> None:
    """Print the table."""
    header = f"Python {PYTHON} | newest alone | beside Frieze | the newest? | {' | '.join(SHARED)}"
    show("neighbours", header, map(beside, NEIGHBOURS))


if __name__ == "__main__":
    main()
