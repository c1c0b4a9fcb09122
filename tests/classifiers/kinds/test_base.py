import subprocess
import sys
import types

import pytest

from frieze.classifiers.kinds.base import import_skops
from frieze.core import without_module

_CODE = """
import sys
from frieze.classifiers.kinds.base import import_skops
from frieze.core.lazy_imports import _BlockedModule
name = import_skops().__name__
print(name, "torch" in sys.modules, any(isinstance(one, _BlockedModule) for one in sys.meta_path))
"""


def test_skops_comes_without_pytorch():
    """PyTorch is not imported with skops, installed or not, and importing is afterwards as it was."""
    actual = subprocess.run([sys.executable, "-c", _CODE], check=True, capture_output=True, text=True)
    assert actual.stdout.split() == ["skops.io", "False", "False"]


def test_only_one_name_of_one_thread_is_left_out(tmp_path, monkeypatch):
    """What is left out can't be imported while the block runs, other modules can, and afterwards it can again."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("frieze_test_absent", "frieze_test_present"):
        (tmp_path / f"{name}.py").write_text("")
    with without_module("frieze_test_absent"):
        assert isinstance(__import__("frieze_test_present"), types.ModuleType)
        with pytest.raises(ModuleNotFoundError, match="frieze_test_absent"):
            __import__("frieze_test_absent")
    assert isinstance(__import__("frieze_test_absent"), types.ModuleType)


def test_skops_is_imported_once():
    """A second call gives the same module."""
    assert import_skops() is import_skops()
