"""The images on which an exported model is compared with its head."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from frieze import core
from frieze.api.export_folder import draw_samples
from frieze.api.paths import scratch_folder

if TYPE_CHECKING:
    from frieze.classifiers import Head
    from frieze.embedder import Backbone

_TOLERANCE = 1e-3  # of a probability: another order of summation changes one by far less, another network by far more


class ExportSamples:
    """Images of the network's input size, and the head's probabilities of them.

    Attributes:
        pixels: uint8 [n, H, W, 3].
        files: The same as PNG files.
        expected: float32 [n, C].
    """

    def __init__(self, head: "Head", backbone: "Backbone", out: Path) -> None:
        self._head = head
        self.pixels = draw_samples(head.spec.image_size)
        self.files = [_to_png(one) for one in self.pixels]
        self.expected = head.probabilities(_embed(self.files, backbone, out))

    def check(self, probabilities: Sequence[core.Floats], predictions: Sequence[Sequence[str]]) -> float:
        """Compare outputs of the written model with those of the head.

        Args:
            probabilities: Each float32 [n, C].
            predictions: Each n class names.

        Returns:
            The largest difference of a probability.

        Raises:
            ModelError: One is too large, or another class is predicted.
        """
        difference = float(max(np.abs(one - self.expected).max() for one in probabilities))
        are_same = all(map(self._are_same, predictions))
        if not (difference <= _TOLERANCE and are_same):
            raise core.ModelError(
                f"The exported model is not {self._head.path}: on {len(self.pixels)} images its probabilities differ by"
                f" up to {difference:.2g} (at most {_TOLERANCE} is allowed)"
                f"{'' if are_same else ', and its predictions too'}.",
                hint=f"Nothing was written. Use the head itself: frieze predict {self._head.path} SOURCE --out"
                " FILE.parquet",
            )
        return difference

    def _are_same(self, names: Sequence[str]) -> bool:
        """Return whether the predicted classes are the head's; of equal probabilities either may win."""
        columns = {name: column for column, name in enumerate(self._head.classes)}
        pairs = zip(names, self.expected, strict=True)
        of_names = [row[columns[name]] if name in columns else -1.0 for name, row in pairs]
        return bool((self.expected.max(axis=1) - of_names <= _TOLERANCE).all())


def _to_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _embed(files: list[bytes], backbone: "Backbone", out: Path) -> core.Floats:
    """Embed as `embed` does, but always in float32, as the exported model does."""
    import frieze.embedder

    exact = dataclasses.replace(backbone, spec=dataclasses.replace(backbone.spec, precision="float32"))
    with scratch_folder(out) as folder:
        paths = [folder / f"{number}.png" for number in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        return frieze.embedder.embed_images(paths, exact)
