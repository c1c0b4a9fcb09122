"""Embedding of uploaded images and of words: one at a time, with a short queue."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from frieze.core import Floats, ImageError, InputError
from frieze.features import BackboneSpec
from frieze.web.background import BackgroundResult

if TYPE_CHECKING:
    from frieze.embedder import Backbone, TextEncoder

MAX_BYTES = 64 << 20
MAX_PIXELS = 100_000_000
_MOST_WAITING = 8

_Result = TypeVar("_Result")


class BusyError(Exception):
    """The queue is full."""


class EmbeddedImage(NamedTuple):
    """An uploaded image.

    Attributes:
        pixels: uint8 [H, W, 3], resized to the backbone's input.
        embedding: float32 [D].
    """

    pixels: np.ndarray
    embedding: Floats


class Inference:
    """One worker thread that embeds uploaded images and words; the first of each loads what embeds it.

    Args:
        spec: Spec of the backbone.
        load: Loads the backbone, or raises InputError.
        load_text_encoder: Loads its text tower, or raises InputError.
    """

    def __init__(
        self, spec: BackboneSpec, load: Callable[[], "Backbone"], load_text_encoder: Callable[[], "TextEncoder"]
    ) -> None:
        self._spec = spec
        self._engine = BackgroundResult(lambda: _engine(load()))
        self._text_encoder = BackgroundResult(load_text_encoder)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="frieze-inference")
        self._queue_slots = threading.BoundedSemaphore(_MOST_WAITING)

    @property
    def state(self) -> str:
        """State of the backbone: `idle`, `working` while it is loaded, `ready` or `failed`."""
        return self._engine.state

    def begin_if_kept(self) -> None:
        """Start loading a backbone whose compiled graph is kept: half a second, where TensorFlow takes five."""
        if self.state == "idle":
            self._worker.submit(self._begin_if_kept)

    def _begin_if_kept(self) -> None:
        import frieze.embedder

        if frieze.embedder.has_graph(self._spec):
            self._engine.begin()

    def embed(self, data: bytes) -> EmbeddedImage:
        """Embed one image file.

        Raises:
            BusyError: The queue is full.
            InputError: It is no image, too large, or the backbone can't be loaded.
        """
        return self._run_queued(lambda: self._embed(data))

    def embed_text(self, query: str) -> tuple[Floats, list[str]]:
        """Embed a query in words, `text:...`: float32 [D], and its prompts whose end is not read.

        Raises:
            BusyError: The queue is full.
            InputError: It has no words to look for, or the backbone has no text tower.
        """
        return self._run_queued(lambda: _embed_text(self._text_encoder.get(), query))

    def close(self) -> None:
        """Stop the worker after its current image, without waiting for a backbone that is still being loaded."""
        self._engine.abandon()
        self._text_encoder.abandon()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _run_queued(self, work: Callable[[], _Result]) -> _Result:
        if not self._queue_slots.acquire(blocking=False):
            raise BusyError
        future: Future[_Result] = self._worker.submit(work)
        future.add_done_callback(lambda _: self._queue_slots.release())
        return future.result()

    def _embed(self, data: bytes) -> EmbeddedImage:
        import frieze.embedder

        engine = self._engine.get()
        try:
            pixels = frieze.embedder.decode_for(data, self._spec, max_pixels=MAX_PIXELS)[0]
        except ImageError as error:
            raise InputError(
                f"This image can't be used ({error.reason}): {error.message}.",
                hint="Give an image file: JPEG, PNG, WebP, TIFF, HEIC or another format of docs/howto.md.",
            ) from error
        return EmbeddedImage(pixels, engine.infer(pixels[None])[0])


def _engine(backbone: "Backbone") -> Any:
    import frieze.embedder

    return frieze.embedder.default_engine(backbone)


def describe_input(spec: BackboneSpec) -> str:
    """Describe how an image is resized to the backbone's input."""
    height, width = spec.image_size
    return f"{spec.fit} to {width} x {height} pixels"


def _embed_text(encoder: "TextEncoder", query: str) -> tuple[Floats, list[str]]:
    return encoder.query_vector(query), encoder.cut_texts(query)
