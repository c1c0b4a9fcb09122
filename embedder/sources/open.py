"""Which source a path, a URL or a Python object is."""

import dataclasses
import glob
import os
import posixpath
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import InputError, counted, is_remote
from frieze.embedder.images.decode import MAX_BYTES
from frieze.embedder.images.unread_pictures import count_formats, count_unread
from frieze.embedder.sources.base import File, Source, SourceOptions
from frieze.embedder.sources.bucket import open_remote
from frieze.embedder.sources.files import read_place, to_path, to_uri
from frieze.embedder.sources.folder import is_image_name, open_files, open_folder
from frieze.embedder.sources.formats import KINDS, kind_of, open_kind
from frieze.embedder.sources.in_memory import NAME, open_objects
from frieze.embedder.sources.left_out import Excluded
from frieze.embedder.sources.mixed_folders import (
    may_hold_shards,
    shards_among,
    unread_metadata,
    unread_shards,
    without_descriptions,
)
from frieze.embedder.sources.spelling import with_plain_labels
from frieze.embedder.sources.tables.labels import join_labels, read_labels_of_source
from frieze.embedder.sources.tables.missing_values import odd_classes
from frieze.embedder.sources.tables.path_list import STDIN, open_stdin
from frieze.embedder.sources.walk import Pattern, Walk

LABELS = ("folder", "none")
"""Where labels come from, besides a file: the parent folder's name, or nowhere."""


_LISTS = ("parquet", "csv", "jsonl", "list")
"""Kinds of files that may name images by their paths."""


_KNOWN = (
    "a folder of images or of shards, one image, a glob, a .tar, .zip, .tfrecord, .parquet, .csv, .jsonl or .txt file,"
    " - for a list of paths on stdin, or s3://BUCKET/PREFIX"
)


_BRACES = re.compile(r"\{[^{}/]*,[^{}/]*\}")
"""Of which a shell makes several words."""


def open_source(source: Any, options: SourceOptions) -> Source:
    """List the candidate images of a source.

    Args:
        source: What the user gave.
        options: How to read it.

    Returns:
        The source, its images in a stable order.

    Raises:
        InputError: There is no such source, or nothing in it is an image.
    """
    if options.labels in LABELS:
        opened = _open(source, options)
        _check_has_columns(opened, {"image": options.image, "id": options.id, "label": options.label})
    else:
        labels = read_labels_of_source(
            options
        )  # first: what is wrong with it is told before a million files are listed
        opened = _open(source, dataclasses.replace(options, label=None))
        _check_has_columns(opened, {"image": options.image})
        opened = join_labels(opened, labels)
    opened = _without_excluded(opened, options)
    if len(opened.listing.images) == 0 and not opened.listing.failures:
        raise _nothing(opened, source)
    images = with_plain_labels(opened.listing.images)
    listing = dataclasses.replace(opened.listing, images=images)
    return dataclasses.replace(opened, listing=listing, notes=(*opened.notes, *odd_classes(images["label"])))


def _without_excluded(source: Source, options: SourceOptions) -> Source:
    """Leave out the images that the user excludes and that the kind of source could not leave out itself.

    They are told by id, and where a list names them also by their path below the list's folder.
    """
    if not options.exclude:
        return source
    listing, excluded = source.listing, Excluded(options.exclude)
    base = posixpath.dirname(listing.source) + "/" if kind_of(listing.source) in _LISTS else None

    def stays(name: str, uri: str) -> bool:
        below = uri[len(base) :] if base is not None and uri.startswith(base) else None
        return not (excluded.has(name) or (below is not None and excluded.has(below)))

    names = (listing.images[column].to_pylist() for column in ("id", "uri"))
    rows = np.flatnonzero([stays(*one) for one in zip(*names, strict=True)])
    failures = tuple(one for one in listing.failures if stays(one.id, one.uri))
    counts = {pattern: n + listing.excluded.get(pattern, 0) for pattern, n in excluded.counts.items()}
    listing = dataclasses.replace(listing, images=listing.images.take(rows), failures=failures, excluded=counts)
    return dataclasses.replace(source, listing=listing, read=lambda asked: source.read(rows[asked]))


