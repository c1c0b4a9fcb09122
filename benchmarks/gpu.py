"""All that a machine with a GPU is asked at once, in under five minutes; a CPU stands in where there is no GPU.

Usage: python -m benchmarks.gpu [FOLDER]   prints the tables below "On a GPU" of docs/benchmarks.md
       FOLDER: images to measure with, 200 or more; 200 photographs below FRIEZE_DATA by default

Each passage is a process of its own: TensorFlow never returns a GPU's memory while it runs. The device is the first
that TensorFlow finds.
"""

import dataclasses
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import frieze
from benchmarks import DATA
from benchmarks.devices import describe_devices, find_device, peak_mb, put, reset_peak, split_device
from benchmarks.embedding.contestants import model, natural
from benchmarks.embedding.feeding import Images, rate
from benchmarks.heads.training_steps import by_precision
from benchmarks.tables import show
from frieze.core import Floats, InputError, count_cores, format_size, free_memory
from frieze.embedder import (
    ENGINES,
    PRECISIONS,
    Backbone,
    BackboneRequest,
    Decoder,
    EngineSettings,
    SourceOptions,
    measure_drift,
    measure_rate,
    open_backbone,
    open_source,
    stream,
)
from frieze.features import BackboneSpec, open_features

PHOTOGRAPHS = DATA / "images" / "flowers_ccby_200"
REFERENCE, ENOUGH = "tensorflow", 200
"""The engine that others are compared with, and so many images for recall@10."""
BATCHES = {"CPU": (1, 8, 32), "GPU": (32, 128, 512)}
TRAINED = {"CPU": 8, "GPU": 64}
"""Images of a training step."""
LOWER = {"CPU": "bfloat16", "GPU": "float16"}
"""The lower precision that a device may have."""
LOGICAL_MB = 3072
"""Memory of each of the two logical devices that a GPU is split into: a GPU of 8 GB has it."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured, and for how long.

    Attributes:
        folder: The images; None for the photographs below FRIEZE_DATA, of which copies are written.
        networks: Name -> handle of each backbone.
        seconds: For how long each rate is measured.
        n_images: Images a core that are decoded, and that are embedded end to end; of ten cores at the most.
        n_finetuned: Networks that are fine-tuned: 1 is `builtin` alone.
    """

    folder: Path | None
    networks: dict[str, str]
    seconds: float = 1.0
    n_images: int = 600
    n_finetuned: int = 2

    @property
    def source(self) -> Path:
        """The folder of images."""
        return self.folder or PHOTOGRAPHS

    @property
    def n_embedded(self) -> int:
        """How many images are embedded end to end."""
        return self.n_images * min(count_cores(), 10)


def decode(plan: Plan, spec: BackboneSpec, n_images: int) -> np.ndarray:
    """Decode images for a backbone: uint8 [n, H, W, 3] with n <= n_images."""
    source = open_source(plan.source, SourceOptions())
    rows = np.arange(min(n_images, len(source.listing.images)))
    batches = stream([rows], Decoder(source, spec), batch_size=32, workers=count_cores())
    return np.concatenate([batch.pixels for batch in batches])


