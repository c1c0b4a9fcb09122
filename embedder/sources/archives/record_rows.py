"""Rows of a TFRecord's images: ids, labels and columns, of one record or of many that are alike."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Rows
from frieze.embedder.sources.archives.base import Archive
from frieze.embedder.sources.archives.example_block import Feature, Numbers, parse_block
from frieze.embedder.sources.archives.record_frames import Block
from frieze.embedder.sources.archives.record_images import MIN_BYTES, image_names, is_known
from frieze.embedder.sources.archives.samples import SIZE_NAMES
from frieze.embedder.sources.archives.tfds import DatasetInfo
from frieze.embedder.sources.base import SourceOptions
from frieze.embedder.sources.label_lists import LABELS
from frieze.embedder.sources.listing import ImageBatch, ImageRecord
from frieze.embedder.sources.tables.column_names import LABEL, pop_label, pop_text
from frieze.features import LISTING

_Flags = npt.NDArray[np.bool_]
_USUAL = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
"""Signatures of JPEG and PNG, by which a feature is an image whatever else the record holds."""

_LEAST_ROWS = 16
"""Fewer rows are made one by one: arrays of few are slow."""


def to_row(
    archive: Archive, columns: dict[str, Any], number: int, frame: int | None, *, location: tuple[int, int]
) -> ImageRecord:
    """Return the row of an image.

    Args:
        archive: The file.
        columns: Its columns, from which id and label are taken.
        number: The number of its record.
        frame: Its number, where the record has several.
        location: Its size in bytes, and where it is found again.
    """
    options = archive.options
    below = f"/{number}" if frame is None else f"/{number}/{frame}"
    stated_id = pop_text(columns, [options.id]) if options.id else None
    label, label_from = None, None
    if options.labels == "folder":
        label, label_from = pop_label(columns, options.label, LABEL)
    name = archive.id + below if stated_id is None else stated_id if frame is None else f"{stated_id}/{frame}"
    uri = archive.uri + below if options.image is None else f"{archive.uri}{below}/{options.image}"
    size_bytes, at = location
    return ImageRecord(name, uri, label, size_bytes, archive.stat[1], archive.number, at, columns, label_from)


def to_columns(features: Mapping[str, Any], options: SourceOptions) -> dict[str, Any]:
    """Return the columns of a record's features; bytes are text, and left out where they are none."""
    named = (options.id, options.label)
    pairs = ((name, _to_column(values, is_text=name in named)) for name, values in features.items())
    return {name: values for name, values in pairs if values is not None}


def _to_column(values: Any, *, is_text: bool) -> Any:
    """Convert the values of a feature for a column; None for bytes that are no text, unless the user says they are."""
    if len(values) == 0:
        return []  # without a type: the feature may have values in other records
    if not isinstance(values, list):
        return values
    try:
        return [value.decode(errors="backslashreplace" if is_text else "strict") for value in values]
    except UnicodeDecodeError:
        return None


def alike_rows(archive: Archive, block: Block, number: int, info: DatasetInfo | None) -> dict[int, ImageBatch]:
    """Return the rows of records that are alike, where many follow each other whose only image is a JPEG or PNG.

    Args:
        archive: The file.
        block: Some of its records.
        number: The number of the first.
        info: What the data set says of its features.

    Returns:
        Position of the first record -> the rows of this and the next; the same as those of `to_row`.
    """
    rows, features = parse_block(block.data, block.starts, block.sizes)
    first = {name: _value(block.data, feature, 0) for name, feature in features.items()} if len(rows) else {}
    name = next(iter(image_names(first, archive.options.image)), None)
    if name is None:
        return {}
    image = features.pop(name)
    is_plain = _is_usual(block.data, image) & ~np.isin(rows, list(block.errors))
    if archive.options.image is None:
        is_plain &= ~_have_image(block.data, features, len(rows))
    plain = np.flatnonzero(is_plain)
    runs = [run for run in np.split(plain, np.flatnonzero(np.diff(rows[plain]) != 1) + 1) if len(run) >= _LEAST_ROWS]
    columns = _columns(block.data, features, info, len(rows)) if runs else None
    batch = None if columns is None else _to_batch(archive, columns, number + rows, image, block.at)
    if batch is None:
        return {}
    archive.keys.update(first)
    return {int(rows[run[0]]): batch.slice(run[0], len(run)) for run in runs}


