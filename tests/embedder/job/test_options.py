import pytest

from frieze.core import InputError
from frieze.embedder import JobOptions, Limits


def refusal(**options):
    """Return the error of options that make no sense."""
    with pytest.raises(InputError) as caught:
        JobOptions(**options).check()
    return caught.value


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
