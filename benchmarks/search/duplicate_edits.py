"""Do `frieze duplicates` and imagededup find eleven edits of 150 photographs among 2,000 others? And how quickly?

Usage: FRIEZE_DATA=... [IMAGEDEDUP_PYTHON=...] python -m benchmarks.search.duplicate_edits [edits|look-alikes|speed]

Prints the tables of docs/benchmarks.md. search/duplicate_collection.py describes the images. imagededup needs an
environment of its own, of which IMAGEDEDUP_PYTHON is the Python:

    python3.11 -m venv ID && ID/bin/pip install imagededup

Of groups every pair inside counts; of imagededup and of plain cosine every pair that reaches the threshold, which is
kinder to precision than groups of chained pairs. "Best" is the threshold of the highest F1 on these very pairs.
Pairs of untouched files count as wrong, and are printed below the tables, to be looked at.
"""

import collections
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import FRIEZE
from benchmarks.embedding.scale import run
from benchmarks.search.duplicate_collection import (
    IMAGES,
    N_MADE,
    Collection,
    Matrix,
    write_collection,
    write_look_alikes,
)
from benchmarks.search.duplicates import duplicates
from benchmarks.search.edits import EDITS
from benchmarks.search.made_images import LOOK_ALIKES
from benchmarks.search.run import MissingError, start
from benchmarks.tables import run_passages, show
from frieze.core import Floats, unit_rows
from frieze.features import open_features

BACKBONES = ("builtin", "mobilenet_v2_100_224")
N_BITS, PHASH_DISTANCE, CNN_COSINE = 64, 10, 0.9
N_SPEED, MAX_LISTED = 20_000, 40
WHOLE, ALONE = "`frieze duplicates`", "the same without confirmation"
UNCONFIRMED = """
import sys
from frieze.indexing import find_duplicates, open_index
find_duplicates(open_index(sys.argv[1]))
"""


@dataclasses.dataclass(frozen=True)
class Result:
    """The pairs that one method finds.

    Attributes:
        label: First cell.
        threshold: The lowest score of a pair; of PHash minus the largest distance.
        pairs: bool [N, N], symmetric: which two are copies of each other.
    """

    label: str
    threshold: float
    pairs: Matrix


def grouped(document: dict[str, Any], names: list[str]) -> Matrix:
    """Return which pairs of names stand in one group, [N, N]."""
    rows = {name: row for row, name in enumerate(names)}
    pairs = np.zeros((len(names), len(names)), bool)
    for group in document["groups"]:
        members = np.array([rows[name] for name in group["ids"]])
        pairs[np.ix_(members, members)] = True
    np.fill_diagonal(pairs, val=False)
    return pairs


def above(scores: Floats, threshold: float) -> Matrix:
    """Return which pairs [N, N] have a score of at least `threshold`."""
    pairs: Matrix = scores >= threshold
    np.fill_diagonal(pairs, val=False)
    return pairs


def best_threshold(scores: Floats, truth: Matrix) -> float:
    """Return the score at which the F1 of the pairs with at least that score is highest."""
    upper = np.triu_indices(len(scores), 1)
    order = np.argsort(-scores[upper], kind="stable")
    values, n_right = scores[upper][order], np.cumsum(truth[upper][order])
    f1 = 2 * n_right / (np.arange(1, len(order) + 1) + n_right[-1])
    is_last = np.append(values[1:] != values[:-1], True)  # of the pairs with one score
    return float(values[np.argmax(np.where(is_last, f1, 0))])


def precision_and_recall(pairs: Matrix, truth: Matrix) -> tuple[float, float]:
    """Return both over unordered pairs; precision is 1 where there is no pair."""
    n_right = (pairs & truth).sum()
    return float(n_right / pairs.sum()) if pairs.any() else 1.0, float(n_right / truth.sum())


def cosines(table: Path, names: list[str]) -> Floats:
    """Return the cosines [N, N] of a table's vectors, in the order of `names`."""
    opened = open_features(table)
    rows = {name: row for row, name in enumerate(opened.ids)}
    vectors = unit_rows(opened.embeddings()[[rows[name] for name in names]])
    return vectors @ vectors.T


def encode(method: str, collection: Collection, folder: Path) -> Floats:
    """Let imagededup encode the images; return the products of their encodings [N, N].

    Raises:
        MissingError: imagededup has no environment, or fails there.
    """
    python = os.environ.get("IMAGEDEDUP_PYTHON")
    if not python:
        raise MissingError("left out, its environment is not given")
    start(python, "-m", "benchmarks.search.duplicate_peers", method, collection.folder, folder / f"{method}.npz")
    with np.load(folder / f"{method}.npz") as stored:
        if stored["names"].tolist() != collection.names:
            raise MissingError("it could not read all images")
        encodings = stored["encodings"]
    products: Floats = encodings @ encodings.T
    return products


