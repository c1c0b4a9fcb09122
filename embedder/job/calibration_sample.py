"""The calibration sample: a few of the user's own images, decoded, on which engines are tried."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from frieze.core import Rows, count_cores, evenly_spaced
from frieze.embedder.images.decode_processes import DecodeProcesses
from frieze.embedder.images.limits import Limits
from frieze.embedder.images.prepare import Computed
from frieze.embedder.images.resize import Pixels
from frieze.embedder.job.decoder import Decoder
from frieze.embedder.job.pipeline import stream
from frieze.embedder.sources import Source
from frieze.features import BackboneSpec

SIZE = 256
"""Images of a full sample."""
_BATCH = 32
_LIMITS = Limits()


@dataclasses.dataclass(frozen=True)
class CalibrationSample:
    """Images spread over all that are to be embedded; decoded on first use.

    Attributes:
        source: The images.
        rows: int64, the listing's rows to be embedded.
        spec: Image size and fit.
        limits: Which images are refused.
        decode: Returns the pixels of the sampled rows and the seconds an image takes; None to decode them here.
    """

    source: Source
    rows: Rows
    spec: BackboneSpec
    limits: Limits = _LIMITS
    decode: Callable[[], tuple[Pixels, float]] | None = None

    @property
    def is_full(self) -> bool:
        """Whether there are enough images to tell fast from slow, and enough work for trials to pay."""
        return len(self.rows) >= SIZE and len(self.pixels) >= SIZE // 2

    @property
    def sampled_rows(self) -> Rows:
        """int64, evenly spaced, `SIZE` at most."""
        return evenly_spaced(self.rows, SIZE)

    @property
    def pixels(self) -> Pixels:
        """uint8 [n, H, W, 3], n at most `SIZE`; unusable images are left out."""
        return self._decoded[0]

    @functools.cached_property
    def other_pixels(self) -> Pixels:
        """uint8 [n, H, W, 3], n at most `SIZE`, of images outside the sample; the sample's own where there are few."""
        rows = evenly_spaced(np.setdiff1d(self.rows, self.sampled_rows), SIZE)
        return self._decode(rows)[0] if len(rows) >= SIZE // 2 else self.pixels

    @property
    def decode_s(self) -> float:
        """Mean seconds that a thread takes to read and decode an image."""
        return self._decoded[1]

    @functools.cached_property
    def _decoded(self) -> tuple[Pixels, float]:
        return self._decode(self.sampled_rows) if self.decode is None else self.decode()

    def _decode(self, rows: Rows) -> tuple[Pixels, float]:
        with contextlib.ExitStack() as held:
            processes = None
            if self.limits.image_timeout is not None:
                processes = DecodeProcesses(count_cores(), self.spec, self.limits, _BATCH, hashes=False)
                held.callback(processes.close)
            decoder = Decoder(
                self.source,
                self.spec,
                max_pixels=self.limits.max_pixels,
                processes=processes,
                computed=Computed(hashes=False),
            )
            batches = list(stream([rows], decoder, batch_size=_BATCH, workers=count_cores()))
        seconds = sum(batch.read_s + batch.decode_s for batch in batches)
        return np.concatenate([batch.pixels for batch in batches]), seconds / len(rows)
