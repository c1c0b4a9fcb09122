"""Throughput of `frieze embed`, beside the loop of the tutorials, other tools, and the bound of this machine.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.throughput [PASSAGE ...]   prints docs/benchmarks.md's tables.

Every contestant is a separate process; they run in turn, three times, and the medians are printed. A contestant's
time is from the first image read to the last vector; loading is measured separately.
"""

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks import FRIEZE
from benchmarks.embedding import scale
from benchmarks.embedding.contestants import (
    NETWORKS,
    Result,
    decoding,
    embed,
    in_turn,
    large,
    model,
    natural,
    network_alone,
    peers,
    photographs,
    real_large,
    small,
    tutorial_loop,
)
from benchmarks.tables import show
from frieze.core import count_cores
from frieze.embedder import measure_drift

FORMS = ("tensorflow float32", "openvino float32", "openvino bfloat16", "openvino bfloat16 --stem")
"""Engine, precision, and whether the first layers run in float32."""
SPEED = ("mobilenet_v2_100_224", "mobilenet_v2_100_224_bn")
LOOP, OURS, DECODING = "recipe 3's loop", "**`frieze`**", "decoding alone"
ALONE = {"the network alone, TensorFlow": "tensorflow", "the network alone, OpenVINO": "openvino"}


def median(results: list[Result], name: str = "images_per_second") -> float:
    """Return the median of a figure."""
    return statistics.median(result[name] for result in results)


def speed(folder: Path) -> None:
    """Print the contestants on natural photographs, and the bound."""
    for network in SPEED:
        measured = in_turn(_contestants(folder, natural(folder), network))
        loop = median(measured[LOOP])
        rows = [[name, f"{median(one):,.0f}", f"{median(one) / loop:.2f}"] for name, one in measured.items()]
        forward = min(median(measured[name], "cpu_s") for name in ALONE)
        decode = median(measured[DECODING], "cpu_s")
        bound = count_cores() / (forward + decode)
        formula = f"{count_cores()} cores / ({forward * 1e3:.2f} + {decode * 1e3:.2f} ms) = {bound:.0f} images/s"
        share = f"`frieze` reaches {median(measured[OURS]) / bound:.2f} of it."
        advice = f"It says: {measured[OURS][-1]['advice']}"
        show(f"embed {network}", "what | images/s | x the loop", rows, f"Bound: {formula}. {share} {advice}")


def _contestants(folder: Path, source: Path, network: str) -> dict[str, Callable[[], Result]]:
    return {
        LOOP: lambda: tutorial_loop(source, network),
        **peers(source, network),
        "`frieze --engine tensorflow`": lambda: embed(folder, source, network, "--engine", "tensorflow"),
        OURS: lambda: embed(folder, source, network),
        "`frieze --precision bfloat16`": lambda: embed(folder, source, network, "--precision", "bfloat16"),
        DECODING: lambda: decoding(source, 224),
        **{name: lambda engine=engine: network_alone(network, engine) for name, engine in ALONE.items()},
    }


def sizes(folder: Path) -> None:
    """Print large photographs and small images."""
    rows = []
    for what, source, network in (
        ("12 megapixels, blown up", large(folder), "mobilenet_v2_100_224"),
        ("2 to 24 megapixels, real", real_large(folder), "mobilenet_v2_100_224"),
        ("32 x 32 (CIFAR-10)", small(folder), "mobilenet_v1_025_128"),
    ):
        measured = in_turn(
            {
                "loop": lambda source=source, network=network: tutorial_loop(source, network),
                "frieze": lambda source=source, network=network: embed(folder, source, network),
            }
        )
        loop, ours = (median(measured[name]) for name in ("loop", "frieze"))
        count = f"{measured['loop'][0]['images']:,}"
        rows.append([what, count, network, f"{loop:,.1f}", f"{ours:,.1f}", f"{ours / loop:.2f}"])
    show("embed sizes", "images | n | backbone | recipe 3's loop | `frieze` | x", rows)


def start(folder: Path) -> None:
    """Print the seconds before the first image."""
    rows = []
    for what, source in (("200 images: nothing is tried", natural(folder, 1)), ("2,000 images", natural(folder))):
        measured = in_turn({what: lambda source=source: embed(folder, source, "mobilenet_v2_100_224")})
        rows.append([what, f"{median(measured[what], 'startup_seconds'):.1f}"])
    show("embed start", "images | seconds to the first image", rows)


def precisions(folder: Path) -> None:
    """Print speed and accuracy of engines and precisions, the network alone."""
    header = (
        "backbone | engine | precision | batch x streams | images/s | x best float32 | least cosine | median |"
        " recall@10 | 1-NN"
    )
    show("embed precisions", header, (row for network in NETWORKS for row in _precisions(folder, network)))


def _precisions(folder: Path, network: str) -> Iterator[list[object]]:
    measured = in_turn(
        {
            f"{network}, {how}": lambda how=how: network_alone(network, *how.split(), "--out", folder / f"{how}.npy")
            for how in FORMS
        },
        rounds=1,  # each runs for five seconds by itself
    )
    rates = dict(zip(FORMS, map(median, measured.values()), strict=True))
    best = max(rates[how] for how in FORMS if "bfloat16" not in how)
    reference = np.load(folder / f"{FORMS[0]}.npy")
    for how, results in zip(FORMS, measured.values(), strict=True):
        engine, precision, *stem = how.split()
        embeddings = np.load(folder / f"{how}.npy")
        drift = measure_drift(embeddings, reference)
        figures = [f"{drift[name]:.4f}" for name in ("least_cosine", "median_cosine", "recall_at_10")]
        batching = f"{results[-1]['batch_size']} x {results[-1]['streams'] or 1}"
        settings = [f"{precision}{', first layers float32' if stem else ''}", batching, f"{rates[how]:,.0f}"]
        yield [network, engine, *settings, f"{rates[how] / best:.2f}", *figures, nearest(embeddings)]


def nearest(embeddings: np.ndarray) -> float:
    """Return leave-one-out cosine 1-NN accuracy on imagenette_val."""
    labels = np.array([path.parent.name for path in photographs("imagenette_val")])
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    return float((labels[scores.argmax(axis=1)] == labels).mean())


def memory(folder: Path) -> None:
    """Print peak memory by number of images and batch size."""
    sizes = ((200, 32), (2000, 8), (2000, 32), (2000, 128), (2000, 512))
    rows = [[engine, *(_peak(folder, engine, *size) for size in sizes)] for engine in ("tensorflow", "openvino")]
    show("embed memory", " | ".join(["engine", *(f"{count:,} images, batch {batch}" for count, batch in sizes)]), rows)


def _peak(folder: Path, engine: str, count: int, batch: int) -> str:
    shutil.rmtree(folder / "m.features", ignore_errors=True)
    backbone = model("mobilenet_v2_100_224")
    command = (FRIEZE, "embed", natural(folder, count // 200), "--backbone", backbone, "--out", folder / "m.features")
    _, _, peak = scale.run(*command, "--engine", engine, "--batch-size", batch)
    return f"{peak:,.0f}"


PASSAGES = {passage.__name__: passage for passage in (speed, sizes, start, precisions, memory)}


def main() -> None:
    """Run the passages named on the command line, or all."""
    with tempfile.TemporaryDirectory(prefix="frieze-embed-") as folder:
        for name in sys.argv[1:] or PASSAGES:
            PASSAGES[name](Path(folder))


if __name__ == "__main__":
    main()
