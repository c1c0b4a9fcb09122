"""Images as base64 text in a table: rejected, with the command that converts them to bytes."""

import base64
import binascii
import os
import shlex

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError
from frieze.embedder.images.signatures import HEAD_BYTES, is_image

_SHORTEST = 80
"""Every image is longer in base64."""
_READ_CSV = "read_csv(sys.argv[1], dtype=str, sep=None, engine='python')"
_READ_JSON = "read_json(sys.argv[1], lines=True, dtype=False, convert_dates=False)"
_READ = {
    ".csv": _READ_CSV,
    ".tsv": _READ_CSV,
    ".jsonl": _READ_JSON,
    ".ndjson": _READ_JSON,
    ".parquet": "read_parquet(sys.argv[1])",
}
"""Extension of a table -> how pandas reads it."""


def refuse_base64(column: pa.ChunkedArray, uri: str, name: str) -> None:
    """Reject a column that holds images as base64 text, also as `data:` URLs.

    Raises:
        InputError: It does; the hint is the command that makes a Parquet file of bytes.
    """
    long = column.filter(pc.greater(pc.utf8_length(column), _SHORTEST))
    if not len(long) or not _is_image(long[0].as_py()):
        return
    stem, ending = os.path.splitext(uri)
    program = (
        f"import base64, sys, pandas; t = pandas.{_READ[ending.lower()]};"
        f" t[{name!r}] = [base64.b64decode(x.split(',')[-1]) if isinstance(x, str) else None for x in t[{name!r}]];"
        " t.to_parquet(sys.argv[2])"
    )
    command = shlex.join(["python", "-c", program, uri, f"{stem}.bytes.parquet"])
    raise InputError(
        f"The column {name} of {uri} holds images as base64 text; images are read from paths, or bytes in Parquet.",
        hint=f"Make a Parquet file of bytes: {command}",
    )


def _is_image(text: str) -> bool:
    """Return whether a text is a base64 image, by the signature of its first bytes."""
    data = text.partition(",")[2] if text.startswith("data:") else text
    characters = "".join(data[: 4 * HEAD_BYTES].split())
    try:
        return is_image(base64.b64decode(characters[: len(characters) // 4 * 4], validate=True)[:HEAD_BYTES])
    except (binascii.Error, ValueError):  # a path
        return False
