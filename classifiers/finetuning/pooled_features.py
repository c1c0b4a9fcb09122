"""A table of maps laid end to end, seen as the mean of each map: what a probe takes in the place of long rows."""

import dataclasses
from collections.abc import Iterator

from frieze.core import Floats
from frieze.features import BackboneSpec, Features

Maps = tuple[int, int, int]
"""Height, width and channels."""


class PooledFeatures(Features):
    """A view of a table whose rows float32 [h * w * c] are read as means float32 [c]; nothing is stored."""

    def __init__(self, features: Features, maps: Maps) -> None:
        super().__init__(features.path, features.manifest, snapshot=features.snapshot)
        self._whole, self._maps = features, maps
        self.rows, self.labels_from = features.rows, features.labels_from

    @property
    def spec(self) -> BackboneSpec:
        """The backbone, as wide as the means."""
        return dataclasses.replace(self._whole.spec, dim=self._maps[-1])

    def vectors(self) -> Iterator[Floats]:
        """Read means piece by piece, float32 [n, c]."""
        return map(self._means, self._whole.vectors())

    def part_vectors(self, number: int) -> Floats:
        """Read the means of one part, float32 [n, c]."""
        return self._means(self._whole.part_vectors(number))

    def _means(self, embeddings: Floats) -> Floats:
        means: Floats = embeddings.reshape(-1, *self._maps).mean(axis=(1, 2))
        return means


def as_wide_as(features: Features, maps: Maps | None, dim: int) -> Features:
    """Give a table, or the view of its means where these are as wide as a head takes.

    Args:
        features: The table.
        maps: Of which its rows are laid end to end; None where they are not.
        dim: What the head takes.
    """
    return PooledFeatures(features, maps) if maps is not None and dim == maps[-1] != features.spec.dim else features
