"""`frieze audit` on photographs with planted label errors and planted near-duplicates.

Usage: FRIEZE_DATA=... python -m benchmarks.heads.label_errors [labels|duplicates]   prints docs/benchmarks.md's tables.
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
from PIL import Image, ImageOps

import frieze
from benchmarks import DATA
from benchmarks.embedding.accuracy import embed
from benchmarks.tables import show
from frieze.core import Strings, unit_rows
from frieze.features import Features, open_features

IMAGES, BACKBONE = "flowers5_128", "mobilenet_v2_100_224"
SHARE, SEEDS = 0.05, range(10)
PLAIN_COSTS = (1.0, 3.0, 30.0)
"""scikit-learn's default, the C of published linear probes on unit vectors, and one between."""
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
    """Return labels of which 5 % are another class's, drawn evenly, and a mask of those."""
    generator = np.random.default_rng(seed)
    classes, codes = np.unique(labels.astype(str), return_inverse=True)
    wrong = generator.choice(len(labels), round(SHARE * len(labels)), replace=False)
    codes[wrong] = (codes[wrong] + generator.integers(1, len(classes), len(wrong))) % len(classes)
    is_wrong = np.zeros(len(labels), bool)
    is_wrong[wrong] = True
    return classes[codes].astype(object), is_wrong


def audit_ranking(table: Features, labels: Strings, folder: Path) -> list[str]:
    """Audit a table's vectors under these labels; return the ids of the label issues, the most certain first."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(table.embeddings().ravel()), table.spec.dim)
    columns = {"id": pa.array(table.ids), "label": pa.array(labels), "embedding": vectors}
    pq.write_table(pa.table(columns), folder / "v.parquet")
    frieze.import_vectors(folder / "v.parquet", out=folder / "v.features", force=True)
    frieze.audit(folder / "v.features", out=folder / "found.parquet", force=True)
    findings = pq.read_table(folder / "found.parquet").to_pylist()
    return [row["id"] for row in findings if row["kind"] == "label"]


def baseline_rankings(table: Features, labels: Strings) -> list[list[str]]:
    """Rank by scikit-learn's out-of-fold probability of the given label, the lowest first.

    Returns:
        The ids for each C, then again for the C with the best out-of-fold accuracy.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    codes = np.unique(labels.astype(str), return_inverse=True)[1]
    embeddings, folds = unit_rows(table.embeddings()), StratifiedKFold(5, shuffle=True, random_state=0)
    ranked, n_right = [], []
    for cost in PLAIN_COSTS:
        model = LogisticRegression(C=cost, max_iter=1000)
        probabilities = cross_val_predict(model, embeddings, codes, cv=folds, method="predict_proba")
        ranked.append(list(table.ids[np.argsort(probabilities[np.arange(len(codes)), codes], kind="stable")]))
        n_right.append(int((probabilities.argmax(axis=1) == codes).sum()))
    return [*ranked, ranked[int(np.argmax(n_right))]]


def recall_of_errors(ranked: list[str], table: Features, is_wrong: np.ndarray) -> float:
    """Return the share of the wrong labels that stand in the first 5 % of a ranking."""
    first = set(ranked[: int(is_wrong.sum())])
    return float(np.mean([name in first for name in table.ids[is_wrong]]))


def shares_by_seed(folder: Path) -> Iterator[list[object]]:
    """Yield each seed's share of flipped labels found, ours and scikit-learn's, then the means."""
    table, rows = embed(folder, IMAGES, BACKBONE), []
    for seed in SEEDS:
        flipped, is_wrong = flip(table.labels, seed)
        rankings = [audit_ranking(table, flipped, folder), *baseline_rankings(table, flipped)]
        rows.append([recall_of_errors(ranking, table, is_wrong) for ranking in rankings])
        yield [seed, *rows[-1]]
    yield ["mean", *map(float, np.mean(rows, axis=0))]


def labels(folder: Path) -> None:
    """Print the share of flipped labels in the first 5 % of each ranking."""
    header = " | ".join(
        ["seed", "**`frieze audit`**", *(f"scikit-learn, C {cost:g}" for cost in PLAIN_COSTS), "C chosen"]
    )
    show("audit labels", header, shares_by_seed(folder))


def plant(source: Path, folder: Path) -> dict[str, list[tuple[str, str]]]:
    """Copy a folder of classes and add edits of some images to the next class.

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


def reported_pairs(folder: Path, planted: dict[str, list[tuple[str, str]]]) -> Iterator[list[object]]:
    """Audit the planted folder with a head's split; yield the pairs reported, by edit."""
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
        reported = [_count(pairs, groups["duplicate_labels"]), _count(across, groups["duplicate_split"])]
        yield [name, *cosines[name], f"{reported[0]} of {len(pairs)}", f"{reported[1]} of {len(across)}"]
    planted_ids = {name for pairs in planted.values() for pair in pairs for name in pair}
    others = [_count_others(groups[kind], planted_ids) for kind in ("duplicate_labels", "duplicate_split")]
    yield ["groups reported that hold no planted image", "", "", *others]
    yield [f"least score drawn from the {document['rows']:,} images", document["min_score"], "", "", ""]


def _cosines(table: Features, planted: dict[str, list[tuple[str, str]]]) -> dict[str, list[object]]:
    """Return each edit's median cosine to the original, and how many pairs are nearest neighbours."""
    unit, rows = unit_rows(table.embeddings()), {name: row for row, name in enumerate(table.ids)}
    scores = unit @ unit.T
    np.fill_diagonal(scores, -1)
    nearest, results = scores.argmax(axis=1), {}
    for name, pairs in planted.items():
        one, other = np.array([[rows[id_] for id_ in pair] for pair in pairs]).T
        is_nearest = (nearest[one] == other) | (nearest[other] == one)
        results[name] = [float(np.median(scores[one, other])), f"{is_nearest.sum()} of {len(pairs)}"]
    return results


def _count(pairs: list[tuple[str, str]], groups: dict[str, int]) -> int:
    return sum(one in groups and groups.get(other) == groups[one] for one, other in pairs)


def _count_others(groups: dict[str, int], planted: set[str]) -> int:
    return len(set(groups.values()) - {group for name, group in groups.items() if name in planted})


def duplicates(folder: Path) -> None:
    """Print the planted near-duplicates reported, under another label and across a split."""
    planted = plant(DATA / "images" / IMAGES, folder / "planted")
    show(
        "audit duplicates",
        "planted | median cosine | nearest of all | reported under another label | reported across a split",
        reported_pairs(folder, planted),
    )


PASSAGES = {"labels": labels, "duplicates": duplicates}


def main() -> None:
    """Run the passages named on the command line, or all."""
    for name in sys.argv[1:] or PASSAGES:
        with tempfile.TemporaryDirectory(prefix="frieze-audit-") as folder:
            PASSAGES[name](Path(folder))


if __name__ == "__main__":
    main()
