"""Handles of tfhub.dev and its successors, fetched once into a cache of the user's own."""

import contextlib
import hashlib
import os
import shutil
import sys
import urllib.parse
from pathlib import Path

from frieze.core import ModelError, environment, import_tensorflow, import_tensorflow_hub, new_folder
from frieze.embedder.backbones import saved_model
from frieze.embedder.backbones.request import BackboneRequest, Network


def open_remote(request: BackboneRequest) -> Network:
    """Load the SavedModel behind a URL.

    Raises:
        ModelError: It can't be fetched, or what came is no SavedModel or does more than compute and is not trusted.
    """
    handle = request.handle
    return saved_model.load(
        fetch(handle), handle=handle, name=name_of(handle), layer=request.layer, trust=request.trust
    )


def fetch(handle: str) -> Path:
    """Bring the module behind a URL into the cache, where it is not yet there; gives its folder.

    Raises:
        ModelError: It can't be fetched.
    """
    return _resolve(handle) if handle.startswith("http") else _copy(handle)


def name_of(handle: str) -> str:
    """Name a module by its URL's path."""
    return urllib.parse.urlsplit(handle).path.strip("/")


def cache_dir() -> Path:
    """Give the folder of fetched modules: `TFHUB_CACHE_DIR`, or one below the user's cache.

    The hub's own default lies in the temporary folder, whose cleaning leaves broken modules (tensorflow/hub#896).
    """
    stated = os.environ.get("TFHUB_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(stated) if stated else Path(base) / "frieze" / "hub"


def _resolve(handle: str) -> Path:
    with environment(TFHUB_CACHE_DIR=str(cache_dir())):
        folder = _download(handle)
        # Half a module may be left by whatever cleaned here.
        if not saved_model.has_model(folder) and folder.is_relative_to(cache_dir()):
            shutil.rmtree(folder, ignore_errors=True)
            folder = _download(handle)
        return folder


def _download(handle: str) -> Path:
    hub = import_tensorflow_hub()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its progress would stand between our results
            return Path(hub.resolve(handle))
    except Exception as error:
        raise ModelError(
            f"{handle} can't be fetched: {error}.",
            hint="Check the handle and the connection; or fetch it elsewhere and give the unpacked folder: "
            f"curl -L '{handle}?tf-hub-format=compressed' | tar xz -C FOLDER",
        ) from error


def _copy(handle: str) -> Path:
    """Copy a module from a file system of TensorFlow's (`gs://...`) into the cache."""
    gfile = import_tensorflow().io.gfile
    folder = cache_dir() / hashlib.sha256(handle.encode()).hexdigest()
    if saved_model.has_model(folder):
        return folder
    try:
        with new_folder(folder, replace=True) as staging:
            for path, _, files in gfile.walk(handle, onerror=_give_up):
                below = staging / path.removeprefix(handle).strip("/")
                below.mkdir(exist_ok=True)
                for file in files:
                    gfile.copy(f"{path.rstrip('/')}/{file}", str(below / file))
    except import_tensorflow().errors.OpError as error:
        raise ModelError(f"{handle} can't be read: {error}.", hint="Check the handle and your credentials.") from error
    return folder


def _give_up(error: Exception) -> None:
    raise error  # left alone, the walk through what is not there would end without a word
