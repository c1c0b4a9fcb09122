"""What `frieze duplicates` needs to compare images on their pixels: small pictures, and where decisions are kept."""

import contextlib
import functools
import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import platformdirs

from frieze import terminal
from frieze.core import ImageError, InputError, SqliteCache, counted
from frieze.reports.thumbnails import draw
from frieze.web.thumbnails import THUMBNAIL_PX, Thumbnails, cache_file

if TYPE_CHECKING:
    from frieze.indexing import Index, PairProcesses, ReadPicture

_LIMIT_BYTES = 256 << 20
_N_TOGETHER = 32  # thumbnails that are stored at once: each time takes as long as drawing a small one
_MAY_HAVE_SEVERAL = (".gif", ".tif", ".tiff", ".webp", ".png", ".apng", ".avif")
NO_HASHES = (
    "The table has no perceptual hashes (it was imported, or made by an earlier version), so copies that are turned,"
    " framed or recoloured may be missed: embed the images into a new table."
)
_UNREADABLE = (
    "image could not be read, has changed or has several frames or pages, and is no copy of any other.",
    "images could not be read, have changed or have several frames or pages, and are no copies of any other.",
)


def _no_progress(_done: int, _all: int) -> None:
    pass


def can_compare() -> bool:
    """Tell whether OpenCV is installed, which compares pictures."""
    return importlib.util.find_spec("cv2") is not None


@contextlib.contextmanager
def picture_reader(decoding: str = "") -> Iterator["ReadPicture"]:
    """Give a function that reads images in small; thumbnails are kept for the next time, and for the page.

    Args:
        decoding: As of `draw`.
    """
    thumbnails = _open_thumbnails()

    def read(uri: str, version: str, side_px: int) -> Any:
        with contextlib.suppress(ImageError):
            if uri.lower().endswith(_MAY_HAVE_SEVERAL) and _has_several(uri):
                return None  # only the first picture would be compared
            if thumbnails is not None and side_px == THUMBNAIL_PX:
                return _to_pixels(thumbnails.get(uri, version, decoding=decoding))
            return _to_pixels(draw(uri, side_px, sha256=version, decoding=decoding))
        return None

    try:
        yield read
    finally:
        if thumbnails is not None:
            thumbnails.close()


@contextlib.contextmanager
def kept_decisions() -> Iterator[SqliteCache | None]:
    """Give the cache of what was decided on pairs of images; None where the cache folder is not writable."""
    try:
        cache = SqliteCache(
            platformdirs.user_cache_path("frieze") / "copies.sqlite", limit_bytes=_LIMIT_BYTES, what="Decisions"
        )
    except InputError:
        yield None
        return
    try:
        yield cache
    finally:
        cache.close()


@contextlib.contextmanager
def comparison_progress() -> Iterator[tuple[terminal.ProgressStep, terminal.ProgressStep]]:
    """Show how far a search for copies is: images searched, then pairs compared."""
    with terminal.progress("Searching", "images") as search, terminal.progress("Comparing", "pairs") as compare:
        yield search, compare


@contextlib.contextmanager
def comparison_tools(decoding: str) -> Iterator[tuple["ReadPicture", SqliteCache | None, "PairProcesses"]]:
    """Give what reads images in small, the cache of decisions, and the processes that compare many pairs.

    Args:
        decoding: As of `draw`.
    """
    from frieze.indexing import PairProcesses

    open_reader = functools.partial(picture_reader, decoding)
    processes = contextlib.closing(PairProcesses(open_reader))
    with open_reader() as read, kept_decisions() as decisions, processes as started:
        yield read, decisions, started


def find_copies(
    index: "Index",
    *,
    min_score: float | None = None,
    keep: str = "best",
    progress: tuple[terminal.ProgressStep, terminal.ProgressStep] = (_no_progress, _no_progress),
) -> dict[str, Any]:
    """Find the duplicates of an index, compared on their pixels where OpenCV is installed.

    Args:
        index: An opened index.
        min_score: Lowest score of a pair that looks alike; None for one computed from the collection.
        keep: Which image of a group to keep: `best`, `oldest`, `largest`, or a pattern of paths.
        progress: Called with images searched and all, and with pairs compared and all.

    Returns:
        The document of `frieze duplicates`, but for `index` and `stale`.

    Raises:
        InputError: The request can't be met.
    """
    from frieze.indexing import find_duplicates

    with comparison_tools(index.spec.decoding) as (read, decisions, processes):
        document = find_duplicates(
            index,
            min_score=min_score,
            keep=keep,
            read=read if can_compare() else None,
            decisions=decisions,
            processes=processes,
            progress=progress,
        )
    has_hashes = document.pop("has_hashes")
    return document | {"notes": list(_notes(document, has_hashes=has_hashes))}


def _notes(document: dict[str, Any], *, has_hashes: bool) -> Iterator[str]:
    if not can_compare():
        yield (
            "Images were not compared on their pixels, so only equal files are duplicates: "
            "pip install 'frieze[duplicates]'"
        )
    elif not has_hashes:
        yield NO_HASHES
    if document["n_unreadable"]:
        yield counted(document["n_unreadable"], *_UNREADABLE)


def _open_thumbnails() -> Thumbnails | None:
    try:
        return Thumbnails(cache_file(), n_together=_N_TOGETHER)
    except InputError:  # the cache folder is not writable
        return None


def _has_several(uri: str) -> bool:
    from frieze.embedder import has_several, read_image

    try:
        return has_several(read_image(uri))
    except OSError:  # gone; `draw` says so where it is read
        return False


def _to_pixels(jpeg: bytes) -> Any:
    import simplejpeg

    return simplejpeg.decode_jpeg(jpeg, strict=False)  # what others only warn of has been embedded
