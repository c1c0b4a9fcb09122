import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from frieze.api import duplicate_groups


@pytest.mark.parametrize("groups", [[-1, 0, -1, 0, 1, 1], [-1, -1, -1], [0, 0]])
def test_numbers_of_groups(groups, monkeypatch):
    """Near-duplicates share a group; every row without a duplicate is a group of its own."""
    monkeypatch.setattr(duplicate_groups, "temporary_index", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(
        duplicate_groups, "find_duplicate_groups", lambda _: SimpleNamespace(groups=np.array(groups, np.int64))
    )
    numbers = duplicate_groups.number_groups(None, None)
    for row, group in enumerate(groups):
        shared = [other for other, number in enumerate(numbers) if number == numbers[row]]
        assert shared == ([row] if group < 0 else [other for other, one in enumerate(groups) if one == group])
