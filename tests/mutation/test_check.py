import pytest

from tools.mutation import check
from tools.mutation.check import read_seed, run_mutants
from tools.mutation.mutants import draw_mutants

MODULE = """
def double(x):
    return 2 * x

def sign(x):
    return 1 if x >= 0 else -1

def wait(n):
    while n > 0:
        n = n - 1
"""
TESTS = """
from frieze.features.toy import double, sign, wait

def test_broken():
    assert False

def test_double():
    assert double(3) == 6

def test_sign():
    assert sign(4) == 1

def test_wait():
    wait(3)
"""


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A checkout of one module with its tests, one of which always fails."""
    monkeypatch.setattr(check, "_HEAVY", ())
    for folder in ("features", "frieze", "tests/features"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "frieze" / "features").symlink_to("../features")
    (tmp_path / "frieze" / "__init__.py").touch()
    (tmp_path / "features" / "toy.py").write_text(MODULE)
    (tmp_path / "tests" / "features" / "test_toy.py").write_text(TESTS)
    (tmp_path / "features" / "untested.py").write_text("LONELY = 1\n")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--import-mode=importlib'\n")
    return tmp_path


def _mutants(tree, *changes):
    """One drawn mutant for each change, its text replaced."""
    drawn = draw_mutants(tree, ["features"], seed="x", n_mutants=9)
    toy = next(mutant for mutant in drawn if mutant.path.name == "toy.py")
    return [toy._replace(text=MODULE.replace(*change)) for change in changes]


@pytest.mark.slow
def test_states(tree):
    """A mutant is killed by a test that passes without it, also by failing to import; else it survives."""
    changes = [("2 * x", "2 / x"), (">= 0", "> 0"), ("def sign", "def other")]
    results = run_mutants(tree, _mutants(tree, *changes), limit_s=100, each_s=60)
    assert [result.state for result in results] == ["killed", "survived", "killed"]
    tests = [result.test.rpartition("::")[2] for result in results]
    assert tests == ["test_double", "", ""]
    assert (tree / "features" / "toy.py").read_text() == MODULE


@pytest.mark.slow
def test_endless(tree):
    """A mutant is killed by a test that never ends with it."""
    (tree / "tests" / "features" / "test_toy.py").write_text(TESTS.replace("assert False", "pass"))
    (result,) = run_mutants(tree, _mutants(tree, ("n - 1", "n + 1")), limit_s=100, each_s=8)
    assert (result.state, result.test) == ("killed", "tests/features/test_toy.py::test_wait")


@pytest.mark.slow
def test_scratch_folder(tree):
    """A mutant under which a test removes the folder of scratch files is judged, and so are those after it."""
    broken = "import shutil, tempfile\n    if double(3) != 6: shutil.rmtree(tempfile.gettempdir()); assert False"
    (tree / "tests" / "features" / "test_toy.py").write_text(TESTS.replace("assert double(3) == 6", broken))
    results = run_mutants(tree, _mutants(tree, ("2 * x", "2 / x"), (">= 0", "< 0")), limit_s=100, each_s=60)
    assert [result.test.rpartition("::")[2] for result in results] == ["test_double", "test_sign"]


@pytest.mark.slow
def test_nothing_runs_it(tree):
    """A mutant of a file without tests has the state `no test`; one that comes too late is not run."""
    (lonely,) = (one for one in draw_mutants(tree, ["features"], seed="x", n_mutants=9) if one.owner == "LONELY")
    results = run_mutants(tree, [lonely, *_mutants(tree, ("2 * x", "2 / x"))], limit_s=0, each_s=60)
    assert [result.state for result in results] == ["no test", "not run"]


@pytest.mark.slow
def test_internal_failure(tree):
    """Where pytest cannot run the tests, the check ends with an error."""
    (tree / "tests" / "features" / "test_toy.py").write_text("import frieze.features.toy\nimport nothing_else\n")
    with pytest.raises(SystemExit, match=r"features/toy\.py(?s:.*)pytest cannot collect"):
        run_mutants(tree, _mutants(tree, ("2 * x", "2 / x")), limit_s=100, each_s=60)


def test_seed(tmp_path, capsys):
    """Outside of a git checkout the seed is fixed, and a line says so."""
    assert read_seed(tmp_path) == "frieze"
    assert capsys.readouterr().out == "This is no git checkout: the seed is fixed.\n"
