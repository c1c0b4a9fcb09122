"""Cuts parts from images in a process of its own, which the system ends where an image takes too long."""

import os
import signal
import threading
from collections.abc import Sequence
from typing import Any

from frieze.core import OUT_OF_MEMORY, HelperProcess, ImageError
from frieze.embedder.images.decode import DecodeOptions
from frieze.embedder.images.decode_processes import TIMEOUT, ended_after
from frieze.embedder.images.limits import Limits
from frieze.embedder.sources.boxes.box import Corner
from frieze.embedder.sources.boxes.crop import crop_all


class CropProcess:
    """Does as `crop_all` in a process, which is started with the first image and again where it was ended.

    Args:
        limits: Which images are refused; `image_timeout` are the seconds for one image and all its parts.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._helper: HelperProcess | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"_limits": self._limits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_limits"])  # type: ignore[misc]  # another process starts one of its own

    def __del__(self) -> None:
        self.close()

    def crop_all(self, data: bytes, boxes: Sequence[Corner], options: DecodeOptions) -> list[bytes | ImageError]:
        """Return each box as the bytes of a file, or why there is none: all of an image that ends the process fail.

        Args:
            data: The bytes of the image file.
            boxes: Of the upright image.
            options: How to decode it.
        """
        with self._lock:
            try:
                return self._ask(data, boxes, options)
            except ImageError as error:
                self.close()
                return [error.with_traceback(None)] * len(boxes)  # whose frames hold the file's bytes

    def close(self) -> None:
        """End the process."""
        if self._helper is not None:
            self._helper.close()
            self._helper = None

    def _ask(self, data: bytes, boxes: Sequence[Corner], options: DecodeOptions) -> list[bytes | ImageError]:
        if self._helper is None:
            self._helper = HelperProcess(crop_for_other)
        with self._helper.watched(_died):
            self._helper.connection.send((self._limits, data, list(boxes), options))
            contents: list[bytes | ImageError] = self._helper.connection.recv()
        return contents


def _died(exit_code: int | None) -> ImageError:
    if exit_code == -signal.SIGALRM:
        return TIMEOUT
    reason = OUT_OF_MEMORY if exit_code == -signal.SIGKILL else "damaged"
    return ImageError("decode", reason, "the process that cut parts from it was ended")


def crop_for_other() -> None:
    """Cut parts from image after image until the other process closes the connection."""
    connection, _ = HelperProcess.other_end()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        while True:
            limits, data, boxes, options = connection.recv()
            with limits.hold(), ended_after(limits.image_timeout):
                contents = list(crop_all(data, boxes, options))
            connection.send(contents)
    except (EOFError, OSError):
        os._exit(0)
