import pytest

from frieze.core import InputError, format_size, parse_size


@pytest.mark.parametrize("text", ["", "0", "0MB", "lots", "-1GB", "2XB", "GB", "1e9", "2GB!"])
def test_what_is_no_size_is_refused(text):
    """A text that is no size is refused with an example."""
    with pytest.raises(InputError, match="is no size of memory") as caught:
        parse_size(text)
    assert caught.value.hint == "Write it like 500MB or 2GB."


@pytest.mark.parametrize("size", [1, 999, 1_000, 1_234, 51_200_001, 999_999_999, 10**9, 12_345_678_901, 5 * 10**12])
def test_a_written_size_is_enough(size):
    """A size that is told can be typed, and is no less and at most a tenth more."""
    assert size <= parse_size(format_size(size)) <= 1.1 * size
