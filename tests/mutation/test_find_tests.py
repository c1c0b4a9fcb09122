from pathlib import Path

import pytest

from tools.mutation.find_tests import find_tests

TESTS = {
    "tests/index/build/test_a.py": "# the mirror, and the longest of all: " + 100 * "-",
    "tests/index/test_name.py": "from frieze.indexing import open_it, x",
    "tests/index/test_module.py": "import frieze.indexing.build.a  # longer than the other",
    "tests/index/test_from.py": "from frieze.indexing.build import b, a",
    "tests/index/test_ray.py": "import ray\nfrom frieze.indexing import open_it",
    "tests/index/test_other.py": "from frieze.indexing import other",
    "tests/features/test_same_name.py": "from frieze.features import open_it",
}


@pytest.fixture
def tree(tmp_path):
    """A checkout of one module and the tests above."""
    for name, text in (TESTS | {"index/build/a.py": "def open_it(): ...\ndef _other(): ...\n"}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_order(tree):
    """The mirror comes first, then what imports the module or a public name of it, short before long, servers last."""
    actual = find_tests(tree, Path("index/build/a.py"))
    assert [Path(name).stem for name in actual] == ["test_a", "test_from", "test_name", "test_module", "test_ray"]


def test_doctests(tree):
    """A file with doctests is run too, under the name that it is imported by."""
    (tree / "index" / "build" / "a.py").write_text('"""\n>>> 1\n1\n"""\n')
    assert find_tests(tree, Path("index/build/a.py"))[0] == "frieze/indexing/build/a.py"


def test_none(tree):
    """A file that no test imports has no tests."""
    (tree / "index" / "alone.py").write_text("def lonely(): ...\n")
    assert find_tests(tree, Path("index/alone.py")) == []
