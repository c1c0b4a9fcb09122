"""The contract of all sources: a `Source` is a listing of images and a way to read the bytes of each."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from frieze.core import OUT_OF_MEMORY, ImageError, InputError, Rows, TablePath
from frieze.embedder.images.decode import DecodeOptions, converts_profiles, least_draft_px
from frieze.embedder.images.limits import MAX_BYTES, USUAL_LIMITS, Limits
from frieze.embedder.images.sample_range import split_decoding
from frieze.embedder.images.unsupported_formats import count_formats, count_unread
from frieze.features import BackboneSpec, Failure


@dataclasses.dataclass(frozen=True)
class Listing:
    """All candidate images of a source, in its stable order.

    Attributes:
        source: The source, as an absolute path or URL.
        images: A table with the columns of `LISTING`.
        failures: Images and folders that can't be listed.
        n_ignored: Number of files that are no images, by name and content.
        ignored: Format -> number of ignored files, pictures of unsupported formats included.
        n_hidden: Number of hidden files and folders, and of system folders such as thumbnail caches.
        excluded: Pattern of `--exclude` -> number of files and folders it matches.
        empty: Empty folders, each as a failure: it counts where a stored table has rows of that folder.
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
"""An image's bytes, or the reason why it can't be read."""


def read_error(error: OSError | MemoryError | pa.ArrowException) -> ImageError:
    """Return the failure of an image that a later run may be able to read."""
    if isinstance(error, MemoryError):
        return ImageError("read", OUT_OF_MEMORY, str(error) or "there was no memory for the file")
    return ImageError("read", "unreadable", getattr(error, "strerror", None) or str(error))


def _no_images() -> int:
    """Read nothing ahead."""
    return 0


def _no_requests() -> None:
    """Give up nothing."""


def _no_progress(n_listed: int) -> None:
    """Report nothing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Options of a source.

    Attributes:
        labels: `folder` (the parent folder is the label), `none`, or a file of labels.
        image: Column or key of an image's path or bytes; None looks for a common name.
        id: Column or key of the ids, also in a file of labels; None looks for `id`, else the id is the image's path.
        label: Column or key of the labels, in the file of labels if there is one; None looks for a common name.
        label_from: A regular expression: its first match in an image's id gives the label; None for `labels`.
        query: The query that chooses the images of a database.
        boxes: File or folder of boxes, each of which is a row in place of its image; None for whole images.
        box_columns: Four columns of a table, in which each row has its box: `x,y,width,height`; None for whole images.
        tiles: The tiles of each image, each of which is a row: `ROWSxCOLUMNS[+OVERLAP%]`; None for whole images.
        frames: Which frames of files with several are rows: `first`, `all`, a number, or seconds of a video as `2s`.
        max_bytes: Size of the largest file that is read.
        limits: Which images are refused where they are decoded to list them, or to cut parts from them.
        skip: Folders that are skipped: the output of the run may lie inside the source.
        exclude: Patterns of excluded paths, as in `frieze embed --exclude`.
        allow_private: Whether images of the web may be at addresses that are not public.
        keep: Folder where images of the web are kept; None for nowhere.
        on_progress: Called now and then with the number of images listed so far.
    """

    labels: str = "folder"
    image: str | None = None
    id: str | None = None
    label: str | None = None
    label_from: str | None = None
    query: str | None = None
    boxes: str | None = None
    box_columns: str | None = None
    tiles: str | None = None
    frames: str = "first"
    max_bytes: int = MAX_BYTES
    limits: Limits = USUAL_LIMITS
    skip: tuple[TablePath, ...] = ()
    exclude: tuple[str, ...] = ()
    allow_private: bool = False
    keep: str | None = None
    on_progress: Callable[[int], None] = _no_progress

    def folder_label(self, name: str) -> str | None:
        """Return an image's label by its folder: the last folder of its path; None at the root or for other labels.

        >>> SourceOptions().folder_label("2020/cat/1.jpg"), SourceOptions(labels="none").folder_label("cat/1.jpg")
        ('cat', None)
        """
        return name.rpartition("/")[0].rstrip("/").rpartition("/")[2] or None if self.labels == "folder" else None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"on_progress": _no_progress}  # a bar on this terminal is of no use in another process

    def to_json(self) -> dict[str, Any]:
        """Return the options that decide which images and labels are listed, as stored with a table."""
        names = ("image", "id", "label", "label_from", "query", "boxes", "box_columns", "tiles")
        columns = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        columns |= {"frames": self.frames} if self.frames != "first" else {}
        return {"labels": self.labels} | columns | ({"exclude": list(self.exclude)} if self.exclude else {})


@dataclasses.dataclass(frozen=True)
class File:
    """One file that holds many images: an archive or a manifest.

    Attributes:
        name: Its path below the source, with which the ids of its images begin.
        uri: Its absolute path or URL.
    """

    name: str
    uri: str


@dataclasses.dataclass(frozen=True)
class Source:
    """A listed source.

    Attributes:
        listing: Its images, in a stable order.
        read: Takes rows of the listing, int64 [n], ascending, and yields the content of each in that order. It never
            raises for a single image, and may be lazy.
        in_order: Whether `read` is fast only for one caller and ascending rows, as in an archive that is read from its
            beginning. Otherwise threads may call it in parallel.
        has_columns: Whether its images have columns or keys that `SourceOptions` can name.
        has_members: Whether its images are files with names, in an archive or a bucket, some of which may hold several
            pictures.
        unread_shards: Glob -> number of shards in a folder of images that are not read.
        n_unmatched: Number of rows of the file of labels that match no image; None without such a file.
        notes: Sentences about input that is interpreted in a way the user may not expect.
        unpaired: Number of members of archives that describe a missing image.
        n_repeated_keys: Number of keys of archives that occur in more than one sample.
        read_ahead: Returns how many images to request before they are decoded, where a single one may be slow.
        cancel: Gives up what `read` is waiting for.
        read_as: Of a source of parts of images: returns `read` for a way of decoding, since parts are cut from pixels.
    """

    listing: Listing
    read: Callable[[Rows], Iterable[Content]]
    in_order: bool = False
    has_columns: bool = False
    has_members: bool = False
    unread_shards: dict[str, int] = dataclasses.field(default_factory=dict)
    n_unmatched: int | None = None
    notes: tuple[str, ...] = ()
    unpaired: int = 0
    n_repeated_keys: int = 0
    read_ahead: Callable[[], int] = _no_images
    cancel: Callable[[], None] = _no_requests
    read_as: Callable[[DecodeOptions], Callable[[Rows], Iterable[Content]]] | None = None

    def for_backbones(self, specs: Sequence[BackboneSpec], *, max_pixels: int) -> "Source":
        """Return the source whose `read` suits some backbones: parts of images are decoded as whole images are.

        Args:
            specs: Image size and version of decoding of each.
            max_pixels: Largest width times height accepted.

        Raises:
            InputError: The images are parts, and two backbones decode their images differently.
        """
        if self.read_as is None:
            return self
        if len({(split_decoding(one.decoding)[1], converts_profiles(one.decoding)) for one in specs}) > 1:
            raise InputError(
                "Rows are parts of images, and the tables decode images in different ways.",
                hint="Update each table by itself, or embed all anew with `force=True`.",
            )
        least_px = max(least_draft_px(one.decoding, side_px=max(one.image_size)) for one in specs)
        options = DecodeOptions(least_px // 2, max_pixels, specs[0].decoding)
        return dataclasses.replace(self, read=self.read_as(options))

    def to_json(self, failed: pa.Table) -> dict[str, Any]:
        """Return the fields of a run's JSON document that describe the source.

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