def _columns(
    data: bytes, features: dict[str, Feature], info: DatasetInfo | None, n_records: int
) -> dict[str, list[str] | Numbers] | None:
    """Return a value of each record by feature; None where some bytes are no text, or a number is no class."""
    columns: dict[str, list[str] | Numbers] = {}
    try:
        for name, feature in features.items():
            columns[name] = _texts(data, feature) if feature.numbers is None else feature.numbers
    except UnicodeDecodeError:
        return None
    return columns if info is None else info.translate_columns(columns, n_records)


def _texts(data: bytes, feature: Feature) -> list[str]:
    spans = zip(feature.starts.tolist(), feature.ends.tolist(), strict=True)
    return [data[start:end].decode() for start, end in spans]


def _to_batch(
    archive: Archive, columns: dict[str, list[str] | Numbers], numbers: Rows, image: Feature, at: int
) -> ImageBatch | None:
    """Return the rows of records; None where an id is missing, or labels lie in several columns."""
    options, below = archive.options, "" if archive.options.image is None else f"/{archive.options.image}"
    texts = pa.array(numbers).cast(pa.string())
    ids = pc.binary_join_element_wise(archive.id, texts, "/")
    uris = pc.binary_join_element_wise(archive.uri, pc.binary_join_element_wise(texts, below, ""), "/")
    if options.id in columns:
        ids = pa.array(map(str, columns.pop(options.id)), pa.string())
    common = (*LABEL, LABELS) if options.label is None else (options.label,)
    labelled = [name for name in common if name in columns] if options.labels == "folder" else []
    labels = [str(value) or None for value in columns[labelled[0]]] if labelled else [None] * len(numbers)
    if pc.any(pc.equal(ids, "")).as_py() or (None in labels and len(labelled) > 1):
        return None
    facts = (ids, uris, labels, image.ends - image.starts, np.full(len(numbers), archive.stat[1]))
    images = pa.Table.from_arrays(
        [pa.array(one, field.type) for one, field in zip(facts, LISTING, strict=True)], schema=LISTING
    )
    ends = np.arange(len(numbers) + 1, dtype=np.int32)
    lists = {name: pa.ListArray.from_arrays(ends, pa.array(values)) for name, values in columns.items()}
    label_from = pa.array([label and labelled[0] for label in labels], pa.string())
    return ImageBatch(images, lists, label_from, np.full(len(numbers), archive.number), at + image.starts)


def _value(data: bytes, feature: Feature, row: int) -> Any:
    """Return the value of a record as `parse` does."""
    if feature.numbers is None:
        return [data[feature.starts[row] : feature.ends[row]]]
    return feature.numbers[row : row + 1]


def _is_usual(data: bytes, image: Feature) -> _Flags:
    """Return which values are images by the commonest signatures."""
    is_usual = image.ends - image.starts >= MIN_BYTES
    heads = np.frombuffer(data, np.uint8).take(image.starts[:, None] + np.arange(MIN_BYTES), mode="clip")
    begins = [np.all(heads[:, : len(one)] == np.frombuffer(one, np.uint8), axis=1) for one in _USUAL]
    return np.asarray(is_usual & np.any(begins, axis=0), np.bool_)


def _have_image(data: bytes, features: Mapping[str, Feature], n_records: int) -> _Flags:
    """Return which records have an image among some features."""
    sizes = {name: feature for name, feature in features.items() if name in SIZE_NAMES}
    known = np.zeros(n_records, np.bool_)
    for feature in features.values():
        if feature.numbers is not None:
            continue
        for row in np.flatnonzero((feature.ends - feature.starts >= MIN_BYTES) | bool(sizes)).tolist():
            stated = {name: _value(data, one, row) for name, one in sizes.items()}
            known[row] |= is_known(stated, data[feature.starts[row] : feature.ends[row]])
    return known
