"""How often 95 % intervals hold the accuracy where images come in groups that are alike.

Usage: python -m benchmarks.heads.intervals
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.tables import show
from frieze.classifiers import accuracy_interval, grouped_accuracy_interval
from frieze.core import Rows

ACCURACY = 0.85
N_DRAWS = 1500
SIZES = {"1": [1], "2": [2], "10": [10], "50": [50], "1, 2, 10, 50": [1, 2, 10, 50]}
ALIKE = (0.02, 0.1, 0.3)
GROUPS = (8, 12, 20, 40, 100)
HEADER = " | ".join(["images a group", "correlation", *(f"{n} groups" for n in GROUPS)])


def draw(generator: np.random.Generator, sizes: list[int], alike: float) -> tuple[npt.NDArray[np.bool_], Rows]:
    """Draw whether the images of groups are right, and their groups; each group has an accuracy of its own."""
    spread = (1 - alike) / alike
    accuracies = generator.beta(ACCURACY * spread, (1 - ACCURACY) * spread, len(sizes))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return generator.random(len(groups)) < accuracies[groups], groups


def coverage(generator: np.random.Generator, sizes: list[int], alike: float) -> str:
    """Return the share of intervals over images, and over groups, that hold the accuracy."""
    draws = [draw(generator, sizes, alike) for _ in range(N_DRAWS)]
    over_images = [accuracy_interval(int(is_right.sum()), len(is_right)) for is_right, _ in draws]
    shares = []
    for intervals in (over_images, [grouped_accuracy_interval(*one) for one in draws]):
        low, high = np.array(intervals).T
        shares.append(100 * float(((low <= ACCURACY) & (high >= ACCURACY)).mean()))
    return f"{shares[0]:.0f} / {shares[1]:.0f}"


def rows() -> Iterator[list[object]]:
    """Yield the table's rows."""
    generator = np.random.default_rng(0)
    for name, sizes in SIZES.items():
        for alike in ALIKE:
            yield [name, alike, *(coverage(generator, (sizes * n)[:n], alike) for n in GROUPS)]


if __name__ == "__main__":
    show("intervals over groups", HEADER, rows(), digits=2)
