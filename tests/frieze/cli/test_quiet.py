"""`--quiet`: only errors and the result asked for."""

import pytest

from frieze import terminal


@pytest.mark.parametrize(
    "line", ["index photos.features --out {out}.index", "audit photos.features --out {out}.csv", "verify photos.index"]
)
def test_what_writes_prints_nothing(world, run, tmp_path, monkeypatch, line):
    """A command that writes something or finds nothing wrong prints nothing."""
    monkeypatch.chdir(world)
    result = run(*line.format(out=tmp_path / "out").split(), "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) <= (30 if "audit" in line else 0)


def test_the_result_asked_for(world, run):
    """Hits and descriptions are printed as without it."""
    for line in (["search", world / "photos.index", "id:red/0.png"], ["info", world / "photos.index"]):
        assert run(*line, "--quiet").stdout == run(*line).stdout != ""


def test_errors(world, run):
    """Errors and what was skipped are printed, and nothing stays quiet afterwards."""
    assert "none is not there." in run("info", world / "none", "-q").stderr
    result = run("embed", world / "photos", "--out", world / "photos.features", "-q")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.splitlines()[-1].startswith("1 image can't be used")
    assert not terminal.is_quiet()
