"""Decoding alone, and the network alone by each engine; prints JSON.

Usage: python -m benchmarks.embedding.decode_and_infer decode FOLDER SIDE
           images/s of one thread and of one a core; CPU-seconds an image
       python -m benchmarks.embedding.decode_and_infer forward FOLDER SAVED_MODEL ENGINE [PRECISION] [--stem]
           [--out VECTORS.npy]
           images/s and CPU-seconds an image with the best engine settings
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from frieze.core import count_cores
from frieze.embedder import (
    BackboneRequest,
    EngineSettings,
    decode_for,
    find_devices,
    measure_rate,
    open_backbone,
    try_engines,
)
from frieze.features import BackboneSpec

SECONDS = 5.0
N_SAMPLE = 256


def decode(folder: str, side: str) -> dict[str, float]:
    """Decode images from memory, by one thread and by one a core."""
    spec = BackboneSpec(name="", handle="", fingerprint="", dim=1, image_size=(int(side), int(side)))
    files = [path.read_bytes() for path in _photographs(folder)[:400]]
    one, cpu_s = _decode_rate(files, spec, 1)
    many, _ = _decode_rate(files, spec, count_cores())
    return {"one": one, "many": many, "cpu_s": cpu_s}


def _decode_rate(files: Sequence[bytes], spec: BackboneSpec, workers: int) -> tuple[float, float]:
    with ThreadPoolExecutor(workers) as pool:
        start, cpu = time.perf_counter(), time.process_time()
        n_images = len(list(pool.map(lambda data: decode_for(data, spec), files, chunksize=32)))
        return n_images / (time.perf_counter() - start), (time.process_time() - cpu) / n_images


def forward(folder: str, model: str, *arguments: str) -> dict[str, object]:
    """Run the network alone with the best engine settings."""
    options = _options().parse_args(arguments)
    backbone = open_backbone(BackboneRequest(handle=model))
    pixels = np.stack([decode_for(path.read_bytes(), backbone.spec)[0] for path in _photographs(folder)])
    settings = EngineSettings(precision=options.precision, devices=find_devices(), has_float32_stem=options.stem)
    (trials,) = try_engines(options.engine, [options.engine], backbone, settings, pixels[:N_SAMPLE])
    engine = trials[0].make(backbone)
    measure_rate(engine, pixels, seconds=1)
    cpu, start = time.process_time(), time.perf_counter()
    rate = measure_rate(engine, pixels, seconds=SECONDS)
    used, seconds = time.process_time() - cpu, time.perf_counter() - start
    if options.out:
        np.save(options.out, engine.infer(pixels))
    return {"images_per_second": rate, "cpu_s": used / (rate * seconds), **trials[0].settings.to_json()}


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("engine")
    parser.add_argument("precision", nargs="?", default="float32")
    parser.add_argument("--stem", action="store_true")
    parser.add_argument("--out")
    return parser


def _photographs(folder: str) -> list[Path]:
    return sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


if __name__ == "__main__":
    print(json.dumps({"decode": decode, "forward": forward}[sys.argv[1]](*sys.argv[2:])))
