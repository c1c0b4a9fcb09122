"""Images that a table holds as base64 text: they are told, with what to type to have them as bytes."""

import base64
import binascii
import os
import shlex

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError
from frieze.embedder.images.picture_formats import HEAD_BYTES, is_image

_SHORTEST = 80
"""No image is shorter in base64."""
_READ_CSV = "read_csv(sys.argv[1], dtype=str, sep=None, engine='python')"
_READ_JSON = "read_json(sys.argv[1], lines=True, dtype=False, convert_dates=False)"
_READ = {
    ".csv": _READ_CSV,
    ".tsv": _READ_CSV,
    ".jsonl": _READ_JSON,
    ".ndjson": _READ_JSON,
    ".parquet": "read_parquet(sys.argv[1])",
}
"""How pandas reads a table, by the ending of its name."""


def check_are_paths(column: pa.ChunkedArray, place: str, name: str) -> None:
    """Refuse a column of images that holds them as base64 text, also as URLs that begin with `data:`.

    Raises:
        InputError: It does; the message has the command that makes a Parquet file of bytes.
    """
    long = column.filter(pc.greater(pc.utf8_length(column), _SHORTEST))
    if not len(long) or not _is_image(long[0].as_py()):
        return
    stem, ending = os.path.splitext(place)
    program = (
        f"import base64, sys, pandas; t = pandas.{_READ[ending.lower()]};"
        f" t[{name!r}] = [base64.b64decode(x.split(',')[-1]) if isinstance(x, str) else None for x in t[{name!r}]];"
        " t.to_parquet(sys.argv[2])"
    )
    command = shlex.join(["python", "-c", program, place, f"{stem}.bytes.parquet"])
    raise InputError(
        f"The column {name} of {place} holds images as base64 text; images are read from paths, or bytes in Parquet.",
        hint=f"Make a Parquet file of bytes: {command}",
    )


def _is_image(text: str) -> bool:
    """Tell whether a text is an image in base64, by its first bytes."""
    data = text.partition(",")[2] if text.startswith("data:") else text
    signs = "".join(data[: 4 * HEAD_BYTES].split())
    try:
        return is_image(base64.b64decode(signs[: len(signs) // 4 * 4], validate=True)[:HEAD_BYTES])
    except (binascii.Error, ValueError):  # a path
        return False
