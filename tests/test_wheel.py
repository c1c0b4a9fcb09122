import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from embedder.backbones.catalogue import BUILT_IN_FILE

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_wheel(tmp_path):
    """What pip installs stays below 5 MB, holds the built-in network and the page, and nothing that only makes them."""
    line = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("frieze-*.whl")
    assert wheel.stat().st_size < 5e6
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [
        BUILT_IN_FILE,
        *(path for path in (ROOT / "frieze" / "web").rglob("*") if path.suffix in (".js", ".css", ".html")),
    ]
    assert {str(path.relative_to(ROOT)) for path in files} <= names
    assert {name.split("/")[0] for name in names if not name.startswith("frieze-")} == {
        "classifiers",
        "embedder",
        "features",
        "frieze",
        "index",
    }
