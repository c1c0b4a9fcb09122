"""Familiarity: how similar an image is to those that a head was trained on, measured against its held-out images."""

import dataclasses
import functools
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from frieze.classifiers.data.embedding_rows import EmbeddingRows, Embeddings, map_rows
from frieze.core import Floats, Rows, Strings, evenly_spaced

HalfFloats = npt.NDArray[np.float16]

UNFAMILIAR = 0.05
"""Below this familiarity an image is unlike the training images: so are 5 % of the held-out ones."""

_MAX_REFERENCES, _MAX_BYTES = 500, 8_000_000
_N_NEAREST = 5
_FEWEST_NOTED, _NOTED_SHARE, _NOTED_CHANCE = 3, 0.1, 0.001


@dataclasses.dataclass(frozen=True)
class Familiarity:
    """Some of the training images of a head, and how similar its held-out images are to these.

    Attributes:
        references: float16 [R, D] of unit length, R <= 500, of each class its share.
        similarities: float32 [n], of the held-out images, in the order of the split.
    """

    references: HalfFloats
    similarities: Floats

    @classmethod
    def fit(cls, references: Embeddings, held_out: Embeddings) -> Self:
        """Measure held-out rows [n, D] against references [R, D], rows that `choose_references` chose."""
        rows = references.read() if isinstance(references, EmbeddingRows) else references
        kept: HalfFloats = rows.astype(np.float16)
        return cls(kept, map_rows(lambda embeddings: measure_similarity(embeddings, kept), held_out))

    def of(self, embeddings: Floats) -> Floats:
        """Compute how an image ranks among the held-out images by its similarity to the training images.

        Args:
            embeddings: float32 [N, D], of any length.

        Returns:
            float32 [N] in (0, 1]: (1 + how many held-out images are no more similar) / (1 + n). Uniform for images that
            are like them.
        """
        return self.rank(measure_similarity(np.asarray(embeddings, np.float32), self.references))

    def rank(self, similarities: Floats) -> Floats:
        """Return the familiarity float32 [N] of similarities float32 [N]."""
        n_lower = np.searchsorted(self._ascending, similarities, side="right")
        return ((1 + n_lower) / (1 + len(self._ascending))).astype(np.float32)

    @functools.cached_property
    def _ascending(self) -> Floats:
        return np.sort(self.similarities)

    def exceeds_chance(self, n_unfamiliar: int, n_rows: int) -> bool:
        """Return whether more of N images are unfamiliar than one time in a thousand by chance, and a tenth of them."""
        n_lower = int(np.ceil(UNFAMILIAR * (1 + len(self.similarities)))) - 1
        if not n_lower or n_unfamiliar < max(_FEWEST_NOTED, _NOTED_SHARE * n_rows):
            return False
        from scipy.stats import betabinom

        # The share below the k-th lowest of n images alike is Beta(k, n + 1 - k).
        chance = betabinom(n_rows, n_lower, len(self.similarities) + 1 - n_lower)
        return bool(chance.sf(n_unfamiliar - 1) < _NOTED_CHANCE)

    def write(self, path: Path) -> None:
        """Write an .npz file with the two arrays."""
        np.savez(path, references=self.references, similarities=self.similarities)

    @classmethod
    def read(cls, path: Path, *, dim: int) -> Self:
        """Read what `write` wrote.

        Raises:
            ValueError: The arrays have other shapes or types; so has a file with pickled objects.
            LookupError: One is missing.
        """
        with np.load(path, allow_pickle=False) as arrays:
            references, similarities = arrays["references"], arrays["similarities"]
        is_whole = references.shape[1:] == (dim,) and similarities.ndim == 1 and len(references) and len(similarities)
        if not is_whole or (references.dtype, similarities.dtype) != (np.float16, np.float32):
            raise ValueError("its arrays have other shapes or types")
        return cls(references, similarities)


def choose_references(labels: Strings, dim: int) -> Rows:
    """Choose training rows as references, of each class its share.

    Args:
        labels: Class names [N] of the training rows.
        dim: Width D.

    Returns:
        int64 [R], ascending positions in `labels`; at most 500, and as many as take 8 MB.
    """
    most = max(_N_NEAREST, min(_MAX_REFERENCES, _MAX_BYTES // (2 * dim)))
    return np.sort(evenly_spaced(np.argsort(labels, kind="stable"), most))


def measure_similarity(embeddings: Floats, references: HalfFloats) -> Floats:
    """Compute the mean cosine to the five most similar references.

    Args:
        embeddings: float32 [N, D], of any length; one of zeros has the similarity 0.
        references: float16 [R, D] of unit length.

    Returns:
        float32 [N] in [-1, 1].

    Source: Sun et al. 2022, Out-of-Distribution Detection with Deep Nearest Neighbors, section 3.
    """
    n_nearest = min(_N_NEAREST, len(references))
    lengths = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
    products = embeddings @ references.astype(np.float32).T  # [N, R]
    products.partition(len(references) - n_nearest, axis=1)
    cosines: Floats = products[:, -n_nearest:].mean(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return cosines
