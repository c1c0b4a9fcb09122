"""Where downloaded modules lie, so that one is found without TensorFlow."""

import hashlib
import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Return the folder of downloaded modules: `TFHUB_CACHE_DIR`, or one below the user's cache.

    The default of tensorflow_hub is the temporary folder, whose cleanup leaves broken modules (tensorflow/hub#896).
    """
    stated = os.environ.get("TFHUB_CACHE_DIR")
    return Path(stated) if stated else platformdirs.user_cache_path("frieze") / "hub"


def module_dir(handle: str) -> Path:
    """Return the folder of a URL's module, whether or not it is there.

    tensorflow_hub names those of http by SHA-1 (its compressed_module_resolver.py), we those of other file systems by
    SHA-256. Modules that it gets from Kaggle's library lie elsewhere.
    """
    name = hashlib.sha1 if handle.startswith("http") else hashlib.sha256
    return cache_dir() / name(handle.encode()).hexdigest()
