"""The built-in backbone beside others: accuracy, speed, and start-up time.

Usage: FRIEZE_DATA=... python -m benchmarks.embedding.builtin_backbone [PASSAGE ...]  prints docs/benchmarks.md's table.
"""

import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks import DATA, FRIEZE
from benchmarks.embedding.accuracy import embed, nearest_accuracy
from benchmarks.tables import run_passages, show
from frieze.core import count_cores
from frieze.embedder import ENGINES, BackboneRequest, EngineSettings, open_backbone

SETS = ("flowers5_128", "imagenette_val", "neardup_ccby", "flowers_ccby_200", "cifar10_test_webdataset")
PEER, LARGE = "mobilenet_v1_025_128", "mobilenet_v2_100_224"
BACKBONES = ("builtin", PEER, LARGE)


def handle_of(backbone: str) -> str:
    """Return a backbone's handle."""
    return backbone if backbone == "builtin" else str(DATA / "backbones" / backbone / "saved_model")


def accuracy(folder: Path) -> None:
    """Print 1-NN and mAP of each backbone on each set."""
    rows = []
    for images in SETS:
        results = [nearest_accuracy(table.embeddings(), table.labels) for table in tables(folder, images)]
        rows.append([images, *(f"{nearest:.3f} / {mean:.3f}" for nearest, mean in results)])
    show("built-in accuracy", " | ".join(["images", *BACKBONES]), rows)


def tables(folder: Path, images: str) -> list:
    """Embed a set by each backbone."""
    return [embed(folder, images, backbone) for backbone in BACKBONES]


def rate(engine: str, precision: str, backbone: str) -> float:
    """Return the images a second of a network alone, the best of three rounds and of batches of 4, 8 and 64."""
    opened = open_backbone(BackboneRequest(handle=handle_of(backbone)))
    pixels = np.random.default_rng(0).integers(0, 256, (512, *opened.spec.image_size, 3), dtype=np.uint8)
    seconds = []
    for batch_size in (4, 8, 64):
        running = ENGINES[engine](
            opened, EngineSettings(precision=precision, batch_size=batch_size, streams=count_cores())
        )
        batches = [pixels[at : at + 64] for at in range(0, len(pixels), 64)]
        running.infer(batches[0])
        for _ in range(3):
            start_s = time.perf_counter()
            for wait in [running.submit(batch) for batch in batches]:
                wait()
            seconds.append(time.perf_counter() - start_s)
    return len(pixels) / min(seconds)


def speed(_: Path) -> None:
    """Print the forward rates of the built-in network and of MobileNetV2 on the same engine."""
    rows = []
    for engine, precision in (("tensorflow", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")):
        ours, large, peer = (rate(engine, precision, backbone) for backbone in ("builtin", LARGE, PEER))
        rows.append([engine, precision, f"{ours:,.0f}", f"{large:,.0f}", f"{ours / large:.1f}", f"{peer:,.0f}"])
    show("built-in speed", f"engine | precision | builtin | {LARGE} | ratio | {PEER}", rows)


def start(folder: Path) -> None:
    """Print the seconds of `frieze embed` for one image, as whole processes in turn."""
    image = next((DATA / "images" / "flowers_ccby_200").rglob("*.jpg"))
    seconds: dict[str, list[float]] = {"builtin": [], PEER: []}
    for number in range(5):
        for backbone, times in seconds.items():
            start_s = time.perf_counter()
            line = [FRIEZE, "embed", image, "--out", folder / f"{backbone}-{number}", "--backbone", handle_of(backbone)]
            subprocess.run(line, check=True, capture_output=True)
            times.append(time.perf_counter() - start_s)
    rows = [[backbone, *(float(edge(times)) for edge in (min, np.median, max))] for backbone, times in seconds.items()]
    show("built-in start", "backbone | least | median of 5 | most", rows, digits=2)


PASSAGES = {"accuracy": accuracy, "speed": speed, "start": start}

if __name__ == "__main__":
    run_passages(PASSAGES)
