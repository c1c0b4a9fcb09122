"""What all rooms' tests share."""

import os
from pathlib import Path

import pytest

from features import import_tensorflow


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real weights and photographs; the test is skipped where it is absent."""
    folder = Path(os.environ.get("FRIEZE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set FRIEZE_DATA")
    return folder


@pytest.fixture(scope="session")
def tf():
    """TensorFlow, imported once."""
    return import_tensorflow()
