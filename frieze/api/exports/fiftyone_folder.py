"""A folder of FiftyOne's own format, written without FiftyOne: samples with labels, predictions and vectors.

Source: fiftyone.types.FiftyOneDataset; a later FiftyOne migrates the version that is stated here.
"""

import base64
import datetime as dt
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from frieze import terminal
from frieze.api.exports.pictures import note_on_missing, picture_path, read_picture
from frieze.api.exports.rows import PREDICTIONS, ExportRows, RowBatch, slices
from frieze.core import FeatureFileError, Floats, check_writable, new_folder, read_json, to_finite

_METADATA, _SAMPLES, _DATA = "metadata.json", "samples.json", "data"
_VERSION = "1.3.0"
_FIELDS, _LABELS = "fiftyone.core.fields.", "fiftyone.core.labels."
_RESERVED = ("filepath", "tags", "metadata", "created_at", "last_modified_at", "ground_truth", "embedding", "image_id")
"""Names that a sample has for other things than a column of the user."""
_FACTS = ("size_bytes", "width", "height")
_NOT_FIELDS = {"id", "uri", "label", *PREDICTIONS[:2], *_FACTS}
"""Columns that are parts of a sample, not fields of their own."""
_ROWS = 256


def check_fiftyone(out: Path, *, force: bool) -> None:
    """Check that a folder can be written.

    Raises:
        FeatureFileError: It can't, or something else than an exported table is there.
    """
    check_writable(out, force=force)
    if out.exists() and not _is_ours(out):
        raise FeatureFileError(
            f"{out} already exists and is not an exported table alone.",
            hint="Use another `out`: `force=True` replaces only exported tables.",
        )


def _is_ours(out: Path) -> bool:
    try:
        document = read_json(out / _METADATA, hint="")
    except FeatureFileError:
        return False
    info = document.get("info")
    others = {path.name for path in out.iterdir()} - {_METADATA, _SAMPLES, _DATA}
    return isinstance(info, dict) and "frieze" in info and not others


def write_fiftyone(rows: ExportRows, out: Path, *, force: bool, vectors: bool) -> list[str]:
    """Write samples with `ground_truth`, `prediction` and its confidence, `embedding` and a field for each column.

    Images that are files of their own stay where they are; others are written into the folder.

    Returns:
        A note on images that can't be read.

    Raises:
        FeatureFileError: The disk refuses, or a part is broken.
    """
    del vectors
    schema, batches = ExportRows(rows.table, rows.head, (*_RESERVED, *PREDICTIONS)).batches()
    with terminal.spinner("Exporting"), new_folder(out, replace=force) as folder:
        (folder / _DATA).mkdir()
        samples = _Samples(folder, _to_fields(schema))
        document = {
            "name": out.stem,
            "version": _VERSION,
            "media_type": "image",
            "info": {"frieze": {"kind": "export", "backbone": rows.table.spec.to_json()}},
            "tags": [],
            "sample_fields": _describe(schema, samples.fields),
        }
        (folder / _METADATA).write_text(json.dumps(document), encoding="utf-8")
        with (folder / _SAMPLES).open("w", encoding="utf-8") as file:
            _write_list(file, samples.convert(slices(batches, _ROWS)))
    return note_on_missing(samples.n_missing)


def _write_list(file: Any, samples: Iterable[dict[str, Any]]) -> None:
    file.write('{"samples": [')
    for number, sample in enumerate(samples):
        file.write(f"{',' * bool(number)}\n{json.dumps(to_finite(sample), ensure_ascii=False)}")
    file.write("\n]}\n")


class _Kind(NamedTuple):
    """A type of field, and how a value of a column becomes one of it."""

    name: str
    convert: Any = staticmethod(lambda value: value)


def _to_date(value: dt.date) -> dict[str, str]:
    if not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001  naive is UTC here
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return {"$date": f"{value.isoformat(timespec='milliseconds')}Z"}


def _kind_of(kind: pa.DataType) -> _Kind:
    """Return the field of a column; what FiftyOne has no type for becomes text."""
    types = pa.types
    if types.is_boolean(kind):
        return _Kind("BooleanField")
    if types.is_signed_integer(kind) or (types.is_integer(kind) and kind.bit_width < 64):  # noqa: PLR2004  of BSON
        return _Kind("IntField")
    if types.is_floating(kind):
        return _Kind("FloatField", float)
    if types.is_timestamp(kind) or types.is_date(kind):
        return _Kind("DateTimeField", _to_date)
    if types.is_list(kind) and types.is_string(kind.value_type):
        return _Kind("ListField")
    return _Kind("StringField", str)


