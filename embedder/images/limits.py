"""Limits of decoding: the largest file, the most pixels, and what Pillow is told of them."""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image, ImageFile

MAX_PIXELS = 178_956_970
"""Default limit of pixels; the size at which Pillow warns of a decompression bomb."""

MAX_BYTES = 1 << 30
"""Default limit of file size."""

LIMITED = ("too large", "truncated", "timeout")
"""Reasons of failures that depend on the limits."""

_PILLOW = r"PIL\."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of decoding: what is rejected before it costs memory or gives a wrong vector.

    Attributes:
        max_pixels: Largest width times height, >= 1.
        max_bytes: Largest file, >= 1.
        accept_truncated: Decode a truncated image as far as it goes; the rest is grey or black.
        image_timeout: Most seconds that one image is decoded for, > 0, by processes; None for no limit.
    """

    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES
    accept_truncated: bool = False
    image_timeout: float | None = None

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> "Limits":
        """Load the limits from a request that contains the fields of `to_json`."""
        return cls(**{field.name: request[field.name] for field in dataclasses.fields(cls) if field.name in request})

    def to_json(self) -> dict[str, int | float | bool | None]:
        """Return the limits that are not the default."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Apply the limits to Pillow, whose switches are process-wide, while the block runs.

        Pillow's warnings are suppressed: large images are checked before decoding, and broken metadata leaves the
        pixels as they are.
        """
        before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES = self.accept_truncated
        Image.MAX_IMAGE_PIXELS = max(self.max_pixels, MAX_PIXELS)  # Pillow itself rejects images above twice this
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module=_PILLOW)
                yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


USUAL_LIMITS = Limits()
