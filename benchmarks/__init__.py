"""The benchmarks behind docs/benchmarks.md; each runs from the checkout's root: python -m benchmarks.search.run."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("FRIEZE_DATA", ROOT.parent / "shared" / "data"))
FRIEZE = Path(sys.executable).with_name("frieze")
