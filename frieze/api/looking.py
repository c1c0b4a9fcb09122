"""`frieze.look`: a folder of pictures, embedded, indexed and opened in the browser."""

import hashlib
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs

from frieze import terminal
from frieze.api.folder_kinds import ARTICLES, folder_kind
from frieze.api.paths import to_local_path
from frieze.api.searching import index
from frieze.api.serving import check_libraries, serve_at
from frieze.api.tables import embed
from frieze.core import InputError, counted


class Collection(NamedTuple):
    """What `look` makes of a folder of pictures.

    Attributes:
        index_path: The index's folder.
        embedded: The document of `embed`.
        indexed: The document of `index`.
    """

    index_path: Path
    embedded: dict[str, Any]
    indexed: dict[str, Any]


def look(folder: str | Path, *, port: int | None = None, browser: bool = True) -> None:
    """Embed and index the pictures of a folder, and open the page of `serve`, until Ctrl-C.

    The table and the index of `photos` are `photos.features` and `photos.index` beside it, or in the user's cache where
    nothing can be written there; the next call brings them up to date.

    Args:
        folder: A folder of pictures.
        port: Port to listen on; by default 8501, or any free one where that is in use.
        browser: Open the address in the browser.

    Raises:
        InputError: It is no folder, has no pictures, or the page can't be served; the hint says what to change.
    """
    open_page(update(folder), port=port, browser=browser)


def update(folder: str | Path) -> Collection:
    """Embed and index the new pictures of a folder.

    Raises:
        InputError: It is no folder, or has no pictures that can be used.
    """
    check_libraries()
    pictures = _to_folder(folder)
    stem = _find_place(pictures)
    features, index_folder = (stem.with_name(f"{stem.name}.{kind}") for kind in ("features", "index"))
    embedded = embed(pictures, out=features)
    if not embedded["rows"]:
        failed = f": {counted(embedded['failed'], 'image')} can't be used, see {features}/failures.parquet"
        raise InputError(
            f"{pictures} has no pictures{failed if embedded['failed'] else ''}.", hint="Name a folder with pictures."
        )
    return Collection(index_folder, embedded, index(features, out=index_folder))


def _to_folder(folder: str | Path) -> Path:
    """Return the folder's path.

    Raises:
        InputError: It is none, or one that Frieze wrote.
    """
    path = to_local_path(folder)
    if not path.is_dir():
        raise InputError(
            f"{folder} is {'no folder' if path.exists() else 'not there'}.",
            hint="Name a folder of pictures; of other sources type: frieze embed SOURCE --out FEATURES",
        )
    if kind := folder_kind(path):
        raise InputError(
            f"{folder} is no folder of pictures: it is {ARTICLES[kind]}.",
            hint="Name the folder of the pictures; to open the page of an index type: frieze serve INDEX",
        )
    return Path(os.path.normpath(path))  # `photos/..` too has a name and a folder above


def _find_place(pictures: Path) -> Path:
    """Return where the table and the index are, without their suffix: beside the folder, or in the user's cache."""
    beside = pictures.parent / pictures.name
    is_there = all(os.access(f"{beside}.{kind}", os.W_OK) for kind in ("features", "index"))
    if pictures.name and (os.access(pictures.parent, os.W_OK) or is_there):
        return beside
    number = hashlib.sha256(os.fsencode(pictures)).hexdigest()[:12]
    place = platformdirs.user_cache_path("frieze") / "look" / number / (pictures.name or "pictures")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Neither {pictures.parent} nor {place.parent} can be written: {error.strerror}.",
            hint=f"Type: frieze embed {pictures} --out FEATURES",
        ) from error
    terminal.NOTES.warning("%s can't be written: the table and the index are in %s.", pictures.parent, place.parent)
    return place


def open_page(collection: Collection, *, port: int | None, browser: bool) -> None:
    """Serve the page of a collection, and open it in the browser, until Ctrl-C.

    Raises:
        InputError: The port is in use.
    """
    serve_at(collection.index_path, port=port, opened=_open_browser if browser else None)


def _open_browser(address: str) -> None:
    """Open an address where there is a desktop: in a terminal alone a browser of text would take it over."""
    if sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        webbrowser.open(address)
