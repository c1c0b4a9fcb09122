"""Reads the boxes of YOLO's data sets: a text file an image, beside a list of the classes' names."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from frieze.core import InputError, counted
from frieze.embedder.sources.boxes.box import Box, BoxFile, Shares

SUFFIX = ".txt"
YAML = (".yaml", ".yml")
_LABELS, _IMAGES = "labels", "images"
_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", "classes.txt", "obj.names", "classes.names")
_SPLITS = ("train", "val", "test")
_N_ABOVE = 3
"""Names of classes are looked for in so many folders: that of the labels, and those above it."""
_HINT = "A line is: CLASS X Y WIDTH HEIGHT, the centre and the size in shares of the image's size."
_BOX, _OUTLINE = 4, 6
"""Numbers after the class: of a box, and the fewest of an outline."""
_HEAD_BYTES = 1 << 12


class _Classes(NamedTuple):
    """The names of classes.

    Attributes:
        path: The file that has them; None where there is none.
        names: By number.
        has_keypoints: Whether lines go on with points after the box.
    """

    path: Path | None
    names: Mapping[int, str]
    has_keypoints: bool = False


def has_labels(folder: Path) -> bool:
    """Return whether a folder, or one below it, holds YOLO's text files."""
    return any(_is_labels(path) for _, path in _label_files(folder))


def read_label_folder(folder: Path) -> BoxFile:
    """Read the labels of a folder and of all below it; where some are called `labels`, of these alone.

    Raises:
        InputError: A line is none of YOLO's.
    """
    return _read(folder, [(None, folder)], _find_classes(folder))


def read_data_yaml(path: Path) -> BoxFile:
    """Read the labels of the data set that a `data.yaml` describes, with its splits.

    Raises:
        InputError: A line is none of YOLO's.
        ValueError: The file is no YAML, or of another structure.
    """
    document = _load_yaml(path)
    root = path.parent / str(document.get("path") or "")
    root = root if root.is_dir() else path.parent
    parts = [(split, folder) for split in _SPLITS for folder in _split_folders(root, document.get(split))]
    return _read(root, parts or [(None, root)], _to_classes(path, document))


def _split_folders(root: Path, entry: Any) -> Iterator[Path]:
    """Yield the folders of labels of a split, whose entries name those of its images."""
    for one in entry if isinstance(entry, list) else [entry] if entry else []:
        for images in (root / str(one), root / str(one).removeprefix("../")):  # Roboflow's begin one folder too high
            folder = Path(os.path.normpath(_swap(str(images), _IMAGES, _LABELS)))
            if folder.is_dir():
                yield folder
                break


def _swap(path: str, old: str, new: str) -> str:
    """Replace the last folder of a name in a path.

    >>> _swap("/d/images/images/a", "images", "labels")
    '/d/images/labels/a'
    """
    names = path.split("/")
    at = len(names) - 1 - names[::-1].index(old) if old in names else None
    return path if at is None else "/".join([*names[:at], new, *names[at + 1 :]])


def _read(folder: Path, parts: Iterable[tuple[str | None, Path]], classes: _Classes) -> BoxFile:
    boxes, n_outlines, unnamed = list[Box](), 0, set[int]()
    for split, part in parts:
        for image, path in _label_files(part):
            for number, values, is_outline in _read_lines(path, classes):
                columns: dict[str, Any] = {"confidence": values.pop()} if len(values) % 2 else {}
                shares = _around(values) if is_outline else Shares.around(*values[:4])
                columns |= {"split": split} if split else {}
                n_outlines += is_outline
                unnamed |= {number} - classes.names.keys()
                boxes.append(Box(image, shares, classes.names.get(number, str(number)), columns))
    return BoxFile(str(folder), tuple(boxes), tuple(_notes(classes, n_outlines, unnamed)), str(folder))


def _notes(classes: _Classes, n_outlines: int, unnamed: set[int]) -> Iterator[str]:
    if classes.path is None:
        yield f"There is no {_NAMES[0]} or classes.txt with names of classes: labels are their numbers."
    elif unnamed:
        numbers = ", ".join(map(str, sorted(unnamed)[:5]))
        n_unnamed = counted(len(unnamed), "class", "classes")
        yield f"{classes.path} lacks names of {n_unnamed}, which keep the number: {numbers}."
    if n_outlines:
        yield f"Outlines in place of boxes, of which the box around each is taken: {n_outlines:,}."


def _label_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the absolute path without extension of each image, and its file of labels."""
    walked = [(above, names) for above, _, names in sorted(os.walk(folder))]
    inside = [one for one in walked if _LABELS in Path(one[0]).relative_to(folder.parent).parts]
    for above, names in inside or walked:
        for name in sorted(names):
            path = Path(above, name)
            if path.suffix.lower() == SUFFIX and name not in _NAMES:
                yield _swap(str(path.with_suffix("")), _LABELS, _IMAGES), path


def _read_lines(path: Path, classes: _Classes) -> Iterator[tuple[int, list[float], bool]]:
    """Yield class, numbers and whether they are an outline of each line; none of a file that is no list of labels."""
    lines = path.read_text("utf-8").splitlines() if _is_labels(path) else []
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        number, *values = _to_numbers(line) or [math.nan]
        if len(values) < _BOX or not number.is_integer():
            raise InputError(f"{path}, line {at}, is no line of YOLO's labels: {line[:80]!r}.", hint=_HINT)
        is_outline = len(values) >= _OUTLINE and not classes.has_keypoints
        yield int(number), values if is_outline or len(values) < _OUTLINE else values[:_BOX], is_outline


def _to_numbers(line: str | bytes) -> list[float]:
    """Return the numbers of a line; none where one is no finite number."""
    try:
        numbers = [float(value) for value in line.split()]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _is_labels(path: Path) -> bool:
    """Return whether a text file begins as a list of labels does: with numbers."""
    with path.open("rb") as file:
        lines = file.read(_HEAD_BYTES).split(b"\n")
    return len(_to_numbers(next((line for line in lines if line.strip()), b""))) > 1


def _around(values: list[float]) -> Shares:
    across, down = values[::2], values[1::2]
    return Shares(min(across), min(down), max(across), max(down))


def _find_classes(folder: Path) -> _Classes:
    for above in [folder, *folder.parents][:_N_ABOVE]:
        for name in _NAMES:
            path = above / name
            if path.is_file():
                return _to_classes(path, _load_yaml(path)) if path.suffix in YAML else _read_names(path)
    return _Classes(None, {})


def _read_names(path: Path) -> _Classes:
    lines = path.read_text("utf-8-sig").splitlines()
    return _Classes(path, {number: name.strip() for number, name in enumerate(lines) if name.strip()})


def _to_classes(path: Path, document: Mapping[str, Any]) -> _Classes:
    names = document.get("names") or {}
    pairs = names.items() if isinstance(names, dict) else enumerate(names)
    return _Classes(path, {int(number): str(name) for number, name in pairs}, "kpt_shape" in document)


def _load_yaml(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(path.read_bytes())
    except yaml.YAMLError as error:
        raise InputError(
            f"{path} is no YAML: {error}.", hint="It is YOLO's data.yaml, with the names of classes."
        ) from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no names of classes.", hint="Add to it: names: [NAME, ...]")
    return document
