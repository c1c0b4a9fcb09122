"""Where images come from: one file a kind, each giving a `features.Listing`."""

from collections.abc import Sequence
from pathlib import Path

from embedder.sources.folder import list_folder, to_path
from features import InputError, Listing

LABELS = ("folder", "none")
"""Where labels come from: the parent folder's name, or nowhere."""

__all__ = ["LABELS", "list_source", "to_path"]


def list_source(source: str, *, labels: str = "folder", skip: Sequence[Path] = ()) -> Listing:
    """List the candidate images of a source.

    Args:
        source: A folder, or one image file.
        labels: One of `LABELS`.
        skip: Folders that are not looked into: the run's own output may lie inside the source.

    Returns:
        The listing, in a stable order.

    Raises:
        InputError: There is no such source, or nothing in it is an image.
    """
    path = Path(source).absolute()
    if not path.exists():
        raise InputError(f"There is no {source}.", mend="SOURCE is a folder of images, or one image: check the path.")
    listing = list_folder(path, has_labels=labels == "folder", skip=skip)
    if len(listing.images) == 0 and not listing.failures:
        raise InputError(
            f"There is no image in {source}: {listing.n_ignored} other files were found.",
            mend="SOURCE is looked through with all its folders for JPEG, PNG, GIF, BMP, WebP and TIFF files.",
        )
    return listing
