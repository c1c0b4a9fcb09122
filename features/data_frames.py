"""A table of features (`reader.Features`) as Arrow, pandas, Polars, a PyArrow dataset and the HTML of a notebook."""

import base64
import html
import importlib
import io
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from frieze.core import BucketPath, Floats, InputError, evenly_spaced
from frieze.features.concat import unify_types
from frieze.features.manifest import PARTS
from frieze.features.schema import BOX_PATTERN

_N_THUMBNAILS, _THUMBNAIL_PX = 8, 96
_PART = re.compile(rf"(?P<image>.+)(?P<box>{BOX_PATTERN})", re.DOTALL)
_STYLE = "display:inline-block;margin:2px;text-align:center;font-size:80%"


def to_batches(features: Any) -> pa.RecordBatchReader:
    """Return all columns in batches: those of `rows`, then `embedding`, a fixed-size list of float32."""
    value = pa.field("element", pa.float32(), nullable=False)
    field = pa.field("embedding", pa.list_(value, features.spec.dim), nullable=False)
    rows = features.rows.unify_dictionaries().combine_chunks()
    schema = rows.schema.remove_metadata().append(field)
    return pa.RecordBatchReader.from_batches(schema, _batches(rows, features.vectors(), schema))


def _batches(rows: pa.Table, vectors: Iterator[Floats], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    start = 0
    for block in vectors:
        (batch,) = rows.slice(start, len(block)).to_batches()  # of one chunk
        flat = pa.array(np.ascontiguousarray(block).reshape(-1))
        embedding = pa.FixedSizeListArray.from_arrays(flat, type=schema.field("embedding").type)
        yield pa.RecordBatch.from_arrays([*batch.columns, embedding], schema=schema)
        start += len(block)


def to_pandas(features: Any) -> Any:
    """Return a pandas.DataFrame: the columns of `rows`, then `embedding`, a float32 array [D] in each row.

    Raises:
        InputError: pandas is not installed.
    """
    import_library("pandas")
    frame = features.rows.to_pandas()
    frame["embedding"] = list(features.embeddings())
    return frame


def to_polars(features: Any) -> Any:
    """Return a polars.DataFrame: the columns of `rows`, then `embedding`, an Array(Float32, D).

    Raises:
        InputError: Polars is not installed.
    """
    return import_library("polars").from_arrow(to_batches(features).read_all())


def import_library(name: str) -> Any:
    """Import a library that Frieze itself does not need.

    Raises:
        InputError: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{name} can't be imported here.", hint=f"Type: pip install {name}") from error


def to_dataset(features: Any) -> Any:
    """Return a pyarrow.dataset.Dataset over the files of the parts; see `Features.dataset`."""
    import pyarrow.dataset as ds
    from pyarrow import fs

    schemas = [features.snapshot.read(part, lambda file: file.schema_arrow) for part in features.manifest.parts]
    names = [features.path / PARTS / part.name for part in features.manifest.parts]
    system, paths = fs.LocalFileSystem(), [str(name) for name in names]
    if isinstance(features.path, BucketPath):
        system, _ = fs.FileSystem.from_uri(str(features.path))
        paths = [path.partition("://")[2] for path in paths]
    schema = unify_types([one.remove_metadata() for one in schemas]) if schemas else None
    return ds.dataset(paths, schema=schema, format="parquet", filesystem=system)


def to_html(features: Any) -> str:
    """Return the `repr` and a strip of thumbnails of images that are files on this machine."""
    chosen = evenly_spaced(np.arange(len(features)), _N_THUMBNAILS)
    rows = features.rows.select(["id", "uri", "label"]).take(chosen).to_pylist()
    captions = [row["label"] if row["label"] is not None else row["id"] for row in rows]
    pairs = zip(rows, captions, strict=True)
    cells = "".join(image_cell(row["uri"], row["id"], caption) for row, caption in pairs)
    return f"<div><code>{html.escape(repr(features))}</code><br>{cells}</div>"


def image_cell(uri: str, name: str, caption: str) -> str:
    """Return the HTML of an image in a strip: a thumbnail above a caption, or the caption alone where it is no file."""
    name, caption, picture = html.escape(name), html.escape(caption), _thumbnail(uri)
    shown = f'<img src="{picture}" alt="{name}" title="{name}"><br>' if picture else ""
    return f'<span style="{_STYLE}">{shown}{caption}</span>'


def _thumbnail(uri: str) -> str | None:
    """Return a small JPEG as a data URL; None for an image that is no file, is gone, or is not Pillow's to read."""
    from PIL import Image, ImageOps

    path = os.fsdecode(urllib.parse.unquote_to_bytes(uri[7:]) if uri.startswith("file://") else os.fsencode(uri))
    try:
        part = None if Path(path).exists() else _PART.fullmatch(path)
        with Image.open(part["image"] if part else path) as image:
            if part is None:
                image.draft("RGB", (_THUMBNAIL_PX, _THUMBNAIL_PX))
                image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
            upright = ImageOps.exif_transpose(image).convert("RGB")
        if part is not None:
            left, top, width, height = map(int, part["box"].removeprefix("#").split(","))
            upright = upright.crop((left, top, left + width, top + height))
            upright.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    file = io.BytesIO()
    upright.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
