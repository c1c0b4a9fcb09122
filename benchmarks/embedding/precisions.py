"""Engines and precisions of four networks on real photographs: `frieze backbones --try`, twice.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.precisions | python -m benchmarks.update_docs
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

from benchmarks import FRIEZE
from benchmarks.embedding.contestants import DATA, NETWORKS, model
from benchmarks.tables import show

RUNS = 2


def tried() -> list[dict[str, Any]]:
    """Return the rows of a run over all networks."""
    handles = [word for network in NETWORKS for word in ("--backbone", str(model(network)))]
    command = [FRIEZE, "backbones", "--try", DATA / "images" / "imagenette_val", *handles, "--json"]
    rows: list[dict[str, Any]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return rows


def rows(runs: list[list[dict[str, Any]]]) -> Iterator[list[object]]:
    """Yield the table's rows: rates of the last run, ratios and recall of each."""
    for one, *others in zip(*reversed(runs), strict=True):
        if one["images_per_second"] is None:
            continue
        each = [*reversed(others), one]
        layers = one["float32_layers"]
        left = f"{len(layers)} layers" if isinstance(layers, list) else "the first layers"
        precision = f"{one['precision']}, {left} in float32" if layers else one["precision"]
        ratios = ", ".join(f"{run['times_float32']:.2f}" for run in each)
        recalls = ", ".join(f"{run['drift']['recall_at_10']:.3f}" for run in each)
        cosine = f"{one['drift']['least_cosine']:.4f}"
        figures = [f"{one['images_per_second']:,.0f}", ratios, recalls, cosine, "no" if one["reason"] else "yes"]
        yield [one["backbone"], one["engine"], precision, *figures]


def main() -> None:
    """Print the table."""
    header = "backbone | engine | precision | images/s | x float32 | recall@10 | least cosine | accepted"
    show("embed tried", header, rows([tried() for _ in range(RUNS)]))


if __name__ == "__main__":
    main()
