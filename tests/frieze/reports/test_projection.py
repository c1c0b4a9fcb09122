import importlib.util
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_umap_without_other_frameworks():
    """UMAP is imported without Keras, TensorFlow and PyTorch, and what was left out can be imported afterwards."""
    if importlib.util.find_spec("umap") is None:  # not imported: it imports PyTorch, which can crash beside TensorFlow
        pytest.skip("UMAP is not installed")
    code = """
import sys
from frieze.reports.projection import import_umap
umap = import_umap()
print(umap.UMAP.__name__, sorted({"keras", "tensorflow", "torch", "umap.parametric_umap"} & set(sys.modules)))
print(import_umap() is umap)
"""
    printed = subprocess.check_output([sys.executable, "-W", "error::UserWarning", "-c", code], text=True)
    assert printed.splitlines() == ["UMAP []", "True"]
