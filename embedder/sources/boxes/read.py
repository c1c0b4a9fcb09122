"""Reads boxes from files as other tools write them: COCO, YOLO, Pascal VOC, labelme, and tables."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.parsers import expat

from frieze.core import InputError
from frieze.embedder.sources.boxes.crop import Corner
from frieze.embedder.sources.tables.column_names import LABEL, PATH, choose_column
from frieze.embedder.sources.tables.infer_types import infer_types
from frieze.embedder.sources.tables.read import SUFFIXES, UNTYPED, read_header, read_table

_HINT = (
    "`boxes` is COCO's .json, a .csv, .jsonl or .parquet table with a path, x, y, width and height (or x1, y1, x2, y2)"
    " in pixels, or a folder of Pascal VOC's .xml or labelme's .json files."
)
_SIZES = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
_BROKEN = (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, expat.ExpatError)
"""What a file of another structure raises where it is read."""
_VOC_COLUMNS = ("pose", "truncated", "difficult")
_EDGES = (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max"))


@dataclasses.dataclass(frozen=True)
class Box:
    """A box of an image.

    Attributes:
        image: The image's path or name, as the file has it.
        corner: Left, top, width and height in pixels of the upright image; edges are rounded to the nearest pixel.
        label: None where there is none.
        columns: What else the file says of the box.
    """

    image: str
    corner: Corner
    label: str | None = None
    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class BoxFile:
    """Boxes of a file or folder.

    Attributes:
        uri: Its path.
        boxes: In the file's order, at least one.
        notes: Sentences on what is not read.
    """

    uri: str
    boxes: tuple[Box, ...]
    notes: tuple[str, ...] = ()


def read_boxes(path: str | Path) -> BoxFile:
    """Read the boxes of a file, or of all files of a folder.

    Raises:
        InputError: It does not exist, is of another format, or has no box.
    """
    path = Path(path).absolute()
    if not path.exists():
        raise InputError(f"There is no {path}.", hint=_HINT)
    try:
        boxes = tuple(_boxes_of_folder(path) if path.is_dir() else _boxes_of_file(path))
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(f"{path} can't be read as boxes: {type(error).__name__}: {error}.", hint=_HINT) from error
    if not boxes:
        raise InputError(f"{path} has no box.", hint=_HINT)
    return BoxFile(str(path), boxes)


def _boxes_of_file(path: Path) -> Iterator[Box]:
    if path.name.lower().endswith(SUFFIXES):
        return _of_table(str(path))
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} is no file of boxes that is read.", hint=_HINT)
    return reader(path.read_bytes())


def _boxes_of_folder(folder: Path) -> Iterator[Box]:
    for above, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = Path(above, name)
            if path.suffix.lower() in _READERS:
                yield from _boxes_of_file(path)


def from_edges(left: float, top: float, right: float, bottom: float) -> Corner:
    """Round the edges of a box to the nearest pixels.

    >>> from_edges(0.4, 1.5, 10.6, 5)
    (0, 2, 11, 3)
    """
    x, y, x2, y2 = (math.floor(edge + 0.5) for edge in (left, top, right, bottom))
    return x, y, x2 - x, y2 - y


def _of_json(data: bytes) -> Iterator[Box]:
    document = json.loads(data)
    return _of_labelme(document) if "shapes" in document else _of_coco(document)


def _of_coco(document: Mapping[str, Any]) -> Iterator[Box]:
    """Yield the boxes of COCO's `instances.json`; segmentations are not read."""
    images = {one["id"]: one["file_name"] for one in document["images"]}
    categories = {one["id"]: str(one["name"]) for one in document.get("categories", ())}
    for one in document["annotations"]:
        x, y, width, height = one["bbox"]
        kept = {name: one[name] for name in ("id", "area", "iscrowd", "score") if name in one}
        columns = {f"annotation_{name}" if name == "id" else name: value for name, value in kept.items()}
        label = categories.get(one.get("category_id"))
        yield Box(images[one["image_id"]], from_edges(x, y, x + width, y + height), label, columns)


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


def _of_table(uri: str) -> Iterator[Box]:
    """Yield the rows of a table with a path and a box in pixels."""
    names = read_header(uri)
    image, label = choose_column(names, PATH), choose_column(names, LABEL)
    columns, are_edges = _box_columns(names)
    if image is None or not columns:
        raise InputError(f"{uri} has no columns of a path and a box; there are: {', '.join(names)}.", hint=_HINT)
    text = [name for name in (image, label) if name is not None]
    table = read_table(uri, names, text=text)
    if uri.lower().endswith(UNTYPED):
        table = infer_types(table, [name for name in names if name not in text])
    _check_pixels(uri, [table[name].to_pylist() for name in columns])
    rest = [name for name in names if name not in (image, label, *columns)]
    for row in table.to_pylist():
        one, two, three, four = (float(row[name]) for name in columns)
        corner = from_edges(one, two, three, four) if are_edges else from_edges(one, two, one + three, two + four)
        yield Box(row[image], corner, row[label] or None if label else None, {name: row[name] for name in rest})


def _check_pixels(uri: str, columns: list[list[Any]]) -> None:
    """Refuse boxes in shares of the image's size, which no value above 1 shows."""
    if columns[0] and all(float(value) <= 1 for column in columns for value in column):
        raise InputError(
            f"The boxes of {uri} are in shares of the image's size: no value is above 1.",
            hint="Multiply x and width by the width of each image in pixels, y and height by its height.",
        )


def _box_columns(names: list[str]) -> tuple[tuple[str, ...], bool]:
    """Return the columns of a box, and whether they are its edges; none where there is no box."""
    lower = {name.strip().lower(): name for name in names}
    for layouts, are_edges in ((_SIZES, False), (_EDGES, True)):
        for layout in layouts:
            if all(name in lower for name in layout):
                return tuple(lower[name] for name in layout), are_edges
    return (), False
