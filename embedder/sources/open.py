"""Opens a source: decides what a path, a URL or a Python object is, and lists its images."""

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

from frieze.core import ImageError, InputError, counted, is_remote
from frieze.embedder.images.decode import DecodeOptions
from frieze.embedder.images.limits import MAX_BYTES
from frieze.embedder.images.unsupported_formats import count_formats, count_unread
from frieze.embedder.sources.base import File, Source, SourceOptions
from frieze.embedder.sources.boxes.box import BoxFile, check_one_choice
from frieze.embedder.sources.boxes.columns import parse_box_columns
from frieze.embedder.sources.boxes.crop import WHOLE, read_part
from frieze.embedder.sources.boxes.expand import with_boxes
from frieze.embedder.sources.boxes.from_columns import with_column_boxes
from frieze.embedder.sources.boxes.read import read_boxes
from frieze.embedder.sources.boxes.tiles import parse_tiles, with_tiles
from frieze.embedder.sources.bucket import open_remote
from frieze.embedder.sources.entry_points import is_registered, open_registered, read_registered
from frieze.embedder.sources.exclude import ExcludePatterns
from frieze.embedder.sources.files import read_uri, to_path, to_uri
from frieze.embedder.sources.folder import is_image_name, open_files, open_folder
from frieze.embedder.sources.formats import KINDS, file_kind, open_kind
from frieze.embedder.sources.frame_rows import with_frames
from frieze.embedder.sources.frames import FrameRule, match_frame, read_frames, read_pages, split_frame
from frieze.embedder.sources.glob_pattern import GlobPattern
from frieze.embedder.sources.in_memory import NAME, open_in_memory
from frieze.embedder.sources.known_data_sets import hints_on_data_sets
from frieze.embedder.sources.mixed_folders import (
    count_unread_shards,
    find_shards,
    may_hold_shards,
    note_unread_metadata,
    without_sidecars,
)
from frieze.embedder.sources.path_labels import compile_label_pattern, label_from_paths
from frieze.embedder.sources.tables.infer_types import note_labels_like_missing
from frieze.embedder.sources.tables.labels import join_labels, read_labels_of_source
from frieze.embedder.sources.tables.path_list import STDIN, open_stdin
from frieze.embedder.sources.unicode_text import with_normalized_labels
from frieze.embedder.sources.walk import Walk
from frieze.embedder.sources.web.options import FetchOptions, is_web
from frieze.embedder.sources.web.read import fetch_image

LABELS = ("folder", "none")
"""Where labels come from, besides a file: the parent folder's name, or nowhere."""


_PATH_LISTS = ("parquet", "csv", "jsonl", "list", "database")
"""Kinds of files that may refer to images by path."""


_SOURCES = (
    "a folder of images or of shards, one image, a glob, a .tar, .zip, .tfrecord, .parquet, .csv, .jsonl, .txt, .h5 or"
    " .npy file, a database, - for a list of paths on stdin, or s3://BUCKET/PREFIX"
)


_BRACES = re.compile(r"\{[^{}/]*,[^{}/]*\}")
"""Brace expansion, which is the shell's."""


def open_source(source: Any, options: SourceOptions) -> Source:
    """List the candidate images of a source.

    Args:
        source: The source as the user typed or passed it.
        options: How to read it.

    Returns:
        The source, its images in a stable order.

    Raises:
        InputError: The source does not exist or holds no image.
    """
    if options.query is not None and file_kind(str(source)) != "database":
        raise InputError(
            f"{source} is no database, so `query` means nothing there.", hint="Leave `query` out, or give a .db file."
        )
    pattern = None if options.label_from is None else compile_label_pattern(options.label_from)
    if pattern is not None and options.labels != "folder":
        raise InputError(
            f"`label_from` and `labels={options.labels!r}` both say where labels come from.",
            hint="Leave one of the two out.",
        )
    boxes = _read_parts(options)
    if options.labels in LABELS:
        opened = _open(source, options)
        _check_has_columns(opened, {name: getattr(options, name) for name in ("image", "id", "label", "box_columns")})
    else:
        labels = read_labels_of_source(options)  # first: its errors are raised before a million files are listed
        own_labels = "folder" if labels.is_over else options.labels
        opened = _open(source, dataclasses.replace(options, label=None, labels=own_labels))
        _check_has_columns(opened, {"image": options.image, "box_columns": options.box_columns})
        opened = join_labels(opened, labels)
    opened = _without_excluded(opened, options)
    rule = FrameRule.of(options.frames)
    opened = opened if rule is None else _with_frames(opened, source, rule)
    opened = _with_parts(opened, boxes, options)
    if len(opened.listing.images) == 0 and not opened.listing.failures:
        raise _no_images_error(opened, source)
    opened = opened if pattern is None else label_from_paths(opened, pattern)
    images = with_normalized_labels(opened.listing.images)
    listing = dataclasses.replace(opened.listing, images=images)
    return dataclasses.replace(
        opened, listing=listing, notes=(*opened.notes, *note_labels_like_missing(images["label"]))
    )


