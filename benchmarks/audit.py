"""Audits of labels: are planted errors found first, and planted near-duplicates at all.

Usage: FRIEZE_DATA=folder python benchmarks/audit.py [labels|duplicates]   prints the tables of docs/benchmarks.md.
"""

import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from accuracy import DATA, embed
from PIL import Image, ImageOps
from report import show

import frieze
from frieze.core import Strings, unit_rows
from frieze.features import Features, open_features

IMAGES, BACKBONE = "flowers5_128", "mobilenet_v2_100_224"
SHARE, SEEDS = 0.05, range(10)
PLAIN_COSTS = (1.0, 3.0, 30.0)
"""scikit-learn's own, and that of published linear probes on unit vectors, with one between."""
N_EDITED = 60
EDITS: dict[str, Callable[[Image.Image], Image.Image] | None] = {
    "the same file": None,
    "JPEG again, quality 90": lambda image: image,
    "three quarters of the size": lambda image: image.resize((96, 96), Image.Resampling.LANCZOS),
    "mirrored": ImageOps.mirror,
    "4 pixels cropped off each side": lambda image: ImageOps.crop(image, 4),
    "grey": lambda image: image.convert("L").convert("RGB"),
}


def flip(labels: Strings, seed: int) -> tuple[Strings, np.ndarray]:
    """Give labels of which 5 % are another class's, drawn evenly, and which they are."""
    generator = np.random.default_rng(seed)
    classes, codes = np.unique(labels.astype(str), return_inverse=True)
    wrong = generator.choice(len(labels), round(SHARE * len(labels)), replace=False)
    codes[wrong] = (codes[wrong] + generator.integers(1, len(classes), len(wrong))) % len(classes)
    is_wrong = np.zeros(len(labels), bool)
    is_wrong[wrong] = True
    return classes[codes].astype(object), is_wrong


def audited(table: Features, labels: Strings, folder: Path) -> list[str]:
    """Audit a table's vectors under these labels; give the ids of the doubtful ones, the most certain first."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(table.embeddings().ravel()), table.spec.dim)
    columns = {"id": pa.array(table.ids), "label": pa.array(labels), "embedding": vectors}
    pq.write_table(pa.table(columns), folder / "v.parquet")
    frieze.import_vectors(folder / "v.parquet", out=folder / "v.features", force=True)
    frieze.audit(folder / "v.features", out=folder / "found.parquet", force=True)
    found = pq.read_table(folder / "found.parquet").to_pylist()
    return [row["id"] for row in found if row["kind"] == "label"]


def plainly(table: Features, labels: Strings) -> list[list[str]]:
    """Rank by scikit-learn's out-of-fold probability of the given label, the lowest first.

    Returns:
        The ids for each C, and again those of the C that is right most often out of fold.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    codes = np.unique(labels.astype(str), return_inverse=True)[1]
    embeddings, folds = unit_rows(table.embeddings()), StratifiedKFold(5, shuffle=True, random_state=0)
    ranked, n_right = [], []
    for cost in PLAIN_COSTS:
        model = LogisticRegression(C=cost, max_iter=1000)
        found = cross_val_predict(model, embeddings, codes, cv=folds, method="predict_proba")
        ranked.append(list(table.ids[np.argsort(found[np.arange(len(codes)), codes], kind="stable")]))
        n_right.append(int((found.argmax(axis=1) == codes).sum()))
    return [*ranked, ranked[int(np.argmax(n_right))]]


def share_found(ranked: list[str], table: Features, is_wrong: np.ndarray) -> float:
    """Give the share of the wrong ones among the first 5 % of a ranking."""
    first = set(ranked[: int(is_wrong.sum())])
    return float(np.mean([name in first for name in table.ids[is_wrong]]))


def measured(folder: Path) -> Iterator[list[object]]:
    """Give the shares found of each seed's flipped labels, by us and by scikit-learn, then their means."""
    table, rows = embed(folder, IMAGES, BACKBONE), []
    for seed in SEEDS:
        given, is_wrong = flip(table.labels, seed)
        ranked = [audited(table, given, folder), *plainly(table, given)]
        rows.append([share_found(one, table, is_wrong) for one in ranked])
        yield [seed, *rows[-1]]
    yield ["mean", *map(float, np.mean(rows, axis=0))]


def labels(folder: Path) -> None:
    """Print which share of flipped labels stands in the first 5 %."""
    header = " | ".join(
        ["seed", "**`frieze audit`**", *(f"scikit-learn, C {cost:g}" for cost in PLAIN_COSTS), "C chosen"]
    )
    show("audit labels", header, measured(folder))