def peer_results(collection: Collection, truth: Matrix, folder: Path) -> Iterator[Result | tuple[str, str]]:
    """Yield imagededup's pairs at its own threshold and at the best; label and reason where it has none."""
    for method, name, default in (("phash", "PHash", N_BITS - 2 * PHASH_DISTANCE), ("cnn", "CNN", CNN_COSINE)):
        try:
            scores = encode(method, collection, folder)
        except MissingError as error:
            is_offline = "urlopen" in str(error)
            yield f"imagededup {name}", "left out, its weights can't be downloaded here" if is_offline else str(error)
            continue
        best = best_threshold(scores, truth)
        for label, threshold in (("its default", default), ("best", best)):
            shown = round((threshold - N_BITS) / 2) if method == "phash" else threshold
            yield Result(f"imagededup {name}, {label}", shown, above(scores, threshold))


def cosine_results(table: Path, backbone: str, collection: Collection, truth: Matrix) -> Iterator[Result]:
    """Yield the pairs by plain cosine at imagededup's threshold of its CNN, and at the best."""
    scores = cosines(table, collection.names)
    yield Result(f"cosine of {backbone}, imagededup's default", CNN_COSINE, above(scores, CNN_COSINE))
    best = best_threshold(scores, truth)
    yield Result(f"cosine of {backbone}, best", best, above(scores, best))


def method_rows(results: list[Result | tuple[str, str]], collection: Collection, truth: Matrix) -> Iterator[list[Any]]:
    """Yield each method's precision and recall of pairs."""
    is_untouched = collection.photographs < 0
    for result in results:
        if not isinstance(result, Result):
            yield [*result, "", "", "", "", ""]
            continue
        precision, recall = precision_and_recall(result.pairs, truth)
        wrong = result.pairs & ~truth
        n_untouched = int(wrong[np.ix_(is_untouched, is_untouched)].sum()) // 2
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        yield [result.label, result.threshold, precision, recall, f1, int(wrong.sum()) // 2, n_untouched]


def edit_rows(results: list[Result], collection: Collection) -> Iterator[list[Any]]:
    """Yield of each edit the share of its copies that are found together with their originals, by method."""
    originals = collection.rows_of("original")
    for edit in EDITS:
        copies = collection.rows_of(edit)
        yield [edit, *(float(result.pairs[originals, copies].mean()) for result in results)]


def kind_rows(documents: dict[str, dict[str, Any]], collection: Collection) -> Iterator[list[Any]]:
    """Yield of each edit how its copies are named, in the groups that keep the original."""
    edit_of = dict(zip(collection.names, collection.edits, strict=True))
    for backbone, document in documents.items():
        kinds: dict[str, collections.Counter[str]] = {edit: collections.Counter() for edit in EDITS}
        for group in document["groups"]:
            if edit_of[group["keep"]] == "original":
                for member in group.get("members", []):
                    kinds.get(edit_of[member["id"]], collections.Counter())[member["kind"]] += 1
        for edit, counts in kinds.items():
            right = EDITS[edit].kind
            among = sum(count for kind, count in counts.items() if right in kind.split("+"))
            most = ", ".join(f"{kind} {count}" for kind, count in counts.most_common(3))
            shares = [part / counts.total() for part in (counts[right], among)] if counts else ["", ""]
            yield [backbone, edit, right, counts.total(), *shares, most]


def kept(document: dict[str, Any], collection: Collection) -> str:
    """Return how many groups keep each edit, the most frequent first."""
    edit_of = dict(zip(collection.names, collection.edits, strict=True))
    counts = collections.Counter(edit_of[group["keep"]] or "untouched" for group in document["groups"])
    return ", ".join(f"{edit} {count}" for edit, count in counts.most_common())


def list_wrong(result: Result, collection: Collection, truth: Matrix) -> None:
    """Print wrong pairs, those of two untouched files marked: they may be copies that nobody knew of."""
    wrong = np.argwhere(np.triu(result.pairs & ~truth))
    print(f"\n{result.label}: {len(wrong):,} wrong pairs, of which at most {MAX_LISTED}:")
    for row, other in wrong[:MAX_LISTED].tolist():
        flag = "both untouched, look: " if max(collection.photographs[[row, other]]) < 0 else ""
        print(f"  {flag}{collection.names[row]}  {collection.names[other]}")


def use_empty_cache(folder: Path) -> None:
    """Let this process and those that it starts keep thumbnails and decisions in a new folder."""
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir=folder)


