"""A backbone as a scikit-learn transformer: images -> embeddings in a pipeline."""

import functools
import importlib
from pathlib import Path
from typing import Any, Self

from frieze.core import Floats
from frieze.embedder.backbones import Backbone, BackboneRequest
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.job.single_images import embed_in_batches
from frieze.embedder.sources import as_images

# A class needs its bases at import time; only users of ImageEmbedder import this module.
_base: Any = importlib.import_module("sklearn.base")
_BASES: Any = (_base.ClassNamePrefixFeaturesOutMixin, _base.TransformerMixin, _base.BaseEstimator)


class ImageEmbedder(*_BASES):  # type: ignore[misc]  # scikit-learn has no types
    """Images -> embeddings float32 [N, D], as `frieze embed` computes them; nothing is fitted.

    It is cloned and pickled by its parameters; the backbone is opened on first use, once in a process.

    Args:
        backbone: As `--backbone` of `frieze embed`: `builtin`, `keras:NAME`, a file or a folder.
        weights: `imagenet`, `random` or a file, for `keras:NAME`.
        layer: The layer or output to read.
        pool: How its maps or tokens become one vector.
        image_size: Side of the input in pixels, or height and width; None for the backbone's.
        pixels: Pixel range that the network was trained on, where it does not say.

    >>> import numpy as np
    >>> from frieze import ImageEmbedder
    >>> ImageEmbedder().fit_transform(np.zeros((2, 32, 32, 3), np.uint8)).shape
    (2, 256)
    """

    def __init__(
        self,
        backbone: str = "builtin",
        *,
        weights: str | None = None,
        layer: str | None = None,
        pool: str | None = None,
        image_size: int | str | tuple[int, int] | None = None,
        pixels: str | None = None,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.layer = layer
        self.pool = pool
        self.image_size = image_size
        self.pixels = pixels

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002, N803  scikit-learn's names
        """Do nothing: a backbone is trained already."""
        return self

    def transform(self, X: Any) -> Floats:  # noqa: N803
        """Embed images: paths, PIL images, bytes or uint8 arrays [H, W, 3], in a list or an array [N, H, W, 3].

        Returns:
            float32 [N, D].

        Raises:
            InputError: The backbone can't be opened, or an image is unusable; the message names it.
        """
        images = list(as_images([X] if isinstance(X, str | Path) else X))
        return embed_in_batches(images, self._open())

    def _open(self) -> Backbone:
        names = ("weights", "layer", "pool", "image_size", "pixels")
        options = {name: getattr(self, name) for name in names}
        file = Path(self.backbone)
        return _open_once(
            BackboneRequest(handle=str(self.backbone), **options), file.stat().st_mtime_ns if file.exists() else 0
        )

    @property
    def _n_features_out(self) -> int:
        return self._open().spec.dim

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit, tags.no_validation = False, True
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        return tags


@functools.lru_cache(maxsize=4)
def _open_once(request: BackboneRequest, mtime_ns: int) -> Backbone:
    """Open a backbone; a file or folder that has changed since is another one."""
    del mtime_ns
    return open_backbone(request)
