"""Reads boxes from files as other tools write them: COCO, YOLO, Pascal VOC, labelme, and tables."""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.parsers import expat

from frieze.core import InputError
from frieze.embedder.sources.boxes import yolo
from frieze.embedder.sources.boxes.box import Box, BoxFile, Corner, from_edges
from frieze.embedder.sources.boxes.columns import find_box_columns, note_shares
from frieze.embedder.sources.tables.column_names import LABEL, PATH, choose_column
from frieze.embedder.sources.tables.infer_types import infer_types
from frieze.embedder.sources.tables.read import SUFFIXES, UNTYPED, read_header, read_table

_HINT = (
    "`boxes` is COCO's .json, YOLO's data.yaml or folder of labels, a .csv, .jsonl or .parquet table with a path, x, y,"
    " width and height (or x1, y1, x2, y2), or a folder of Pascal VOC's .xml or labelme's .json files."
)
_BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, expat.ExpatError)
"""What a file of another structure raises where it is read."""
_VOC_COLUMNS = ("pose", "truncated", "difficult")


def read_boxes(path: str | Path) -> BoxFile:
    """Read the boxes of a file, or of all files of a folder.

    Raises:
        InputError: It does not exist, is of another format, or has no box.
    """
    path = Path(path).absolute()
    if not path.exists():
        raise InputError(f"There is no {path}.", hint=_HINT)
    try:
        file = _read_folder(path) if path.is_dir() else _read_file(path)
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(f"{path} can't be read as boxes: {type(error).__name__}: {error}.", hint=_HINT) from error
    if all(box.corner is None for box in file.boxes):
        raise InputError(f"{path} has no box of four numbers.", hint=_HINT)
    return file


def _read_file(path: Path) -> BoxFile:
    if path.name.lower().endswith(SUFFIXES):
        return _read_table(str(path))
    if path.suffix.lower() in yolo.YAML:
        return yolo.read_data_yaml(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} is no file of boxes that is read.", hint=_HINT)
    return BoxFile(str(path), tuple(reader(path.read_bytes())))


def _read_folder(folder: Path) -> BoxFile:
    if yolo.has_labels(folder):
        return yolo.read_label_folder(folder)
    return BoxFile(str(folder), tuple(_boxes_of_folder(folder)))


def _boxes_of_folder(folder: Path) -> Iterator[Box]:
    for above, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = Path(above, name)
            if path.suffix.lower() in _READERS:
                yield from _READERS[path.suffix.lower()](path.read_bytes())


def _of_json(data: bytes) -> Iterator[Box]:
    document = json.loads(data)
    return _of_labelme(document) if "shapes" in document else _of_coco(document)


def _of_coco(document: Mapping[str, Any]) -> Iterator[Box]:
    """Yield the boxes of COCO's `instances.json`; segmentations are not read."""
    images = {one["id"]: one["file_name"] for one in document["images"]}
    categories = {one["id"]: str(one["name"]) for one in document.get("categories", ())}
    for at, one in enumerate(document["annotations"]):
        kept = {name: one[name] for name in ("id", "area", "iscrowd", "score") if name in one}
        columns = {f"annotation_{name}" if name == "id" else name: value for name, value in kept.items()}
        label = categories.get(one.get("category_id"))
        name = images.get(one["image_id"], f"image {one['image_id']}")  # which the source will not have
        yield Box(name, _coco_corner(one.get("bbox")), label, columns, f"annotation {one.get('id', at)}")


def _coco_corner(values: Any) -> Corner | None:
    """Return a box; None where there are no four finite numbers, as in annotations of key points or captions."""
    try:
        x, y, width, height = values
        return from_edges(x, y, x + width, y + height)
    except (TypeError, ValueError, OverflowError):
        return None


def _of_labelme(document: Mapping[str, Any]) -> Iterator[Box]:
    """Yield the shapes of a labelme file, each by the box around its points."""
    name = re.split(r"[/\\]", document["imagePath"])[-1]
    for shape in document["shapes"]:
        across, down = zip(*_extremes(shape), strict=True)
        box = from_edges(min(across), min(down), max(across), max(down))
        yield Box(name, box, shape.get("label"), {"shape_type": shape.get("shape_type", "polygon")})


def _extremes(shape: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return points that reach as far as the shape: a circle's two are its centre and one of its edge."""
    points = [(float(x), float(y)) for x, y in shape["points"]]
    if shape.get("shape_type") != "circle":
        return points
    (x, y), edge = points
    radius = math.dist((x, y), edge)
    return [(x - radius, y - radius), (x + radius, y + radius)]


def _of_voc(data: bytes) -> Iterator[Box]:
    """Yield the objects of a Pascal VOC file, whose pixels count from 1."""
    texts: list[tuple[str, str]] = []
    stack: list[str] = []
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise ValueError("it has a document type, which may hold entities that grow without end")

    def begin(name: str, _: Any) -> None:
        stack.append(name)
        texts.append(("/".join(stack), ""))

    def text(value: str) -> None:
        texts.append(("/".join(stack), value))

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = begin, lambda _: stack.pop() and None
    parser.CharacterDataHandler, parser.buffer_text = text, True
    parser.Parse(data, True)  # noqa: FBT003  expat's own: the end of the document
    return _voc_objects(texts)


def _voc_objects(texts: list[tuple[str, str]]) -> Iterator[Box]:
    name, objects = "", list[dict[str, str]]()
    for path, text in texts:
        if path == "annotation/object" and not text:
            objects.append({})
        elif path == "annotation/filename":
            name += text.strip()
        elif path.startswith("annotation/object/") and text.strip():
            objects[-1][path.removeprefix("annotation/object/")] = text.strip()
    for one in objects:
        left, top, right, bottom = (float(one[f"bndbox/{edge}"]) for edge in ("xmin", "ymin", "xmax", "ymax"))
        columns: dict[str, Any] = {key: one[key] for key in _VOC_COLUMNS if key in one}
        yield Box(name, from_edges(left - 1, top - 1, right, bottom), one.get("name"), columns)


_READERS: dict[str, Callable[[bytes], Iterator[Box]]] = {".json": _of_json, ".xml": _of_voc}


def _read_table(uri: str) -> BoxFile:
    """Read the rows of a table with a path and a box, in pixels or in shares."""
    names = read_header(uri)
    image, label = choose_column(names, PATH), choose_column(names, LABEL)
    columns = find_box_columns(names)
    if image is None or columns is None:
        raise InputError(f"{uri} has no columns of a path and a box; there are: {', '.join(names)}.", hint=_HINT)
    text = [name for name in (image, label) if name is not None]
    table = read_table(uri, names, text=text)
    if uri.lower().endswith(UNTYPED):
        table = infer_types(table, [name for name in names if name not in text])
    corners, are_shares = columns.to_corners(
        list(zip(*(table[name].to_pylist() for name in columns.names), strict=True))
    )
    rest = [name for name in names if name not in (image, label, *columns.names)]
    boxes = [
        Box(
            row[image],
            corner,
            (row[label] or None) if label else None,
            {name: row[name] for name in rest},
            f"row {at:,}",
        )
        for at, (row, corner) in enumerate(zip(table.to_pylist(), corners, strict=True), 1)
    ]
    return BoxFile(uri, tuple(boxes), (note_shares(uri),) if are_shares else ())
