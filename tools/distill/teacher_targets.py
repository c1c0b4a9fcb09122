"""The teachers' embeddings of each view, and the training targets computed from them."""

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
    """A backbone to distil.

    Attributes:
        handle: As `--backbone` takes it.
        side_px: Side of its input; None for its default.
        weight: The weight of its cosines in the targets.
    """

    handle: str
    side_px: int | None = None
    weight: float = 1.0

    @property
    def key(self) -> str:
        """The part of its files' names."""
        return hashlib.sha256(f"{self.handle}:{self.side_px}".encode()).hexdigest()[:8]


def embeddings_file(view: Path, teacher: Teacher) -> Path:
    """Return the file of a teacher's embeddings of a view: float16 [N, D], of unit length."""
    return view.with_suffix(f".{teacher.key}.npy")


def embed_views(teacher: Teacher, views: Sequence[Path]) -> Iterator[Path]:
    """Embed the views by a teacher, unless their files exist.

    Yields:
        The file of each view's embeddings.
    """
    missing = [view for view in views if not embeddings_file(view, teacher).exists()]
    embed = _open_teacher(teacher) if missing else None
    for view in views:
        file = embeddings_file(view, teacher)
        if embed is not None and view in missing:
            pixels = np.load(view, mmap_mode="r")
            rows = np.concatenate([embed(pixels[at : at + _ROWS]) for at in range(0, len(pixels), _ROWS)])
            frieze.core.write_file(file, _writer(frieze.core.unit_rows(rows).astype(np.float16)))
        yield file


def _open_teacher(teacher: Teacher) -> Callable[[np.ndarray], np.ndarray]:
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
    """Join the teachers' embeddings into one target for each view and image.

    Each teacher's vectors are centred, brought to unit length and weighted; the principal components of all of them
    together are kept. The cosine of two targets is then close to the weighted mean of the teachers' centred cosines.

    Args:
        views: Files of views that all teachers have embedded.
        teachers: One or more.
        width: Components kept.

    Returns:
        For each view float32 [N, width], of unit length.
    """
    joined = _JoinedEmbeddings(views[:_PCA_VIEWS], teachers)
    _, axes = np.linalg.eigh(sum(rows.T @ rows for rows in map(joined.rows, views[:_PCA_VIEWS])))
    axes = np.ascontiguousarray(axes[:, ::-1][:, :width])  # largest first
    return [frieze.core.unit_rows(joined.rows(view) @ axes) for view in views]


class _JoinedEmbeddings:
    """The teachers' centred, weighted embeddings, concatenated."""

    def __init__(self, views: Sequence[Path], teachers: Sequence[Teacher]) -> None:
        self._teachers = teachers
        self._means = [np.mean([_load_embeddings(view, one).mean(0) for view in views], axis=0) for one in teachers]

    def rows(self, view: Path) -> np.ndarray:
        """Return float32 [N, the sum of the teachers' widths]."""
        parts = [
            frieze.core.unit_rows(_load_embeddings(view, teacher) - mean) * np.float32(teacher.weight**0.5)
            for teacher, mean in zip(self._teachers, self._means, strict=True)
        ]
        return np.concatenate(parts, axis=1)


def _load_embeddings(view: Path, teacher: Teacher) -> np.ndarray:
    return np.asarray(np.load(embeddings_file(view, teacher)), np.float32)
