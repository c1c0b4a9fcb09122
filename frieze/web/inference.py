"""Images through the backbone: one at a time, with a short queue before it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from frieze.core import Floats, ImageError, InputError
from frieze.features import BackboneSpec
from frieze.web.background import BackgroundResult

if TYPE_CHECKING:
    from frieze.embedder import Backbone

MAX_BYTES = 64 << 20
MAX_PIXELS = 100_000_000
_MOST_WAITING = 8

_Answer = TypeVar("_Answer")


class BusyError(Exception):
    """Too many wait already."""


class Seen(NamedTuple):
    """An image as the backbone sees it.

    Attributes:
        pixels: uint8 [H, W, 3].
        embedding: float32 [D].
    """

    pixels: np.ndarray
    embedding: Floats


class Inference:
    """One worker that decodes and embeds what people drop; the backbone is loaded when the first image comes.

    Args:
        spec: The backbone's.
        load: Loads it, or says why it can't be had.
    """

    def __init__(self, spec: BackboneSpec, load: Callable[[], "Backbone"]) -> None:
        self._spec = spec
        self._engine = BackgroundResult(lambda: _engine(load()))
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="frieze-inference")
        self._places = threading.BoundedSemaphore(_MOST_WAITING)

    @property
    def state(self) -> str:
        """Of the backbone: `idle`, `working` while it is loaded, `ready` or `failed`."""
        return self._engine.state

    def begin(self) -> None:
        """Have the backbone loaded."""
        self._engine.begin()

    def see(self, data: bytes) -> Seen:
        """Embed one image file.

        Raises:
            BusyError: Too many wait.
            InputError: It is no image, too large, or the backbone can't be had.
        """
        return self._in_turn(lambda: self._see(data))

    def close(self) -> None:
        """Let the worker end after what it is at; a backbone that is still being loaded is not waited for."""
        self._engine.abandon()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _in_turn(self, work: Callable[[], _Answer]) -> _Answer:
        if not self._places.acquire(blocking=False):
            raise BusyError
        future: Future[_Answer] = self._worker.submit(work)
        future.add_done_callback(lambda _: self._places.release())
        return future.result()

    def _see(self, data: bytes) -> Seen:
        import frieze.embedder

        engine = self._engine.get()
        try:
            pixels = frieze.embedder.decode_for(data, self._spec, max_pixels=MAX_PIXELS)[0]
        except ImageError as error:
            raise InputError(
                f"This image can't be used ({error.reason}): {error.message}.",
                hint="Give a JPEG, PNG, GIF, BMP, WebP, AVIF or TIFF file.",
            ) from error
        return Seen(pixels, engine.infer(pixels[None])[0])


def _engine(backbone: "Backbone") -> Any:
    import frieze.embedder

    return frieze.embedder.default_engine(backbone)


def what_it_sees(spec: BackboneSpec) -> str:
    """Say how an image meets the backbone."""
    height, width = spec.image_size
    return f"{spec.fit} to {width} x {height} pixels"
