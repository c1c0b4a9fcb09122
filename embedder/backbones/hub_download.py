"""TensorFlow Hub handles (tfhub.dev, Kaggle, gs://), downloaded once into the user's cache."""

import contextlib
import shutil
import sys
import urllib.parse
from pathlib import Path

from frieze.core import ModelError, environment, import_tensorflow, import_tensorflow_hub, new_folder
from frieze.embedder.backbones import saved_model
from frieze.embedder.backbones.base import Network
from frieze.embedder.backbones.hub_cache import cache_dir, module_dir
from frieze.embedder.backbones.request import BackboneRequest


def open_remote(request: BackboneRequest) -> Network:
    """Load the SavedModel behind a URL.

    Raises:
        ModelError: The download fails, or the module is no SavedModel, or does more than compute and is not trusted.
    """
    handle = request.handle
    return saved_model.load(
        download(handle), handle=handle, name=module_name(handle), layer=request.layer, trust=request.trust
    )


def download(handle: str) -> Path:
    """Download the module behind a URL into the cache unless it is there, and return its folder.

    Raises:
        ModelError: The download fails.
    """
    return _resolve(handle) if handle.startswith("http") else _copy(handle)


def module_name(handle: str) -> str:
    """Return the name of a module: the path of its URL."""
    return urllib.parse.urlsplit(handle).path.strip("/")


def _resolve(handle: str) -> Path:
    with environment(TFHUB_CACHE_DIR=str(cache_dir())):
        folder = _download(handle)
        # A cleanup may have left half a module.
        if not saved_model.has_model(folder) and folder.is_relative_to(cache_dir()):
            shutil.rmtree(folder, ignore_errors=True)
            folder = _download(handle)
        return folder


def _download(handle: str) -> Path:
    hub = import_tensorflow_hub()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its progress would mix with the results on stdout
            return Path(hub.resolve(handle))
    except Exception as error:
        raise ModelError(
            f"{handle} can't be downloaded: {error}.",
            hint="Check the handle and the connection; or download it elsewhere and pass the unpacked folder: "
            f"curl -L '{handle}?tf-hub-format=compressed' | tar xz -C FOLDER",
        ) from error


def _copy(handle: str) -> Path:
    """Copy a module from a TensorFlow file system (`gs://...`) into the cache."""
    gfile = import_tensorflow().io.gfile
    folder = module_dir(handle)
    if saved_model.has_model(folder):
        return folder
    try:
        with new_folder(folder, replace=True) as staging:
            for path, _, files in gfile.walk(handle, onerror=_raise):
                below = staging / path.removeprefix(handle).strip("/")
                below.mkdir(exist_ok=True)
                for file in files:
                    gfile.copy(f"{path.rstrip('/')}/{file}", str(below / file))
    except import_tensorflow().errors.OpError as error:
        raise ModelError(f"{handle} can't be read: {error}.", hint="Check the handle and your credentials.") from error
    return folder


def _raise(error: Exception) -> None:
    raise error  # by default the walk of a missing folder ends silently