def fill(images: np.ndarray, batch_size: int) -> np.ndarray:
    """Return whole batches of the images, the first ones again at the end."""
    return images[np.arange(batch_size * -(-len(images) // batch_size)) % len(images)]


def device(plan: Plan) -> None:
    """Print what the machine is, and what its cores can decode for a device."""
    show("gpu device", "what | this machine", _describe(plan))


def _describe(plan: Plan) -> Iterator[list[object]]:
    yield from describe_devices()
    yield ["cores; memory that is free", f"{count_cores()}; {format_size(free_memory())}"]
    images = Images("", plan.source, 224, plan.n_images * count_cores())
    for name, in_processes in (("threads", False), ("processes", True)):
        fed = rate(images, count_cores(), in_processes=in_processes)
        yield [f"images/s that decoding feeds, {name}, 224 x 224", f"{fed:,.0f}"]


def network(plan: Plan) -> None:
    """Print the throughput of the network alone by engine, precision and batch size, then the drift of each."""
    drifts: list[list[object]] = []
    of_host = "the process' resident memory" if find_device()[1] == "CPU" else "the GPU's memory"
    columns = "network | engine | precision | batch | images/s, pixels in the host's memory | on the device | peak MB"
    rows = (row for name in plan.networks for row in _measure_network(name, plan, drifts))
    show("gpu network", columns, rows, f"Peak: {of_host}.")
    columns = "network | engine | precision | device | images | least cosine | median | recall@10 | equal to the bit"
    show("gpu drift", columns, drifts, "From TensorFlow's float32 on the same device.", digits=6)


def _measure_network(name: str, plan: Plan, drifts: list[list[object]]) -> Iterator[list[object]]:
    """Yield a row for each batch size; collect the drift of each engine and precision."""
    backbone, (where, kind) = open_backbone(BackboneRequest(handle=plan.networks[name])), find_device()
    images = decode(plan, backbone.spec, max(ENOUGH, BATCHES[kind][-1]))
    reference = ENGINES[REFERENCE](backbone, EngineSettings(devices=(where,))).infer(images)
    on_cpu = ENGINES[REFERENCE](backbone, EngineSettings(devices=("CPU:0",))).infer(images)
    drifts.append([name, REFERENCE, "float32", "CPU:0", *_drift(on_cpu, reference)])
    for precision in PRECISIONS:
        settings = EngineSettings(precision=precision, devices=(where,))
        reasons = {engine: ENGINES[engine].unsupported_reason(settings) for engine in ENGINES}
        if all(reasons.values()):
            yield [name, "none", precision, *["-"] * 3, "; ".join(map(str, reasons.values()))]
        for engine in (engine for engine, reason in reasons.items() if reason is None):
            try:
                yield from (
                    [name, engine, precision, *row] for row in _by_batch(backbone, engine, settings, images, plan)
                )
                if (engine, precision) != (REFERENCE, "float32"):
                    embeddings = ENGINES[engine](backbone, settings).infer(images)
                    drifts.append([name, engine, precision, where, *_drift(embeddings, reference)])
            except InputError as error:
                yield [name, engine, precision, *["-"] * 3, error.message]


def _by_batch(
    backbone: Backbone, engine: str, settings: EngineSettings, images: np.ndarray, plan: Plan
) -> Iterator[list[object]]:
    (where,) = settings.devices
    for batch_size in BATCHES[where[:3]]:
        made = ENGINES[engine](backbone, dataclasses.replace(settings, batch_size=batch_size))
        pixels = fill(images, batch_size)
        made.infer(pixels[:batch_size])  # cuDNN selects its algorithms by the shape
        reset_peak(where)
        in_host = measure_rate(made, pixels, seconds=plan.seconds)
        peak, on_device = peak_mb(where), "-"
        if engine == REFERENCE:
            on_device = f"{measure_rate(made, put(pixels, where), seconds=plan.seconds):,.0f}"
        yield [made.batch_size, f"{in_host:,.0f}", on_device, peak]


def _drift(embeddings: Floats, reference: Floats) -> list[object]:
    drift = measure_drift(embeddings, reference)
    recall = "-" if drift["recall_at_10"] is None else drift["recall_at_10"]
    figures = [drift["images"], drift["least_cosine"], drift["median_cosine"], recall]
    return [*figures, "yes" if np.array_equal(embeddings, reference) else "no"]


def embed(plan: Plan) -> None:
    """Print `frieze embed` end to end, and its share of what the network does with its pixels in memory."""
    columns = (
        "network | precision | engine, batch x streams | images | images/s | the network alone | share of it"
        " | waits for reading and decoding | decoded by"
    )
    with tempfile.TemporaryDirectory(prefix="frieze-gpu-") as work:
        source = plan.folder or natural(Path(work), -(-plan.n_embedded // 200))
        ways = [(name, precision) for name in plan.networks for precision in ("float32", LOWER[find_device()[1]])]
        show("gpu embed", columns, (_embed(plan, source, Path(work), *way) for way in ways))


def _embed(plan: Plan, source: Path, work: Path, name: str, precision: str) -> list[object]:
    where, out, handle = find_device()[0], work / "out.features", plan.networks[name]
    options = {"precision": precision, "accept_drift": True, "device": where.lower(), "limit": plan.n_embedded}
    try:
        done = frieze.embed(source, out=out, backbone=handle, force=True, **options)
    except InputError as error:
        return [name, precision, *["-"] * 6, error.message]
    tuning = open_features(out).manifest.tuning
    chosen = {field: tuning.get(field) for field in ("batch_size", "streams")}
    settings = EngineSettings(
        precision=precision, devices=(where,), has_float32_stem=tuning.get("has_float32_stem", False), **chosen
    )
    backbone = open_backbone(BackboneRequest(handle=handle))
    engine = ENGINES[done["engine"]](backbone, settings)
    pixels = fill(decode(plan, backbone.spec, ENOUGH), engine.batch_size)
    engine.infer(pixels)
    alone = measure_rate(engine, pixels, seconds=2 * plan.seconds)
    waited = (done["stages"]["read"] + done["stages"]["decode"]) / done["seconds"]
    batching = f"{done['engine']}, {engine.batch_size} x {settings.streams or 1}"
    figures = [done["embedded"], *(f"{value:,.0f}" for value in (done["images_per_second"], alone))]
    shares = [f"{done['images_per_second'] / alone:.2f}", f"{waited:.2f}"]
    return [name, precision, batching, *figures, *shares, "processes" if done["decode_processes"] else "threads"]


def finetuning(plan: Plan) -> None:
    """Print the rate of training steps in float32 and in mixed precision."""
    columns = "network | policy | images a step | trained in | images/s | x float32 | peak MB"
    note = "All layers, augmented; pixels are read from memory. By the median step of the second of two epochs."
    weights = DATA / "backbones" / "mobilenet_v2_100_224" / "keras" / "mobilenet_v2_notop.keras"
    mobilenet = {"weights": str(weights) if weights.exists() else "random", "image_size": 224}
    requests = [BackboneRequest(), BackboneRequest(handle="keras:MobileNetV2", **mobilenet)]
    show("gpu finetuning", columns, (row for one in requests[: plan.n_finetuned] for row in _finetune(plan, one)), note)


def _finetune(plan: Plan, request: BackboneRequest) -> Iterator[list[object]]:
    batch_size = TRAINED[find_device()[1]]
    pixels = fill(decode(plan, open_backbone(request).spec, 8 * batch_size), 8 * batch_size)
    with tempfile.TemporaryDirectory(prefix="frieze-gpu-") as work:
        try:
            for policy, *row in by_precision(request, pixels, Path(work), batch_size=batch_size):
                yield [request.handle, policy, batch_size, *row]
        except InputError as error:  # too little memory
            yield [request.handle, "none", batch_size, *["-"] * 3, error.message]


def several(plan: Plan) -> None:
    """Print the rate of the TensorFlow engine on two logical devices of one device, beside that on one of them."""
    names = split_device(LOGICAL_MB)
    columns = "network | devices | images/s | x one | least cosine to the vectors of one | equal to the bit"
    rows = (row for name in plan.networks for row in _on_each(name, plan, names))
    show("gpu several", columns, rows, f"Memory of a GPU's half: {LOGICAL_MB:,} MB.", digits=6)


def _on_each(name: str, plan: Plan, names: list[str]) -> Iterator[list[object]]:
    backbone, batch_size = open_backbone(BackboneRequest(handle=plan.networks[name])), BATCHES[names[0][:3]][-2]
    pixels = fill(decode(plan, backbone.spec, 4 * batch_size), 2 * batch_size)  # one for each at least
    first_rate, first = 0.0, np.empty(0)
    for devices in (names[:1], names):
        engine = ENGINES[REFERENCE](backbone, EngineSettings(devices=tuple(devices), batch_size=batch_size))
        waits = [engine.submit(pixels[at : at + batch_size]) for at in range(0, len(pixels), batch_size)]
        embeddings = np.concatenate([wait() for wait in waits])
        measured = measure_rate(engine, pixels, seconds=2 * plan.seconds)
        if len(devices) == 1:
            first_rate, first = measured, embeddings
        least = measure_drift(embeddings, first)["least_cosine"]
        equal = "yes" if np.array_equal(embeddings, first) else "no"
        yield [name, ", ".join(devices), f"{measured:,.0f}", f"{measured / first_rate:.2f}", least, equal]


PASSAGES: dict[str, Callable[[Plan], None]] = {
    one.__name__: one for one in (device, network, embed, finetuning, several)
}


def run_alone(passage: Callable[[Plan], None], plan: Plan) -> bool:
    """Run a passage in a process of its own; return whether it came to its end."""
    process = multiprocessing.get_context("spawn").Process(target=passage, args=(plan,))
    process.start()
    process.join()
    return process.exitcode == 0


def main() -> None:
    """Run all passages; one that fails does not keep the others from running."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    networks = {"builtin": "builtin"}
    if model("mobilenet_v2_100_224").exists():
        networks["mobilenet_v2_100_224"] = str(model("mobilenet_v2_100_224"))
    start, plan = time.perf_counter(), Plan(folder, networks)
    if not plan.source.is_dir():
        raise SystemExit(f"There is no folder {plan.source}: type a folder of images behind the command.")
    failed = [name for name, passage in PASSAGES.items() if not run_alone(passage, plan)]
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    if failed:
        raise SystemExit(f"Failed, with their errors above: {', '.join(failed)}")


if __name__ == "__main__":
    main()
