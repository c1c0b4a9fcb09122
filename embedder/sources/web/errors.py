"""Failures of images of the web that another try may mend."""

from frieze.core import ImageError


class TemporaryError(ImageError):
    """A failure after which the image is tried again.

    Args:
        reason: As of an `ImageError`.
        message: The details.
        wait_s: Seconds that the server asks to wait.
    """

    def __init__(self, reason: str, message: str, *, wait_s: float = 0.0) -> None:
        super().__init__("read", reason, message)
        self.wait_s = wait_s
