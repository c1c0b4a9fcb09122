"""Heads of several labels an image beside scikit-learn's OneVsRestClassifier: average precision and time.

Usage: FRIEZE_DATA=... python -m benchmarks.heads.multilabel   prints docs/benchmarks.md's table.

No set at hand has several labels an image, so that images are made of a set that has one: each is a grid of one to four
photographs, half of a set's for training and half for the test, and has their labels. scikit-learn gets the same
embeddings at unit length, and chooses C from the same values by the same measure, on three folds of the training rows.
"""

import functools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import frieze
from benchmarks import DATA
from benchmarks.tables import show
from frieze.core import Floats, unit_rows
from frieze.features import Features, open_features

BACKBONES = ("mobilenet_v2_100_224", "builtin")
SETS = ("imagenette_val", "flowers5_128")
N_IMAGES = {"train": 1600, "test": 800}
N_PHOTOGRAPHS = ([1, 2, 3, 4], [0.3, 0.35, 0.25, 0.1])
"""How many are in an image, and how often."""
PX = 224
COSTS = (0.3, 1, 3, 10, 30, 100, 300)
Mask = np.ndarray


def draw(photographs: list[Path], rng: np.random.Generator) -> Image.Image:
    """Return a photograph, or a grid of several."""
    if len(photographs) == 1:
        return Image.open(photographs[0]).convert("RGB").resize((PX, PX))
    image, half = Image.new("RGB", (PX, PX), (127, 127, 127)), PX // 2
    for file, place in zip(photographs, rng.permutation(4).tolist(), strict=False):
        image.paste(Image.open(file).convert("RGB").resize((half, half)), (half * (place % 2), half * (place // 2)))
    return image


def make(name: str, folder: Path) -> None:
    """Write the images of a set, and labels.parquet with `id`, `tags` and `part`."""
    files = sorted((DATA / "images" / name).glob("*/*.jpg"))
    rng, rows = np.random.default_rng(0), []
    shuffled = [files[number] for number in rng.permutation(len(files)).tolist()]
    halves = {"train": shuffled[::2], "test": shuffled[1::2]}
    for part, n_images in N_IMAGES.items():
        for number in range(n_images):
            n = rng.choice(N_PHOTOGRAPHS[0], p=N_PHOTOGRAPHS[1])
            chosen = [halves[part][one] for one in rng.choice(len(halves[part]), n, replace=False).tolist()]
            draw(chosen, rng).save(folder / f"{part}{number:04d}.jpg", quality=90)
            rows.append(
                {"id": f"{part}{number:04d}.jpg", "tags": sorted({one.parent.name for one in chosen}), "part": part}
            )
    schema = pa.schema([("id", pa.string()), ("tags", pa.list_(pa.string())), ("part", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / "labels.parquet")


def embed(images: Path, backbone: str, out: Path) -> Features:
    """Embed images with their labels."""
    handle = backbone if backbone == "builtin" else str(DATA / "backbones" / backbone / "saved_model")
    frieze.embed(images, out=out, backbone=handle, labels=images / "labels.parquet", label="tags")
    return open_features(out)


def read(table: Features) -> tuple[Floats, Mask, Mask]:
    """Return unit vectors, which labels each row has, and which rows are for training."""
    from sklearn.preprocessing import MultiLabelBinarizer

    has_label = MultiLabelBinarizer().fit_transform(table.rows["labels"].to_pylist()).astype(bool)
    return unit_rows(table.embeddings()), has_label, np.array(table.rows["part"].to_pylist()) == "train"


def scikit_learn(table: Features) -> tuple[float, float]:
    """Return the mean average precision of OneVsRestClassifier, and the seconds with the choice of C."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, make_scorer
    from sklearn.model_selection import GridSearchCV
    from sklearn.multiclass import OneVsRestClassifier

    vectors, has_label, is_train = read(table)
    scorer = make_scorer(average_precision_score, response_method="predict_proba")
    grid = {"estimator__C": list(COSTS)}
    search = GridSearchCV(OneVsRestClassifier(LogisticRegression(max_iter=1000)), grid, scoring=scorer, cv=3)
    started = time.perf_counter()
    search.fit(vectors[is_train], has_label[is_train])
    seconds = time.perf_counter() - started
    return float(average_precision_score(has_label[~is_train], search.predict_proba(vectors[~is_train]))), seconds


def rows(folder: Path) -> Iterator[list[object]]:
    """Yield a row for each set and backbone."""
    for name in SETS:
        images = folder / name
        images.mkdir()
        make(name, images)
        for backbone in BACKBONES:
            table = embed(images, backbone, folder / f"{name}-{backbone}.features")
            train = functools.partial(frieze.train, table.path, label="labels", split="part", force=True)
            fitted = {head: train(head=head, out=folder / "head") for head in ("linear", "svm")}
            theirs, seconds = scikit_learn(table)
            ours = [f"{one['map']:.3f} ({one['seconds']:.1f} s)" for one in fitted.values()]
            low, high = fitted["linear"]["map_interval"]
            yield [name, backbone, *ours, f"{low:.3f} to {high:.3f}", f"{theirs:.3f} ({seconds:.1f} s)"]


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="frieze-multilabel-") as folder:
        header = "photographs | backbone | **`linear`** | **`svm`** | its 95 % interval | OneVsRest"
        show("multilabel", header, rows(Path(folder)))


if __name__ == "__main__":
    main()