def plant(source: Path, folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Copy a folder of classes and put edits of some images under the next class.

    Returns:
        Edit -> the ids of original and edit.
    """
    shutil.copytree(source, folder)
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    files = sorted(path.relative_to(folder) for path in folder.glob("*/*.jpg"))
    drawn = np.random.default_rng(0).choice(len(files), N_EDITED * len(EDITS), replace=False)
    planted: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for number, row in enumerate(drawn):
        name = list(EDITS)[number % len(EDITS)]
        other = classes[(classes.index(files[row].parent.name) + 1) % len(classes)]
        copy = Path(other, f"planted-{number}.jpg")
        _edit(folder / files[row], folder / copy, EDITS[name])
        planted[name].append((str(files[row]), str(copy)))
    return planted


def _edit(original: Path, copy: Path, edit: Callable[[Image.Image], Image.Image] | None) -> None:
    if edit is None:
        shutil.copy(original, copy)
    else:
        edit(Image.open(original).convert("RGB")).save(copy, quality=90)


def pairs_found(folder: Path, planted: dict[str, list[tuple[str, str]]]) -> Iterator[list[object]]:
    """Audit the planted folder with a head's split; count the pairs that are told, by edit."""
    backbone = DATA / "backbones" / BACKBONE / "saved_model"
    frieze.embed(folder / "planted", out=folder / "p.features", backbone=str(backbone))
    frieze.train(folder / "p.features", out=folder / "p.head")
    document = frieze.audit(folder / "p.features", out=folder / "p.parquet", head=folder / "p.head")
    split = pq.read_table(folder / "p.head" / "split.parquet")
    parts = dict(zip(split["id"].to_pylist(), split["part"].to_pylist(), strict=True))
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for row in pq.read_table(folder / "p.parquet").to_pylist():
        groups[row["kind"]][row["id"]] = row["group"]
    cosines = _cosines(open_features(folder / "p.features"), planted)
    for name, pairs in planted.items():
        across = [pair for pair in pairs if parts[pair[0]] != parts[pair[1]]]
        told = [_count(pairs, groups["duplicate_labels"]), _count(across, groups["duplicate_split"])]
        yield [name, *cosines[name], f"{told[0]} of {len(pairs)}", f"{told[1]} of {len(across)}"]
    told_of = {name for pairs in planted.values() for pair in pairs for name in pair}
    others = [_count_others(groups[kind], told_of) for kind in ("duplicate_labels", "duplicate_split")]
    yield ["groups told that hold no planted image", "", "", *others]
    yield [f"least score drawn from the {document['rows']:,} images", document["min_score"], "", "", ""]


def _cosines(table: Features, planted: dict[str, list[tuple[str, str]]]) -> dict[str, list[object]]:
    """Give of each edit the median cosine to the original, and for how many one of the two is the other's nearest."""
    unit, rows = unit_rows(table.embeddings()), {name: row for row, name in enumerate(table.ids)}
    scores = unit @ unit.T
    np.fill_diagonal(scores, -1)
    nearest, found = scores.argmax(axis=1), {}
    for name, pairs in planted.items():
        one, other = np.array([[rows[id_] for id_ in pair] for pair in pairs]).T
        is_nearest = (nearest[one] == other) | (nearest[other] == one)
        found[name] = [float(np.median(scores[one, other])), f"{is_nearest.sum()} of {len(pairs)}"]
    return found


def _count(pairs: list[tuple[str, str]], groups: dict[str, int]) -> int:
    return sum(one in groups and groups.get(other) == groups[one] for one, other in pairs)


def _count_others(groups: dict[str, int], planted: set[str]) -> int:
    return len(set(groups.values()) - {group for name, group in groups.items() if name in planted})


def duplicates(folder: Path) -> None:
    """Print which planted near-duplicates are told, under another label and across a split."""
    planted = plant(DATA / "images" / IMAGES, folder / "planted")
    show(
        "audit duplicates",
        "planted | median cosine | nearest of all | told under another label | told across a split",
        pairs_found(folder, planted),
    )


PASSAGES = {"labels": labels, "duplicates": duplicates}


def main() -> None:
    """Run the passages asked for, or all."""
    for name in sys.argv[1:] or PASSAGES:
        with tempfile.TemporaryDirectory(prefix="frieze-audit-") as folder:
            PASSAGES[name](Path(folder))


if __name__ == "__main__":
    main()
