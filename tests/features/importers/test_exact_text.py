import pyarrow as pa
import pytest

from frieze.core import InputError
from frieze.features import to_text


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        ([20240101123456.0, 1e15 + 1, 3.0, None], pa.float64(), ["20240101123456", "1000000000000001", "3", None]),
        ([-float(2**53 - 1)], pa.float64(), ["-9007199254740991"]),
        ([1.5, 0.1, 1e-9], pa.float64(), ["1.5", "0.1", "1e-9"]),
        ([float("inf"), 16777215.0, 0.5], pa.float32(), ["inf", "16777215", "0.5"]),
        ([2**64 - 1], pa.uint64(), ["18446744073709551615"]),
        (["a"], pa.string(), ["a"]),
    ],
)
def test_whole_numbers(values, kind, texts):
    """Whole numbers are written with all their digits, all others as Arrow writes them."""
    assert to_text(pa.chunked_array([values], kind), "id", "m.parquet").to_pylist() == texts


@pytest.mark.parametrize(
    ("value", "kind"), [(2.0**53, pa.float64()), (-(2.0**60), pa.float64()), (2.0**24, pa.float32())]
)
def test_too_large(value, kind):
    """Whole numbers too large for their type are refused: their neighbours would be written alike."""
    message = rf"The column tweet of m\.parquet holds \w+ numbers such as {abs(value):.0f}"
    with pytest.raises(InputError, match=message) as error:
        to_text(pa.chunked_array([[value, 1.0]], kind), "tweet", "m.parquet")
    assert "'tweet': 'Int64'" in error.value.hint
