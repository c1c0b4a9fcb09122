"""A few of the user's own images, decoded, on which engines are tried."""

import dataclasses
import functools

import numpy as np

from frieze.core import Rows, count_cores, evenly_spaced
from frieze.embedder.images.decode import MAX_PIXELS
from frieze.embedder.images.resize import Pixels
from frieze.embedder.job.pipeline import Decoder, stream
from frieze.embedder.sources import Source
from frieze.features import BackboneSpec

SIZE = 256
"""How many images a probe has, where there are so many."""
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class CalibrationSample:
    """Images spread over all that are to be embedded; decoded when they are first asked for.

    Attributes:
        source: Gives the bytes.
        rows: int64, the listing's rows to be embedded.
        spec: Says size and fit.
        max_pixels: Largest width times height taken.
    """

    source: Source
    rows: Rows
    spec: BackboneSpec
    max_pixels: int = MAX_PIXELS

    @property
    def is_full(self) -> bool:
        """Whether there are images enough to tell fast from slow, and work enough for that to pay."""
        return len(self.rows) >= SIZE and len(self.pixels) >= SIZE // 2

    @property
    def sample(self) -> Rows:
        """int64, rows spread over all, `SIZE` at most."""
        return evenly_spaced(self.rows, SIZE)

    @property
    def pixels(self) -> Pixels:
        """uint8 [n, H, W, 3], n at most `SIZE`; images that can't be used are left out."""
        return self._decoded[0]

    @property
    def decode_s(self) -> float:
        """Seconds a thread takes to read and decode an image, on average."""
        return self._decoded[1]

    @functools.cached_property
    def _decoded(self) -> tuple[Pixels, float]:
        sample = self.sample
        decoder = Decoder(self.source, self.spec, max_pixels=self.max_pixels)
        batches = list(stream([sample], decoder, batch_size=_BATCH, workers=count_cores(), device=None))
        seconds = sum(batch.read_s + batch.decode_s for batch in batches)
        return np.concatenate([batch.pixels for batch in batches]), seconds / len(sample)