def _read_parts(options: SourceOptions) -> BoxFile | None:
    """Read the file of boxes, if there is one, and check the other choices of parts before images are listed."""
    check_one_choice(boxes=options.boxes, box_columns=options.box_columns, tiles=options.tiles)
    if options.box_columns is not None:
        parse_box_columns(options.box_columns)
    if options.tiles is not None:
        parse_tiles(options.tiles)
    return None if options.boxes is None else read_boxes(options.boxes)


def _with_parts(source: Source, boxes: BoxFile | None, options: SourceOptions) -> Source:
    """Replace images by the parts of them that are rows."""
    limits = options.limits
    if boxes is not None:
        return with_boxes(source, boxes, limits=limits)
    if options.box_columns is not None:
        has_labels = options.labels in LABELS
        return with_column_boxes(source, options.box_columns, has_labels=has_labels, limits=limits)
    return source if options.tiles is None else with_tiles(source, options.tiles, limits=limits)


def _with_frames(opened: Source, source: Any, rule: FrameRule) -> Source:
    """Make rows of the frames of files in archives and buckets; a folder on disk has listed them so."""
    if opened.has_members:
        return with_frames(opened, rule)
    is_on_disk = isinstance(source, str | Path) and not (is_remote(str(source)) or is_registered(source))
    if not is_on_disk or opened.has_columns or source == STDIN or file_kind(str(source)) is not None:
        raise InputError(
            "`frames` is for folders, globs and files on disk or in a bucket, and for tar and zip archives.",
            hint="Leave `frames` out, or give the folder of the files.",
        )
    return opened


def _without_excluded(source: Source, options: SourceOptions) -> Source:
    """Drop the images that the user excludes and that this kind of source could not skip by itself.

    Patterns are matched against ids, and for lists of paths also against paths below the folder of the list.
    """
    if not options.exclude:
        return source
    listing, excluded = source.listing, ExcludePatterns(options.exclude)
    base = posixpath.dirname(listing.source) + "/" if file_kind(listing.source) in _PATH_LISTS else None

    def is_kept(name: str, uri: str) -> bool:
        below = uri[len(base) :] if base is not None and uri.startswith(base) else None
        return not (excluded.matches(name) or (below is not None and excluded.matches(below)))

    names = (listing.images[column].to_pylist() for column in ("id", "uri"))
    rows = np.flatnonzero([is_kept(*one) for one in zip(*names, strict=True)])
    failures = tuple(one for one in listing.failures if is_kept(one.id, one.uri))
    counts = {pattern: n + listing.excluded.get(pattern, 0) for pattern, n in excluded.counts.items()}
    listing = dataclasses.replace(listing, images=listing.images.take(rows), failures=failures, excluded=counts)
    return dataclasses.replace(source, listing=listing, read=lambda kept: source.read(rows[kept]))


