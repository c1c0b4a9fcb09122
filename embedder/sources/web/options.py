"""Which URIs are of the web, and how their images are fetched; nothing here opens a connection."""

import dataclasses

from frieze.embedder.images.limits import MAX_BYTES


def is_web(uri: str) -> bool:
    """Return whether a URI is an http or https URL.

    >>> is_web("https://host/a.jpg"), is_web("HTTP://host/a.jpg"), is_web("s3://bucket/a.jpg")
    (True, True, False)
    """
    return uri[:8].lower().startswith(("http://", "https://"))


@dataclasses.dataclass(frozen=True)
class FetchOptions:
    """How images of the web are fetched.

    Attributes:
        allow_private: Whether addresses that are not public are accepted.
        max_bytes: Size of the largest image.
        keep: Folder where fetched images are kept; None for nowhere.
    """

    allow_private: bool = False
    max_bytes: int = MAX_BYTES
    keep: str | None = None
