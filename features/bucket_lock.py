"""One writer a table in a bucket: an object that says who, and is written anew as long as the writer lives."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from features.errors import FeatureFileError
from features.files import write_json

_BEAT_S, _STALE_S = 30.0, 120.0
"""How often the object is written anew, and after what time without that its writer is taken for dead."""


@contextlib.contextmanager
def lock_bucket(folder: Path) -> Iterator[None]:
    """Hold a table in a bucket for writing.

    A store has no locks: two that begin within the same second may both be let in by one that does not order
    their writes. What a killed writer holds is free again after two minutes.

    Raises:
        FeatureFileError: Another process holds it, or it can't be written.
    """
    file = folder / ".lock"
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": time.strftime("%Y-%m-%d %H:%M:%S")}
    _check_free(folder, file)
    write_json(file, holder)
    if _read(file) != holder:  # another one came in between
        _check_free(folder, file)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(file, holder, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        file.unlink(missing_ok=True)


def _beat(file: Path, holder: dict[str, Any], ended: threading.Event) -> None:
    while not ended.wait(_BEAT_S):
        with contextlib.suppress(OSError, FeatureFileError):  # the next one may come through
            write_json(file, holder)


def _check_free(folder: Path, file: Path) -> None:
    try:
        age_s = time.time() - file.stat().st_mtime_ns / 1e9
    except FileNotFoundError:
        return
    holder = _read(file)
    if age_s < _STALE_S:
        raise FeatureFileError(
            f"{folder} is being written by process {holder.get('pid')} on {holder.get('host')}, started"
            f" {holder.get('started')}.",
            mend="Wait until it is done, or give another --out; two minutes after a kill it is free.",
        )


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, TypeError, ValueError):
        return {}
