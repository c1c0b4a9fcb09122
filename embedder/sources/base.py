"""What every kind of source gives: a listing, and the way to the bytes of each image in it."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from frieze.core import OUT_OF_MEMORY, ImageError, Rows, TablePath
from frieze.embedder.images.decode import MAX_BYTES
from frieze.embedder.images.unread_pictures import count_formats, count_unread
from frieze.features import Failure


@dataclasses.dataclass(frozen=True)
class Listing:
    """All candidate images of a source, in its stable order.

    Attributes:
        source: The source, as an absolute path or URL.
        images: A table with the columns of `LISTING`.
        failures: What could not even be listed.
        n_ignored: Files that are no images and do not claim to be.
        ignored: How many of these there are of which format, pictures of formats that are not read among them.
        n_hidden: Files and folders that are left out by rule: hidden ones, and what systems put beside pictures.
        excluded: How many files and folders each pattern of the user's left out.
        empty: Folders with nothing in them, each as the failure that it is where a table has rows of it.
    """

    source: str
    images: pa.Table
    failures: tuple[Failure, ...] = ()
    n_ignored: int = 0
    ignored: Mapping[str, int] = dataclasses.field(default_factory=dict)
    n_hidden: int = 0
    excluded: Mapping[str, int] = dataclasses.field(default_factory=dict)
    empty: tuple[Failure, ...] = ()


Content = bytes | ImageError
"""An image's bytes, or why there are none."""


def not_read(error: OSError | MemoryError | pa.ArrowException) -> ImageError:
    """Return the failure of an image that may be read another time."""
    if isinstance(error, MemoryError):
        return ImageError("read", OUT_OF_MEMORY, str(error) or "there was no memory for the file")
    return ImageError("read", "unreadable", getattr(error, "strerror", None) or str(error))


def _untold(n_found: int) -> None:
    """Say nothing of how far a listing is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How a source is read.

    Attributes:
        labels: `folder` (where the source's form has folders), `none`, or a file of labels.
        image: Column or key that holds an image's path or bytes; None looks for a usual name.
        id: Column or key that holds the ids, also in a file of labels; None looks for `id`, then names an image by
            where it lies.
        label: Column or key that holds the labels, in a file of labels where there is one; None looks for a usual name.
        max_bytes: Largest file taken.
        skip: Folders that are not looked into: the run's own output may lie inside the source.
        exclude: Patterns of what is left out, as `frieze embed --exclude` takes them.
        listed: Told every now and then how many images were found so far, where there are many.
    """

    labels: str = "folder"
    image: str | None = None
    id: str | None = None
    label: str | None = None
    max_bytes: int = MAX_BYTES
    skip: tuple[TablePath, ...] = ()
    exclude: tuple[str, ...] = ()
    listed: Callable[[int], None] = _untold

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"listed": _untold}  # a bar on this terminal is of no use in another process

    def to_json(self) -> dict[str, Any]:
        """Return what decides which images are found, and what is said of them; columns where they were named."""
        columns = {name: getattr(self, name) for name in ("image", "id", "label") if getattr(self, name) is not None}
        return {"labels": self.labels} | columns | ({"exclude": list(self.exclude)} if self.exclude else {})


@dataclasses.dataclass(frozen=True)
class File:
    """One file that holds many images: an archive or a manifest.

    Attributes:
        name: Its path below the source; the images' ids begin with it.
        place: Its absolute path or URL.
    """

    name: str
    place: str


@dataclasses.dataclass(frozen=True)
class Source:
    """A listed source.

    Attributes:
        listing: What there is, in a stable order.
        read: Takes rows of the listing, int64 [n], ascending, and gives the content of each in that order. It never
            raises for a single image, and may be lazy.
        in_order: Whether `read` is quick only when calls come one at a time and in ascending order, as from an archive
            that is read from its beginning; else many threads may call it at once.
        has_columns: Whether its images have columns or keys that `SourceOptions` can name.
        unread_shards: How many shards lie among a folder's images and are not read, by the glob that would find them.
        n_unmatched: Rows of the file of labels that name no image of it; None where there is no such file.
        notes: In words, what of it was read otherwise than one may think.
        unpaired: Members of archives that describe an image which is not there.
        n_repeated_keys: Keys of archives that stand for more than one sample.
    """

    listing: Listing
    read: Callable[[Rows], Iterable[Content]]
    in_order: bool = False
    has_columns: bool = False
    unread_shards: dict[str, int] = dataclasses.field(default_factory=dict)
    n_unmatched: int | None = None
    notes: tuple[str, ...] = ()
    unpaired: int = 0
    n_repeated_keys: int = 0

    def to_json(self, failed: pa.Table) -> dict[str, Any]:
        """Return what the document of a run says of its source.

        Args:
            failed: The images that can't be used, a table of `FAILURES`.
        """
        listing = self.listing
        return {
            "images": len(listing.images) + len(listing.failures),
            "ignored": listing.n_ignored,
            "ignored_formats": count_formats(listing.ignored),
            "unread_pictures": count_unread(listing.ignored, failed["message"].to_pylist()),
            "hidden": listing.n_hidden,
            "excluded": dict(listing.excluded),
            "unlabelled": listing.images["label"].null_count,
            "unmatched_labels": self.n_unmatched,
            "unread_shards": self.unread_shards,
            "unpaired_members": self.unpaired,
            "repeated_keys": self.n_repeated_keys,
            "notes": list(self.notes),
        }
