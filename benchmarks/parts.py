"""The parts of the work alone: decoding, and the network by each engine; prints JSON.

Usage: python benchmarks/parts.py decode FOLDER SIDE         images/s by one thread and by one a core; CPU-seconds an
                                                             image; seconds an image holds Python's interpreter
       python benchmarks/parts.py forward FOLDER SAVED_MODEL ENGINE PRECISION [OUT.npy]
                                                             images/s and CPU-seconds an image at the best setting
"""

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from embedder import (
    BackboneRequest,
    Setting,
    decode_for,
    find_devices,
    measure_rate,
    open_backbone,
    try_engines,
)
from features import BackboneSpec, count_cores

SECONDS = 5.0


def decode(folder: str, side: str) -> dict[str, float]:
    """Decode images from memory, by one thread and by one a core."""
    spec = BackboneSpec(name="", handle="", fingerprint="", dim=1, image_size=(int(side), int(side)))
    files = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))[:400]]
    one, cpu_s = _decode_rate(files, spec, 1)
    many, _ = _decode_rate(files, spec, count_cores())
    return {"one": one, "many": many, "cpu_s": cpu_s, "interpreter_s": _interpreter_s(files, spec)}


def _decode_rate(files: Sequence[bytes], spec: BackboneSpec, workers: int) -> tuple[float, float]:
    with ThreadPoolExecutor(workers) as pool:
        start, cpu = time.perf_counter(), time.process_time()
        n_images = len(list(pool.map(lambda data: decode_for(data, spec), files, chunksize=32)))
        return n_images / (time.perf_counter() - start), (time.process_time() - cpu) / n_images


def _interpreter_s(files: Sequence[bytes], spec: BackboneSpec) -> float:
    """See how much slower a thread that only runs Python gets while another decodes: so long it has to wait."""
    sys.setswitchinterval(1e-5)
    alone = _turns_beside(lambda: time.sleep(0.5))
    start = time.perf_counter()
    beside = _turns_beside(lambda: [decode_for(data, spec) for data in files])
    seconds = time.perf_counter() - start
    return max(0.0, seconds * (1 - beside / alone)) / len(files)


def _turns_beside(work: Callable[[], object]) -> float:
    """Give the turns a second that a loop in Python makes while other work goes on."""
    turns, done = [0], threading.Event()

    def turn() -> None:
        while not done.is_set():
            turns[0] += 1

    thread = threading.Thread(target=turn)
    start = time.perf_counter()
    thread.start()
    work()
    done.set()
    thread.join()
    return turns[0] / (time.perf_counter() - start)


def forward(folder: str, model: str, engine: str, precision: str, out: str = "") -> dict[str, object]:
    """Run the network alone, at its best setting."""
    backbone = open_backbone(BackboneRequest(handle=model))
    paths = sorted(Path(folder).rglob("*.jpg"))
    pixels = np.stack([decode_for(path.read_bytes(), backbone.spec)[0] for path in paths])
    setting = Setting(precision=precision, devices=find_devices())
    (trials,) = try_engines(engine, [engine], backbone, setting, pixels)
    made = trials[0].make(backbone)
    measure_rate(made, pixels, seconds=1)
    cpu, start = time.process_time(), time.perf_counter()
    rate = measure_rate(made, pixels, seconds=SECONDS)
    used, seconds = time.process_time() - cpu, time.perf_counter() - start
    if out:
        np.save(out, made.infer(pixels))
    return {"images_per_second": rate, "cpu_s": used / (rate * seconds), **dataclasses.asdict(trials[0].setting)}


if __name__ == "__main__":
    print(json.dumps({"decode": decode, "forward": forward}[sys.argv[1]](*sys.argv[2:])))
