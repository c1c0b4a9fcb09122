"""Few-shot training: so many rows a class, drawn several times, since one draw tells little."""

import dataclasses
from typing import Any

import numpy as np

from classifiers.splits import Split
from features import InputError, Rows, Strings, counted

DRAWS = 10
"""How often the rows are drawn; the first draw's head is the one that is kept."""


def draw_shots(split: Split, labels: Strings, shots: int, *, seed: int) -> list[Split]:
    """Draw so many of the training rows of each class, several times; the test rows stay.

    Args:
        split: Of all rows.
        labels: The label of each row [N].
        shots: Rows a class, >= 1.
        seed: The same seed gives the same draws.

    Raises:
        InputError: A class has fewer rows to train on.
    """
    codes = np.unique(labels[split.train], return_inverse=True)[1]
    of_classes = [split.train[codes == code] for code in range(codes.max() + 1)]
    fewest = min(of_classes, key=len)
    if not 1 <= shots <= len(fewest):
        raise InputError(
            f"{labels[fewest[0]]} has {counted(len(fewest), 'image')} to train on; {shots} a class were asked for.",
            mend=f"Give from 1 to {len(fewest)}: --shots {len(fewest)}, or add images.",
        )
    return [_draw(split, of_classes, shots, np.random.default_rng([seed, number])) for number in range(DRAWS)]


def _draw(split: Split, of_classes: list[Rows], shots: int, generator: np.random.Generator) -> Split:
    drawn = [generator.choice(rows, shots, replace=False) for rows in of_classes]
    return dataclasses.replace(split, train=np.sort(np.concatenate(drawn)), validation=np.empty(0, np.int64))


def tell_shots(shots: int, accuracies: list[float]) -> dict[str, Any]:
    """Give what the draws told: `per_class`, `draws`, `accuracies` of each, `mean_accuracy`, `standard_deviation`.

    >>> tell_shots(5, [0.5, 0.75])["mean_accuracy"]
    0.625
    """
    told = {"per_class": shots, "draws": len(accuracies), "accuracies": accuracies}
    return told | {"mean_accuracy": float(np.mean(accuracies)), "standard_deviation": float(np.std(accuracies, ddof=1))}