def _to_fields(schema: pa.Schema) -> dict[str, str]:
    """Return column -> name of its field: FiftyOne takes no dots, dollars and leading underscores."""
    fields: dict[str, str] = {}
    for name in schema.names:
        if name not in _NOT_FIELDS:
            free = re.sub(r"[^\w]|^_+", "_", name).lstrip("_") or "column"
            while free in {*fields.values(), *_RESERVED, *PREDICTIONS[:2], "id"}:
                free = f"{free}_2"
            fields[name] = free
    return fields


def _field(name: str, kind: str, **more: Any) -> dict[str, Any]:
    """Return the description of a field in metadata.json."""
    field = {"name": name, "db_field": name, "ftype": f"{_FIELDS}{kind}", "subfield": None, "embedded_doc_type": None}
    if kind == "ListField":
        field["subfield"] = f"{_FIELDS}StringField"
    return {**field, "fields": [], **more}


def _describe(schema: pa.Schema, fields: dict[str, str]) -> list[dict[str, Any]]:
    key = _field("id", "ObjectIdField", db_field="_id")
    of_label = [key, _field("tags", "ListField"), _field("label", "StringField"), _field("confidence", "FloatField")]
    of_label += [_field("logits", "VectorField")]
    of_image = [_field(name, "IntField") for name in (*_FACTS, "num_channels")] + [_field("mime_type", "StringField")]
    labels = ["ground_truth", *(name for name in schema.names if name == PREDICTIONS[0])]
    class_name = {"embedded_doc_type": f"{_LABELS}Classification", "fields": of_label}
    image = {"embedded_doc_type": "fiftyone.core.metadata.ImageMetadata", "fields": of_image}
    return [
        key,
        _field("filepath", "StringField"),
        _field("tags", "ListField"),
        _field("metadata", "EmbeddedDocumentField", **image),
        *(_field(name, kind) for name, kind in (("_media_type", "StringField"), ("_rand", "FloatField"))),
        _field("_dataset_id", "ObjectIdField"),
        *(_field(name, "DateTimeField") for name in ("created_at", "last_modified_at")),
        _field("image_id", "StringField"),
        *(_field(name, "EmbeddedDocumentField", **class_name) for name in labels),
        _field("embedding", "VectorField"),
        *(_field(field, _kind_of(schema.field(name).type).name) for name, field in fields.items()),
    ]


class _Samples:
    """Makes the samples, writes images that are no files of their own, and counts those that can't be read."""

    def __init__(self, folder: Path, fields: dict[str, str]) -> None:
        self._folder, self.fields = folder, fields
        self.n_missing = 0

    def convert(self, batches: Iterable[RowBatch]) -> Iterator[dict[str, Any]]:
        for columns, embeddings in batches:
            kinds = {name: _kind_of(columns.schema.field(name).type) for name in self.fields}
            for row, vector in zip(columns.to_pylist(), embeddings, strict=True):
                values = {name: None if row[name] is None else kinds[name].convert(row[name]) for name in self.fields}
                yield self._to_sample(row, vector) | {self.fields[name]: value for name, value in values.items()}

    def _to_sample(self, row: dict[str, Any], vector: Floats) -> dict[str, Any]:
        number = hashlib.sha256(row["id"].encode()).hexdigest()
        facts = {name: row[name] for name in _FACTS if row[name] is not None}
        sample = {
            "_id": {"$oid": number[:24]},
            "_rand": int(number[:8], 16) / 2**32,  # FiftyOne draws samples by it
            "_media_type": "image",
            "filepath": self._path(row["uri"], number),
            "tags": [],
            "metadata": {"_cls": "ImageMetadata"} | facts,
            "image_id": row["id"],
            "ground_truth": _to_label(row["label"], number[24:48]),
            "embedding": _to_binary(vector),
        }
        if PREDICTIONS[0] in row:
            label = _to_label(row[PREDICTIONS[0]], number[40:])
            sample[PREDICTIONS[0]] = label and label | {"confidence": float(row[PREDICTIONS[1]])}
        return sample

    def _path(self, uri: str, number: str) -> str:
        from PIL import Image

        path = picture_path(uri)
        data = read_picture(uri) if path is None else None
        if data is None:
            self.n_missing += path is None
            return path or uri
        with Image.open(io.BytesIO(data)) as image:
            name = f"{_DATA}/{number}.{str(image.format).lower()}"
        (self._folder / name).write_bytes(data)
        return name  # relative to the folder


def _to_label(label: str | None, number: str) -> dict[str, Any] | None:
    return None if label is None else {"_id": {"$oid": number}, "_cls": "Classification", "tags": [], "label": label}


def _to_binary(vector: Floats) -> dict[str, Any]:
    file = io.BytesIO()
    np.save(file, vector)
    return {"$binary": {"base64": base64.b64encode(zlib.compress(file.getvalue())).decode(), "subType": "00"}}
