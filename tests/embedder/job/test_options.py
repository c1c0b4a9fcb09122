import contextlib

import pytest

from frieze.core import InputError, lock
from frieze.embedder import JobOptions, Limits
from frieze.features import is_features, remove_if_refused


def refusal(**options):
    """Return the error of options that make no sense."""
    with pytest.raises(InputError) as caught:
        JobOptions(**options).check()
    return caught.value


def stop(*_):
    """End a run before its first image."""
    raise LookupError


def test_defaults():
    """The defaults are valid, and so are the smallest numbers."""
    JobOptions().check()
    JobOptions(batch_size=1, workers=1, shard_size=1, limit=1, limits=Limits(max_pixels=1, max_bytes=1)).check()


@pytest.mark.parametrize("name", ["batch_size", "workers", "shard_size", "limit"])
@pytest.mark.parametrize("number", [0, -3])
def test_numbers_below_one(name, number):
    """A number below 1 is refused with the parameter's name."""
    error = refusal(**{name: number})
    assert (error.message, error.hint) == (f"`{name}` is {number}.", f"Give `{name}` 1 or more.")


@pytest.mark.parametrize("name", ["max_pixels", "max_bytes"])
def test_limits_below_one(name):
    """A limit below 1 is refused like any other number."""
    assert refusal(limits=Limits(**{name: 0})).message == f"`{name}` is 0."


def test_checked_first(folder, embed, out):
    """The job checks its options before anything is written."""
    with pytest.raises(InputError):
        embed(folder, out, limit=0)
    assert not out.exists()


def test_a_refused_run_leaves_no_table(folder, embed, out):
    """A table that was refused before it had a row is gone: the next run does not take its options for asked ones."""
    with pytest.raises(InputError, match="precision"):
        embed(folder, out, precision="float16")
    assert not out.exists()
    assert embed(folder, out)["precision"] == "float32"


def refuse(out):
    """Refuse a run over a table."""
    with pytest.raises(InputError), remove_if_refused(out):
        raise InputError("refused")


@pytest.mark.parametrize("what", ["rows", "a file of somebody's own", "a writer"])
def test_what_a_refused_run_leaves(what, folder, embed, out):
    """A table with rows stays, and so does one with another file in it, and one that another process writes to."""
    with contextlib.suppress(LookupError):
        embed(folder, out, **({"limit": 2} if what == "rows" else {"progress": stop}))
    if what == "a file of somebody's own":
        (out / "notes.txt").write_text("mine")
    with lock(out) if what == "a writer" else contextlib.nullcontext():
        refuse(out)
    assert is_features(out)