def _no_images_error(opened: Source, source: Any) -> InputError:
    listing = opened.listing
    if opened.has_columns and not listing.n_ignored:
        hint = "Check how it was written: a table has one row an image, below a header."
        return InputError(f"There is no image in {source}: it is empty.", hint=hint)
    formats = ", ".join(f"{n:,} {name}" for name, n in count_formats(listing.ignored).items())
    others = f" These are: {formats}." if formats else ""
    hidden = f" Hidden files and folders that are left out: {listing.n_hidden:,}." if listing.n_hidden else ""
    n_excluded = sum(listing.excluded.values())
    excluded = f" Left out by `exclude`: {n_excluded:,}." if n_excluded else ""
    hints = [f"To have the {name} pictures: {one['hint']}" for name, one in count_unread(listing.ignored, ()).items()]
    arrays = [name for name in listing.ignored if file_kind(f"a{name}") == "stack"]
    hints += [f"Files of arrays are read by their names: {shlex.quote(f'{source}/**/*{name}')}" for name in arrays]
    hints += hints_on_data_sets(str(source))
    formats_read = (
        "SOURCE and all folders below it are searched for image files: JPEG, PNG, GIF, BMP, WebP, AVIF, TIFF and more."
    )
    other_files = counted(listing.n_ignored, "other file was found", "other files were found")
    return InputError(
        f"There is no image in {source}: {other_files}.{others}{hidden}{excluded}",
        hint="\n".join(hints) or formats_read,
    )


def _check_has_columns(source: Source, columns: dict[str, str | None]) -> None:
    for option, name in columns.items():
        if name is not None and not source.has_columns:
            raise InputError(
                f"{source.listing.source} has no columns, so `{option}={name!r}` means nothing there.",
                hint=f"Leave `{option}` out, or give a manifest; labels can come from a file: `labels='FILE'`.",
            )


def _open(source: Any, options: SourceOptions) -> Source:
    if not isinstance(source, str | Path):
        return open_in_memory(source, options)
    if is_registered(source):
        return open_registered(str(source), options)
    return open_stdin(options) if source == STDIN else _open_path(str(source), options)


def is_listed_as(source: Any, name: str) -> bool:
    """Return whether a source is the one with this name in a stored listing, without listing it."""
    if not isinstance(source, str | Path):
        current = NAME
    elif source == STDIN or is_registered(source):
        current = str(source)
    elif is_remote(str(source)):
        current = str(source).rstrip("/")
    else:
        current = to_uri(str(_to_local(str(source))))
    return name in (current, f"{current}/**")  # a folder of shards


def has_columns(source: Any) -> bool:
    """Return whether a source has columns, such as a manifest, by its name and without listing it."""
    return is_registered(source) or (isinstance(source, str | Path) and file_kind(str(source)) not in (None, "list"))


def _open_path(source: str, options: SourceOptions) -> Source:
    if is_remote(source):
        return open_remote(source, options)
    path = _to_local(source)
    if os.path.isdir(path):  # Path.is_dir raises where the folder above is locked
        return _open_folder(path, options)
    if file_kind(source) is not None and os.path.exists(path):
        return open_kind([File(path.name, to_uri(str(path)))], to_uri(str(path)), options)
    if os.path.exists(path):
        return open_folder(path, options)
    if glob.has_magic(source):
        return _open_glob(str(path), options)
    hint = _no_match_hint(str(path)) if _BRACES.search(source) else f"SOURCE is {_SOURCES}: check the path."
    raise InputError(f"There is no {source} in {Path.cwd()}.", hint=hint)


def _to_local(source: str) -> Path:
    if "://" not in source:
        return _normalized(Path(source).absolute())
    if is_web(source):
        how = f"printf '%s\\n' {shlex.quote(source)} | frieze embed - --out OUT"
        raise InputError(
            f"{source} is a URL: images of the web are read from a list or manifest of URLs.",
            hint=f"Write URLs to a .txt file, one a line, or a .csv with a column url. For this one: {how}",
        )
    if not source.startswith("file://"):
        raise InputError(
            f"{source} can't be read: images are read from disk, s3://, gs:// or lists of URLs.",
            hint=f"SOURCE is {_SOURCES}.",
        )
    return _normalized(Path(os.fsdecode(to_path(source))).absolute())


def _normalized(path: Path) -> Path:
    """Resolve `..` where no link is in between: one folder typed in two ways is one source."""
    straight = Path(os.path.normpath(path))
    leads_back = ".." in path.parts and os.path.realpath(straight) == os.path.realpath(path)
    return straight if leads_back else path  # after a link `..` is the parent of its target


def _open_folder(path: Path, options: SourceOptions) -> Source:
    """List a folder of images or, where it has none, of shards."""
    opened = open_folder(path, options)
    if not opened.listing.n_ignored:
        return opened
    walk = Walk(str(path), options, may_hold_shards, hides=lambda *_: True)
    return _with_shards(opened, walk, walk.files(), f"{to_uri(str(path))}/**", options)


