"""What the teachers say of each view, and the targets made of it."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

import frieze.core
import frieze.embedder
import frieze.features

_PCA_VIEWS = 4
_ROWS = 2048


class Teacher(NamedTuple):
    """A backbone whose view of the images is to be learnt.

    Attributes:
        handle: As `--backbone` takes it.
        side_px: Side of what it is shown; None for its own.
        weight: Of its cosine in the targets.
    """

    handle: str
    side_px: int | None = None
    weight: float = 1.0

    @property
    def key(self) -> str:
        """Names its files."""
        return hashlib.sha256(f"{self.handle}:{self.side_px}".encode()).hexdigest()[:8]


def answers_file(view: Path, teacher: Teacher) -> Path:
    """Name the file of what a teacher says of a view: float16 [N, D], of unit length."""
    return view.with_suffix(f".{teacher.key}.npy")


def ask(teacher: Teacher, views: Sequence[Path]) -> Iterator[Path]:
    """Have a teacher look at the views that it has not seen yet.

    Yields:
        The file of its answers to each.
    """
    missing = [view for view in views if not answers_file(view, teacher).exists()]
    look = _opened(teacher) if missing else None
    for view in views:
        file = answers_file(view, teacher)
        if look is not None and view in missing:
            pixels = np.load(view, mmap_mode="r")
            rows = np.concatenate([look(pixels[at : at + _ROWS]) for at in range(0, len(pixels), _ROWS)])
            frieze.core.write_file(file, _writer(frieze.core.unit_rows(rows).astype(np.float16)))
        yield file


def _opened(teacher: Teacher) -> Callable[[np.ndarray], np.ndarray]:
    backbone = frieze.embedder.open_backbone(
        frieze.embedder.BackboneRequest(handle=teacher.handle, image_size=teacher.side_px)
    )
    settings = frieze.embedder.EngineSettings(
        precision="bfloat16", devices=("CPU:0",), batch_size=8, has_float32_stem=True
    )
    kind = frieze.embedder.ENGINES["openvino"]
    engine = kind(backbone, settings if kind.unsupported_reason(settings) is None else frieze.embedder.EngineSettings())
    return lambda pixels: engine.infer(_enlarge(pixels, backbone.spec.image_size[0]))


def _enlarge(pixels: np.ndarray, side_px: int) -> np.ndarray:
    if pixels.shape[1] == side_px:
        return np.asarray(pixels)
    size = (side_px, side_px)
    return np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BILINEAR)) for one in pixels])


def _writer(rows: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, rows)

    return write


def make_targets(views: Sequence[Path], teachers: Sequence[Teacher], width: int) -> list[np.ndarray]:
    """Join what the teachers say into one target a view and image.

    Each teacher's vectors are centred, brought to unit length and weighted; the principal components of all of them
    together are kept. The cosine of two targets is then close to the weighted mean of the teachers' centred cosines.

    Args:
        views: Files of views that all teachers have seen.
        teachers: One or more.
        width: Components kept.

    Returns:
        For each view float32 [N, width], of unit length.
    """
    joined = _Joined(views[:_PCA_VIEWS], teachers)
    _, axes = np.linalg.eigh(sum(rows.T @ rows for rows in map(joined.rows, views[:_PCA_VIEWS])))
    axes = np.ascontiguousarray(axes[:, ::-1][:, :width])  # largest first
    return [frieze.core.unit_rows(joined.rows(view) @ axes) for view in views]


class _Joined:
    """The teachers' centred, weighted vectors beside each other."""

    def __init__(self, views: Sequence[Path], teachers: Sequence[Teacher]) -> None:
        self._teachers = teachers
        self._means = [np.mean([_answers(view, one).mean(0) for view in views], axis=0) for one in teachers]

    def rows(self, view: Path) -> np.ndarray:
        """Give float32 [N, the sum of the teachers' widths]."""
        parts = [
            frieze.core.unit_rows(_answers(view, teacher) - mean) * np.float32(teacher.weight**0.5)
            for teacher, mean in zip(self._teachers, self._means, strict=True)
        ]
        return np.concatenate(parts, axis=1)


def _answers(view: Path, teacher: Teacher) -> np.ndarray:
    return np.asarray(np.load(answers_file(view, teacher)), np.float32)