def edits(folder: Path) -> None:
    """Print the tables of the edits."""
    use_empty_cache(folder)
    collection = write_collection(folder / "images")
    truth = collection.truth()
    documents = {backbone: duplicates(collection.folder, backbone, folder) for backbone in BACKBONES}
    results: list[Result | tuple[str, str]] = [
        Result(f"**frieze**, {backbone}", document["min_score"], grouped(document, collection.names))
        for backbone, document in documents.items()
    ]
    results += peer_results(collection, truth, folder)
    for backbone in BACKBONES:
        results += cosine_results(folder / f"images-{backbone}.features", backbone, collection, truth)
    header = "method | score | precision | recall | F1 | wrong pairs | of them of two untouched"
    show("duplicates edits", header, method_rows(results, collection, truth))
    measured = [result for result in results if isinstance(result, Result)]
    columns = " | ".join(result.label.replace("**", "") for result in measured)
    show("duplicates each edit", f"edit | {columns}", edit_rows(measured, collection), digits=2)
    header = "backbone | edit | it is | members of groups that keep the original | named so | among other kinds | as"
    notes = (f"Kept by {backbone}: {kept(document, collection)}." for backbone, document in documents.items())
    show("duplicates kinds", header, kind_rows(documents, collection), *notes, digits=2)
    for result in measured[: len(BACKBONES)]:
        list_wrong(result, collection, truth)


def look_alikes(folder: Path) -> None:
    """Print the table of the made pictures, of which no two are copies."""
    use_empty_cache(folder)
    images = write_look_alikes(folder / "look-alikes")
    documents = {backbone: duplicates(images, backbone, folder) for backbone in BACKBONES}

    def rows() -> Iterator[list[Any]]:
        for kind in LOOK_ALIKES:
            names = [f"{kind}/{number:02d}.png" for number in range(N_MADE)]
            groups = [[set(group["ids"]) & set(names) for group in documents[name]["groups"]] for name in BACKBONES]
            n_pairs = [sum(len(members) * (len(members) - 1) // 2 for members in each) for each in groups]
            yield [kind, N_MADE, N_MADE * (N_MADE - 1) // 2, *n_pairs]

    show(
        "duplicates look-alikes",
        f"kind | images | pairs | {' | '.join(f'grouped, {name}' for name in BACKBONES)}",
        rows(),
    )


def speed(folder: Path) -> None:
    """Print seconds and memory of each step for 20,000 images, as whole processes with an empty cache."""
    use_empty_cache(folder)
    paths, table, index = folder / "paths.txt", folder / "speed.features", folder / "speed.index"
    images = sorted((IMAGES / "distill_pool").glob("*.jpg"))[:N_SPEED]
    paths.write_text("".join(f"{path}\n" for path in images), encoding="utf-8")
    seconds: dict[str, float] = {}

    def step(name: str, *command: object) -> tuple[list[str], str]:
        text, seconds[name], peak = run(*command)
        return [name, f"{seconds[name]:,.1f}", f"{peak:,.0f}"], text

    def rows() -> Iterator[list[str]]:
        for name, *arguments in (("embed", paths, "--out", table), ("index", table, "--out", index)):
            yield [*step(f"`frieze {name}`", FRIEZE, name, *arguments, "--json")[0], "", ""]
        yield [*step(ALONE, sys.executable, "-c", UNCONFIRMED, index)[0], "", ""]
        cells, text = step(WHOLE, FRIEZE, "duplicates", index, "--json")
        n_pairs = json.loads(text).get("n_compared", 0)
        yield [*cells, f"{n_pairs:,}", f"{n_pairs / max(0.1, seconds[WHOLE] - seconds[ALONE]):,.0f}"]
        yield [*step(f"{WHOLE} once more", FRIEZE, "duplicates", index, "--json")[0], "", ""]
        before = seconds["`frieze embed`"] + seconds["`frieze index`"]
        ratio = (before + seconds[WHOLE]) / (before + seconds[ALONE])
        yield [f"all three steps take {ratio:.2f} times as long as without confirmation", "", "", "", ""]

    show("duplicates speed", "step | seconds | peak MB | pairs compared | pairs a second", rows())


if __name__ == "__main__":
    run_passages({"edits": edits, "look-alikes": look_alikes, "speed": speed})