def _nothing(opened: Source, source: Any) -> InputError:
    listing = opened.listing
    if opened.has_columns and not listing.n_ignored:
        hint = "Check how it was written: a table has one row an image, below the names of its columns."
        return InputError(f"There is no image in {source}: it is empty.", hint=hint)
    formats = ", ".join(f"{n:,} {name}" for name, n in count_formats(listing.ignored).items())
    others = f" These are: {formats}." if formats else ""
    hidden = f" Hidden files and folders that are left out: {listing.n_hidden:,}." if listing.n_hidden else ""
    n_excluded = sum(listing.excluded.values())
    excluded = f" Left out by --exclude: {n_excluded:,}." if n_excluded else ""
    hints = [f"To have the {name} pictures: {one['hint']}" for name, one in count_unread(listing.ignored, ()).items()]
    known = "SOURCE is looked through with all its folders for JPEG, PNG, GIF, BMP, WebP, AVIF and TIFF files."
    found = counted(listing.n_ignored, "other file was found", "other files were found")
    return InputError(
        f"There is no image in {source}: {found}.{others}{hidden}{excluded}",
        hint="\n".join(hints) or known,
    )


def _check_has_columns(source: Source, asked: dict[str, str | None]) -> None:
    for option, name in asked.items():
        if name is not None and not source.has_columns:
            raise InputError(
                f"{source.listing.source} has no columns, so --{option} {name} means nothing there.",
                hint=f"Leave --{option} out, or give a manifest; labels can come from a file: --labels FILE.",
            )


def _open(source: Any, options: SourceOptions) -> Source:
    if not isinstance(source, str | Path):
        return open_objects(source, options)
    return open_stdin(options) if source == STDIN else _open_place(str(source), options)


def is_listed_as(source: Any, name: str) -> bool:
    """Tell whether a source is the one that a listing named so; nothing is listed."""
    if not isinstance(source, str | Path):
        own = NAME
    elif source == STDIN:
        own = STDIN
    elif is_remote(str(source)):
        own = str(source).rstrip("/")
    else:
        own = to_uri(str(_to_local(str(source))))
    return name in (own, f"{own}/**")  # a folder of shards


def has_columns(source: Any) -> bool:
    """Tell by its name whether a source has columns of its own, such as a manifest's; nothing is listed."""
    return isinstance(source, str | Path) and kind_of(str(source)) not in (None, "list")


def _open_place(source: str, options: SourceOptions) -> Source:
    if is_remote(source):
        return open_remote(source, options)
    path = _to_local(source)
    if os.path.isdir(path):  # Path's own would raise where the folder above is locked
        return _open_folder(path, options)
    if kind_of(source) is not None and os.path.exists(path):
        return open_kind([File(path.name, to_uri(str(path)))], to_uri(str(path)), options)
    if os.path.exists(path):
        return open_folder(path, options)
    if glob.has_magic(source):
        return _open_glob(str(path), options)
    hint = _mend_pattern(str(path)) if _BRACES.search(source) else f"SOURCE is {_KNOWN}: check the path."
    raise InputError(f"There is no {source} in {Path.cwd()}.", hint=hint)


def _to_local(source: str) -> Path:
    if "://" not in source:
        return _without_detours(Path(source).absolute())
    if not source.startswith("file://"):
        raise InputError(
            f"{source} can't be read: images are read from disk, s3:// or gs://.", hint=f"SOURCE is {_KNOWN}."
        )
    return _without_detours(Path(os.fsdecode(to_path(source))).absolute())


def _without_detours(path: Path) -> Path:
    """Leave `..` out where it leads back the way one came: of a place given in two ways one table is made."""
    straight = Path(os.path.normpath(path))
    leads_back = ".." in path.parts and os.path.realpath(straight) == os.path.realpath(path)
    return straight if leads_back else path  # behind a link `..` is the folder above what it links to


