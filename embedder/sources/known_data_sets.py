"""Files of well-known data sets among which no image was found: what to type to have their images."""

import contextlib
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

_CIFAR_LABELS = {3073: 1, 3074: 2}
"""Bytes of a record of CIFAR-10 and CIFAR-100 -> those of its labels, before 3 x 32 x 32 samples."""
_IDX = "*ubyte*"


def hints_on_data_sets(source: str) -> Iterator[str]:
    """Yield how to read the IDX files (MNIST) of a folder, and the binary files of CIFAR.

    Args:
        source: A folder or file as the user typed it; of any other there is no hint.
    """
    path = Path(source)
    with contextlib.suppress(OSError):  # such as a text that is too long for a path
        yield from _hints(path)


def _hints(path: Path) -> Iterator[str]:
    idx = next((one for one in path.rglob(_IDX) if "images" in one.name), None) if path.is_dir() else None
    if idx is not None:
        pattern = idx.parent / "*images*ubyte*"
        yield f"IDX files, as MNIST's, are read by their names: {shlex.quote(str(pattern))}"
    files = sorted(path.rglob("*.bin")) if path.is_dir() else [path] if path.suffix == ".bin" and path.is_file() else []
    for file in files:
        record = next((size for size in _CIFAR_LABELS if file.stat().st_size % size == 0), None)
        if record is not None and file.stat().st_size:
            yield f"CIFAR's .bin files are read as .npz: {_conversion(file, record)}"
            return


def _conversion(file: Path, record: int) -> str:
    """Return the command that writes a file of CIFAR as arrays."""
    first = _CIFAR_LABELS[record]
    images = f"a[:, {first}:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)"
    program = (
        f'import numpy as np; a = np.fromfile({json.dumps(os.fspath(file))}, "u1").reshape(-1, {record});'
        f" np.savez({json.dumps(os.fspath(file.with_suffix('.npz')))}, images={images}, labels=a[:, {first - 1}])"
    )
    return f"python -c {shlex.quote(program)}"
