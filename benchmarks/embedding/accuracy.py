"""Accuracies of stored vectors on real photographs, and their cosines to a plain loop over the loaded module.

Usage: FRIEZE_DATA=folder python -m benchmarks.embedding.accuracy [PASSAGE ...]   prints docs/benchmarks.md's tables.
"""

import io
import itertools
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

import frieze
from benchmarks import DATA
from benchmarks.tables import run_passages, show
from frieze.core import Floats, unit_rows
from frieze.features import Features, open_features

SETS = ("imagenette_val", "flowers_ccby_200", "neardup_ccby")
BACKBONES = ("mobilenet_v2_100_224", "mobilenet_v2_100_224_bn", "mobilenet_v1_025_128", "builtin")
SEEDS = range(10)


def embed(folder: Path, images: str, backbone: str, **options: str) -> Features:
    """Embed a set of images by a backbone of the data folder, or by any other handle."""
    stored = DATA / "backbones" / backbone / "saved_model"
    out = folder / f"{images}-{backbone.replace(':', '-')}.features"
    handle = str(stored) if stored.exists() else backbone
    frieze.embed(DATA / "images" / images, out=out, backbone=handle, **options)
    return open_features(out)


def nearest_accuracy(embeddings: Floats, labels: np.ndarray) -> tuple[float, float]:
    """Return leave-one-out cosine 1-NN accuracy and mean average precision."""
    unit = unit_rows(embeddings)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1)[:, :-1]
    hits = labels[order] == labels[:, None]  # [N, N - 1]
    precision = hits.cumsum(1) / np.arange(1, hits.shape[1] + 1)
    n_hits = hits.sum(1)
    averages = (precision * hits).sum(1)[n_hits > 0] / n_hits[n_hits > 0]
    return float(hits[:, 0].mean()), float(averages.mean())


def mean_head_accuracy(table: Features, head: str) -> float:
    """Return a head's held-out accuracy, the mean of ten 80:20 splits."""
    with tempfile.TemporaryDirectory() as folder:
        return float(
            np.mean(
                [frieze.train(table.path, out=f"{folder}/{seed}", head=head, seed=seed)["accuracy"] for seed in SEEDS]
            )
        )


def open_srgb(path: str | Path) -> Image.Image:
    """Open an image in sRGB: with a colour profile all of it is converted by lcms2, before anything else."""
    image = Image.open(path)
    profile, image = image.info.get("icc_profile"), image.convert("RGB")
    if profile:
        there, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, there, srgb, ImageCms.Intent.RELATIVE_COLORIMETRIC)
    return image


def plain_loop(table: Features, backbone: str) -> Floats:
    """Embed a table's images without Frieze: Pillow full decode, sRGB, bilinear resize, the module, one by one."""
    import tensorflow as tf

    module = tf.saved_model.load(str(DATA / "backbones" / backbone / "saved_model"))
    height, width = table.spec.image_size
    embeddings = []
    for uri in table.rows["uri"].to_pylist():
        image = open_srgb(uri).resize((width, height), Image.Resampling.BILINEAR)
        embeddings.append(module(np.asarray(image, np.float32)[None] / 255.0).numpy()[0])
    return np.array(embeddings)


def cosines(one: Floats, other: Floats) -> Floats:
    """Return the cosine of each pair of rows."""
    return (unit_rows(one) * unit_rows(other)).sum(1)


def plain_figures(backbone: str, images: str) -> list[str]:
    """Return a plain loop's 1-NN, mAP and, where it stands there, head accuracy from the data's MANIFEST.md."""
    lines = (DATA / "MANIFEST.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    header = next(row for row in cells if row[0] == "backbone" and images in row)
    (cell,) = [row[header.index(images)] for row in cells[cells.index(header) :] if row[0] == backbone] or [""]
    return [figure.strip() for figure in cell.split("/")] if cell else []


def neighbours(folder: Path) -> None:
    """Print 1-NN, mAP and head accuracies of each backbone on each set."""
    rows = []
    for backbone in BACKBONES:
        for images in SETS:
            table = embed(folder, images, backbone)
            results = [*nearest_accuracy(table.embeddings(), table.labels)]
            results += [mean_head_accuracy(table, "linear")] if images != "neardup_ccby" else []
            plain = itertools.chain(plain_figures(backbone, images), itertools.repeat(""))
            cells = [f"{figure:.3f}" + f" ({one})" * bool(one) for figure, one in zip(results, plain, strict=False)]
            rows.append([backbone, images, *cells, *[""] * (3 - len(cells))])
    show("accuracy neighbours", "backbone | images | 1-NN | mAP | linear, ten splits", rows)


def truth(folder: Path) -> None:
    """Print the cosine of every stored vector to the plain loop's."""
    rows = []
    for backbone in ("mobilenet_v2_100_224", "mobilenet_v1_025_128"):
        for images in (*SETS, "coral_ccby_photos", "large_photos"):  # only the last are large
            table = embed(folder, images, backbone)
            results = cosines(table.embeddings(), plain_loop(table, backbone))
            rows.append([backbone, images, len(results), float(results.min()), float(np.median(results))])
    show("accuracy truth", "backbone | images | n | least | median", rows, digits=6)


def keras(folder: Path) -> None:
    """Print how keras:MobileNetV2 with the same weights agrees with the SavedModel."""
    weights = DATA / "backbones" / "mobilenet_v2_100_224" / "keras" / "mobilenet_v2_notop.keras"
    rows = []
    for images in SETS[1:]:
        ours = embed(folder, images, "keras:MobileNetV2", weights=str(weights)).embeddings()
        results = cosines(ours, embed(folder, images, "mobilenet_v2_100_224").embeddings())
        rows.append([images, len(results), float(results.min()), float(np.median(results))])
    show(
        "accuracy keras",
        "images | n | least | median",
        rows,
        digits=6,
    )


def heads(folder: Path) -> None:
    """Print the heads on flowers5_128, mean of ten splits."""
    rows = []
    for backbone in ("mobilenet_v1_025_128", "mobilenet_v2_100_224"):
        table = embed(folder, "flowers5_128", backbone)
        rows.append([backbone, *(mean_head_accuracy(table, head) for head in ("linear", "svm", "keras"))])
    show("accuracy heads", "backbone | linear | svm | keras", rows)


PASSAGES = {"neighbours": neighbours, "truth": truth, "keras": keras, "heads": heads}

if __name__ == "__main__":
    run_passages(PASSAGES)