def _open_glob(path: str, options: SourceOptions) -> Source:
    """List what a pattern matches: images, or files of one kind that hold many."""
    pattern, name = GlobPattern(path), to_uri(path)
    walk = Walk(pattern.base, options, pattern.enters, hides=pattern.hides)
    matches = sorted(filter(pattern.matches, walk.files()))
    if not matches and not any(failure.hides_rows for failure in walk.failures):
        raise InputError(f"Nothing matches {path}.", hint=_no_match_hint(path))
    files = without_sidecars(matches)
    if files and all(file_kind(file) is not None for file in files):
        return _open_kind(walk, files, name, options)
    opened = open_files(walk, matches, name, options)
    return _with_shards(opened, walk, matches, name, options)


def _no_match_hint(path: str) -> str:
    """Return the hint for a pattern that matches nothing."""
    if _BRACES.search(path):
        shell = re.sub(r"[^\w/{},.*?~+-]", r"\\\g<0>", path)
        return f"Braces are the shell's: let it write the list, printf '%s\\n' {shell} | frieze embed - --out OUT"
    if "[" in path:
        exact = shlex.quote(path.replace("[", "[[]"))
        return f"[...] matches one of its characters; where [ is a part of the name: {exact}"
    return "Check the pattern, and quote it to keep the shell from expanding it."


def _with_shards(opened: Source, walk: Walk, paths: Iterable[str], name: str, options: SourceOptions) -> Source:
    """Add the shards that are not read to a source of images; where there is no image, open the shards instead."""
    others = [path for path in paths if not is_image_name(path)]
    shards, base = find_shards(others), to_uri(walk.base)
    if options.labels in LABELS:
        opened = dataclasses.replace(opened, notes=(*opened.notes, *note_unread_metadata(others)))
    images = opened.listing.images["uri"].to_pylist() if shards else []
    if images:
        return dataclasses.replace(opened, unread_shards=count_unread_shards(base, list(map(to_uri, shards)), images))
    return _open_kind(walk, shards, name, options) if shards else opened


def _open_kind(walk: Walk, paths: Sequence[str], source: str, options: SourceOptions) -> Source:
    """Open files of one kind; failures of the walk may be further files."""
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


def read_image(uri: str, *, max_bytes: int = MAX_BYTES, options: DecodeOptions = WHOLE, sha256: str = "") -> bytes:
    """Read one image by its stored URI, also from inside an archive, or from a public address of the web.

    Of a part of an image these are the pixels, as a PPM file; `options` and its stored sha256 say how it is decoded.

    Raises:
        ImageError: The image can't be read, is none by its signature, or is larger than `max_bytes`, or a part has no
            pixel.
    """
    return read_part(uri, lambda whole: _read_whole(whole, max_bytes), options=options, sha256=sha256)


def _read_whole(uri: str, max_bytes: int) -> bytes:
    """Read a whole image."""
    if is_registered(uri):
        return read_registered(uri)
    if is_web(uri):
        return fetch_image(uri, FetchOptions(max_bytes=max_bytes))
    if split_frame(uri) is not None:
        (content,) = read_frames([uri], max_bytes=max_bytes)
        if isinstance(content, ImageError):
            raise content
        return content
    frame = match_frame(uri)
    try:
        return _read_file(uri, max_bytes)
    except ImageError:
        if frame is None:  # else it may be a frame of a file in an archive or bucket
            raise
    (content,) = read_pages(_read_file(frame[0], max_bytes), [frame[1]])
    if isinstance(content, ImageError):
        raise content
    return content


def _read_file(uri: str, max_bytes: int) -> bytes:
    """Read a file, an object of a bucket or a member of an archive."""
    container, kind = uri, None
    while "/" in container.rstrip("/") and (kind is None or kind.read is None):
        container = container.rpartition("/")[0]
        kind = KINDS.get(str(file_kind(container)))
    if kind is None or kind.read is None or os.path.isdir(to_path(container)):
        return read_uri(uri, max_bytes=max_bytes)
    return kind.read(container, uri[len(container) + 1 :])
