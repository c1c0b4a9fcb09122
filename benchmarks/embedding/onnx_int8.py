"""ONNX files in each precision: rates, neighbours, and the vectors beside ONNX Runtime's.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.onnx_int8 FILE.onnx[,NAME=VALUE...]...    prints a table of
docs/benchmarks.md. `NAME=VALUE` are options of `frieze backbones --try`, such as `vit.onnx,pixels=torch,pool=cls`.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import frieze
from benchmarks.embedding.contestants import DATA, photographs
from benchmarks.tables import show
from frieze.core import Floats, unit_rows

SOURCE = DATA / "images" / "imagenette_val"
N_COMPARED = 32
"""Images whose vectors are held against ONNX Runtime's."""
PRECISIONS = ("float32", "bfloat16", "int8")
HEADER = (
    "network | cosine to ONNX Runtime, least | float32, images/s | bfloat16, x float32 | recall@10"
    " | int8, x float32 | recall@10 | int8 accepted"
)


def parse(argument: str) -> tuple[Path, dict[str, str]]:
    """Return a file and its options."""
    path, *options = argument.split(",")
    return Path(path), dict(option.split("=", 1) for option in options)


def run_onnx(path: Path, spec: Any) -> Floats:
    """Embed some images by ONNX Runtime: Pillow's bilinear resizing, one image after the other."""
    import onnxruntime
    from PIL import Image

    from frieze.embedder import PIXELS

    session = onnxruntime.InferenceSession(path)
    (entry,), rows = session.get_inputs(), []
    height, width = spec.image_size
    for file in photographs("imagenette_val")[:N_COMPARED]:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
        values = PIXELS[spec.pixels](pixels[None].astype(np.float32) / np.float32(255))
        values = values if entry.shape[-1] == 3 else values.transpose(0, 3, 1, 2)
        rows.append(session.run(None, {entry.name: np.ascontiguousarray(values)})[0][0])
    outputs = np.stack(rows)
    if outputs.ndim == 3:
        return outputs[:, 0] if spec.pool == "cls" else outputs.mean(axis=1)
    return outputs.mean(axis=(2, 3)) if outputs.ndim == 4 else outputs


def least_cosine(path: Path, options: dict[str, str], folder: Path) -> float:
    """Return the least cosine of stored vectors to ONNX Runtime's."""
    files = [str(file) for file in photographs("imagenette_val")[:N_COMPARED]]
    (folder / "files.txt").write_text("\n".join(files))
    out = folder / f"{path.stem}.features"
    frieze.embed(folder / "files.txt", out=out, backbone=str(path), **options)
    table = frieze.open_features(out)
    order = np.argsort(np.argsort(files))
    judged = unit_rows(run_onnx(path, table.spec).astype(np.float32))
    return float((unit_rows(table.embeddings()[order]) * judged).sum(axis=1).min())


def row(path: Path, options: dict[str, str], folder: Path) -> list[object]:
    """Return a network's row: of each precision the fastest form that is accepted, else the fastest."""
    measured = [one for one in frieze.backbones(str(SOURCE), backbone=str(path), **options) if one["images_per_second"]]
    measured.sort(key=lambda one: (one["reason"] is None, one["images_per_second"]))
    best = {one["precision"]: one for one in measured}
    cells = [f"{best['float32']['images_per_second']:,.0f}"]
    for precision in PRECISIONS[1:]:
        one = best.get(precision)
        cells += [f"{one['times_float32']:.2f}", f"{one['drift']['recall_at_10']:.3f}"] if one else ["", ""]
    reason = best["int8"]["reason"] if "int8" in best else "it can't be made"
    return [
        path.stem,
        f"{least_cosine(path, options, folder):.6f}",
        *cells,
        "yes" if reason is None else f"no: {reason}",
    ]


def rows(folder: Path) -> Iterator[list[object]]:
    """Yield the table's rows."""
    for argument in sys.argv[1:]:
        yield row(*parse(argument), folder)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        show("onnx int8", HEADER, rows(Path(folder)))


if __name__ == "__main__":
    main()