def _open_folder(path: Path, options: SourceOptions) -> Source:
    """List a folder of images or, where it has none, of shards."""
    opened = open_folder(path, options)
    if not opened.listing.n_ignored:
        return opened
    walk = Walk(str(path), options, may_hold_shards, hides=lambda *_: True)
    return _with_shards(opened, walk, walk.files(), f"{to_uri(str(path))}/**", options)


def _open_glob(place: str, options: SourceOptions) -> Source:
    """List what a pattern matches: images, or files of one kind that hold many."""
    pattern, name = Pattern(place), to_uri(place)
    walk = Walk(pattern.base, options, pattern.leads, hides=pattern.hides)
    found = sorted(filter(pattern.matches, walk.files()))
    if not found and not any(failure.hides_rows for failure in walk.failures):
        raise InputError(f"Nothing matches {place}.", hint=_mend_pattern(place))
    files = without_descriptions(found)
    if files and all(kind_of(path) is not None for path in files):
        return _open_kind(walk, files, name, options)
    opened = open_files(walk, found, name, options)
    return _with_shards(opened, walk, found, name, options)


def _mend_pattern(place: str) -> str:
    """Say what to type where a pattern matches nothing, and what it may have been meant as."""
    if _BRACES.search(place):
        shell = re.sub(r"[^\w/{},.*?~+-]", r"\\\g<0>", place)
        return f"Braces are the shell's own: let it write the list, printf '%s\\n' {shell} | frieze embed - --out OUT"
    if "[" in place:
        exact = shlex.quote(place.replace("[", "[[]"))
        return f"[...] stands for one sign of those in it; where [ is a part of the name: {exact}"
    return "Check the pattern; quote it, so that the shell leaves it."


def _with_shards(opened: Source, walk: Walk, paths: Iterable[str], name: str, options: SourceOptions) -> Source:
    """Give a source's images and say which shards lie among them or, where there is no image, give the shards'."""
    others = [path for path in paths if not is_image_name(path)]
    shards, base = shards_among(others), to_uri(walk.base)
    if options.labels in LABELS:
        opened = dataclasses.replace(opened, notes=(*opened.notes, *unread_metadata(others)))
    images = opened.listing.images["uri"].to_pylist() if shards else []
    if images:
        return dataclasses.replace(opened, unread_shards=unread_shards(base, list(map(to_uri, shards)), images))
    return _open_kind(walk, shards, name, options) if shards else opened


def _open_kind(walk: Walk, paths: Sequence[str], source: str, options: SourceOptions) -> Source:
    """List what some files hold; what the walk could not look at may be more of them."""
    files = [File(os.path.relpath(path, walk.base or "/"), to_uri(path)) for path in paths]
    opened = open_kind(files, source, options)
    inside = opened.listing
    listing = dataclasses.replace(
        inside,
        failures=(*walk.failures, *inside.failures),
        empty=tuple(walk.empty),
        n_hidden=walk.n_hidden + inside.n_hidden,
        excluded={name: n + inside.excluded.get(name, 0) for name, n in walk.excluded.counts.items()},
    )
    return dataclasses.replace(opened, listing=listing, notes=(*opened.notes, *walk.notes()))


def read_image(uri: str, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Read one image by the uri under which it is stored, also from within an archive.

    Raises:
        ImageError: It can't be read, is no image by its first bytes, or is larger than `max_bytes`.
    """
    place, kind = uri, None
    while "/" in place.rstrip("/") and (kind is None or kind.read is None):
        place = place.rpartition("/")[0]
        kind = KINDS.get(str(kind_of(place)))
    if kind is None or kind.read is None or os.path.isdir(to_path(place)):
        return read_place(uri, max_bytes=max_bytes)
    return kind.read(place, uri[len(place) + 1 :])
