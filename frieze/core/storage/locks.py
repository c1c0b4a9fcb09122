"""One writer a folder: a file lock on disk, an object that is renewed in a bucket."""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frieze.core.errors import FeatureFileError
from frieze.core.storage.atomic_files import translate_io_errors, write_json
from frieze.core.storage.bucket_path import BucketPath, TablePath
from frieze.core.storage.leftovers import lock_with_retries

_TRIES = 3  # `is_being_written` may have it for a moment


@contextlib.contextmanager
def lock(folder: TablePath) -> Iterator[None]:
    """Hold a folder for writing; the operating system lets go when the process ends, however it ends.

    Raises:
        FeatureFileError: Another process holds it (the message names it), or it can't be written.
    """
    if isinstance(folder, BucketPath):
        with lock_bucket(folder):
            yield
        return
    with translate_io_errors(folder):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW  # the file behind a link would be emptied
        file = os.open(folder / ".lock", flags, 0o666)
    try:
        try:
            lock_with_retries(file, fcntl.LOCK_EX, tries=_TRIES)
        except BlockingIOError as error:
            raise FeatureFileError(
                f"{folder} is being written by {_holder(folder)}.",
                hint="Wait until it is done, or give another --out.",
            ) from error
        with translate_io_errors(folder):  # the first byte that a full disk refuses may be one of these
            os.ftruncate(file, 0)
            os.write(file, json.dumps({"pid": os.getpid(), "started": time.strftime("%Y-%m-%d %H:%M:%S")}).encode())
        yield
    finally:
        os.close(file)


def is_being_written(folder: TablePath) -> bool:
    """Tell whether a process holds a folder for writing."""
    if isinstance(folder, BucketPath):
        return is_bucket_locked(folder)
    try:
        with (folder / ".lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # nobody has ever written here, or the file system has no locks
        return False
    return False


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / ".lock").read_text(encoding="utf-8"))
    except ValueError:
        return "another process"
    return f"process {holder['pid']}, started {holder['started']}"


_BEAT_S, _STALE_S = 30.0, 120.0
"""How often the object is written anew, and after what time without that its writer is taken for dead."""


_DOUBT_S = 1.0
"""How long is waited for another one that found the table free at the same moment."""


_UNREADABLE: dict[str, Any] = {}


@contextlib.contextmanager
def lock_bucket(folder: BucketPath) -> Iterator[None]:
    """Hold a table in a bucket for writing.

    A store has no locks: of two that begin within a second, the one that wrote last is let in. What a killed writer
    holds is free again after two minutes.

    Raises:
        FeatureFileError: Another process holds it, or it can't be written; at the end: another one came in between.
    """
    file = folder / ".lock"
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": time.strftime("%Y-%m-%d %H:%M:%S")}
    _check_free(folder, file)
    write_json(file, holder)
    try:
        time.sleep(_DOUBT_S)
        if _read(file) not in (holder, _UNREADABLE):
            _check_free(folder, file)
        with _beating(file, holder):
            yield
    finally:
        found = _read(file)
        if found == holder:
            file.unlink(missing_ok=True)
    if found not in (holder, _UNREADABLE):
        raise FeatureFileError(
            f"Another process began to write to {folder}, for this one had not been heard of for two minutes.",
            hint="Wait until it is done, and type the same command again; frieze verify tells whether all is well.",
        )


@contextlib.contextmanager
def _beating(file: BucketPath, holder: dict[str, Any]) -> Iterator[None]:
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(file, holder, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()


def _beat(file: BucketPath, holder: dict[str, Any], ended: threading.Event) -> None:
    """Say now and then that we live, unless another one has taken our place."""
    while not ended.wait(_BEAT_S) and _read(file) in (holder, _UNREADABLE):
        with contextlib.suppress(OSError, FeatureFileError):  # the next one may come through
            write_json(file, holder)


def is_bucket_locked(folder: BucketPath) -> bool:
    """Tell whether a process holds a table in a bucket; by our own clock, for a reader may not be allowed to write."""
    try:
        return time.time() - (folder / ".lock").stat().st_mtime_ns / 1e9 < _STALE_S
    except FileNotFoundError:
        return False


def _check_free(folder: BucketPath, file: BucketPath) -> None:
    try:
        written = file.stat().st_mtime_ns / 1e9
    except FileNotFoundError:
        return
    holder = _read(file) or {}
    if _now(folder) - written < _STALE_S:
        raise FeatureFileError(
            f"{folder} is being written by process {holder.get('pid')} on {holder.get('host')}, started"
            f" {holder.get('started')}.",
            hint="Wait until it is done, or give another --out; two minutes after a kill it is free.",
        )


def _now(folder: BucketPath) -> float:
    """Give the store's own time, seconds since 1970: our clock may be another."""
    probe = (
        folder / f".features.json.{os.getpid()}.tmp"
    )  # named as what a killed write leaves, which the next one clears
    write_json(probe, {})
    try:
        return probe.stat().st_mtime_ns / 1e9
    finally:
        probe.unlink(missing_ok=True)


def _read(file: BucketPath) -> dict[str, Any] | None:
    """Give what the lock says; None where it is gone."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError):
        return _UNREADABLE
