"""How fast `frieze embed` is: against the loop of the tutorials, other tools, and the bound of this machine.

Usage: FRIEZE_DATA=... python benchmarks/embed.py [PASSAGE ...]   prints the tables of docs/benchmarks.md.

Every contestant is a process of its own; they run in turn, three times, and the medians are printed. A contestant's
time begins with the first image read and ends with the last vector: loading is left out, and told apart.
"""

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scale
from PIL import Image

from embedder import measure_drift
from features import count_cores, open_features

HERE = Path(__file__).parent
DATA = Path(os.environ.get("FRIEZE_DATA", HERE.parents[1] / "shared" / "data"))
FRIEZE = Path(sys.executable).with_name("frieze")
ROUNDS = 3
SPEED = ("mobilenet_v2_100_224", "mobilenet_v2_100_224_bn")
NETWORKS = {
    "mobilenet_v2_100_224": 224,
    "mobilenet_v2_100_224_bn": 224,
    "mobilenet_v1_025_128": 128,
    "resnet8_cifar10_32": 32,
}
Result = dict[str, Any]


def model(name: str) -> Path:
    """Give a SavedModel's folder."""
    return DATA / "backbones" / name / "saved_model"


def natural(folder: Path, repeats: int = 10) -> Path:
    """Make 2,000 photographs of other bytes: what follows a JPEG's end makes the repeats distinct."""
    made = folder / f"natural-{repeats}"
    for path in sorted((DATA / "images" / "flowers_ccby_200").rglob("*.jpg")) if not made.exists() else ():
        for number in range(repeats):
            copy = made / path.parent.name / f"{path.stem}-{number}.jpg"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes() + str(number).encode())
    return made


def large(folder: Path) -> Path:
    """Make 200 photographs of 12 megapixels, blown up."""
    made = folder / "large"
    for path in sorted((DATA / "images" / "flowers_ccby_200").rglob("*.jpg")) if not made.exists() else ():
        copy = made / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        image = Image.open(path).convert("RGB")
        size = (4000, 3000) if image.width > image.height else (3000, 4000)
        image.resize(size, Image.Resampling.BICUBIC).save(copy, quality=90)
    return made


def small(folder: Path) -> Path:
    """Unpack the 10,000 images of the CIFAR-10 test set."""
    made = folder / "small"
    for shard in sorted((DATA / "images" / "cifar10_test_webdataset").glob("*.tar")) if not made.exists() else ():
        with tarfile.open(shard) as opened:
            members = [member for member in opened if member.name.endswith(".jpg")]
            opened.extractall(made / shard.stem, members, filter="data")
    return made


def run(*words: object) -> Result:
    """Run a process and read the JSON that it prints."""
    done = subprocess.run(list(map(str, words)), check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")
    found: Result = json.loads(done.stdout)
    return found


def frieze(folder: Path, source: Path, network: str, **options: object) -> Result:
    """Run `frieze embed` into a new table, on settings that a first run has chosen."""
    out = folder / "out.features"
    shutil.rmtree(out, ignore_errors=True)
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    return run(FRIEZE, "embed", source, "--backbone", model(network), "--out", out, "--json", "--force", *words)


def recipe3(source: Path, network: str) -> Result:
    """Run the loop of the tutorials."""
    return run(sys.executable, HERE / "recipe3.py", source, model(network), NETWORKS[network])


def in_turn(contestants: dict[str, Callable[[], Result]]) -> dict[str, list[Result]]:
    """Let contestants run in turn."""
    found: dict[str, list[Result]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, contestant in contestants.items():
            found[name].append(contestant())
            print(f"  {name}: {found[name][-1]['images_per_second']:.1f}", file=sys.stderr)
    return found


def median(results: list[Result], name: str = "images_per_second") -> float:
    """Give the median of a figure."""
    return statistics.median(result[name] for result in results)


def show(title: str, header: str, rows: list[list[object]]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n\n| {header} |\n|{'---|' * len(header.split('|'))}")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


def speed(folder: Path) -> None:
    """Print the contestants on natural photographs, and the bound."""
    for network in SPEED:
        source = natural(folder)
        contestants: dict[str, Callable[[], Result]] = {
            "recipe 3's loop": lambda source=source, network=network: recipe3(source, network),
            "`frieze --engine tensorflow`": lambda source=source, network=network: frieze(
                folder, source, network, engine="tensorflow"
            ),
            "`frieze`": lambda source=source, network=network: frieze(folder, source, network),
            "`frieze --precision bfloat16 --accept-drift`": lambda source=source, network=network: low(
                folder, source, network
            ),
            "decoding alone": lambda source=source: decoding(source, 224),
            "network alone, TensorFlow": lambda network=network: network_alone(network, "tensorflow"),
            "network alone, OpenVINO": lambda network=network: network_alone(network, "openvino"),
        }
        found = in_turn(contestants | (peers(source) if not network.endswith("_bn") else {}))
        loop = median(found["recipe 3's loop"])
        rows = [[name, f"{median(one):,.0f}", f"{median(one) / loop:.2f}"] for name, one in found.items()]
        fastest = max(("network alone, TensorFlow", "network alone, OpenVINO"), key=lambda name: median(found[name]))
        cpu_s = median(found[fastest], "cpu_s"), median(found["decoding alone"], "cpu_s")
        bound = count_cores() / sum(cpu_s)
        share = median(found["`frieze`"]) / bound
        show(f"{network}, 2,000 natural photographs", "what | images/s | x recipe 3's loop", rows)
        print(
            f"\nBound: {count_cores()} cores / ({cpu_s[0] * 1e3:.2f} + {cpu_s[1] * 1e3:.2f} ms) = {bound:.0f} images/s"
        )
        print(f"`frieze` reaches {share:.2f} of it; {explained(found['`frieze`'][-1])}")


def explained(document: Result) -> str:
    """Say what a run told of itself."""
    told = ("engine", "batch_size", "startup_seconds", "cpu_seconds", "stages")
    return f"{document['advice']} { ({name: document[name] for name in told}) }"


def low(folder: Path, source: Path, network: str) -> Result:
    """Run in bfloat16, whatever that does."""
    out = folder / "out.features"
    words = ("--precision", "bfloat16", "--accept-drift", "--force", "--json")
    return run(FRIEZE, "embed", source, "--backbone", model(network), "--out", out, *words)


def decoding(source: Path, side: int) -> Result:
    """Decode alone."""
    found = run(sys.executable, HERE / "parts.py", "decode", source, side)
    return found | {"images_per_second": found["many"]}


def network_alone(network: str, engine: str, precision: str = "float32", *out: Path) -> Result:
    """Run the network alone on photographs."""
    source = DATA / "images" / "flowers_ccby_200"
    return run(sys.executable, HERE / "parts.py", "forward", source, model(network), engine, precision, *out)


def peers(source: Path) -> dict[str, Callable[[], Result]]:
    """Name the other tools that are installed."""
    script = HERE / "peers.py"
    weights = DATA / "backbones" / "mobilenet_v2_100_224" / "keras" / "mobilenet_v2_notop.keras"
    found: dict[str, Callable[[], Result]] = {
        "Keras `image_dataset_from_directory` + `predict`": lambda: run(
            sys.executable, script, "keras", source, weights
        )
    }
    if importlib.util.find_spec("timm"):
        found["PyTorch `DataLoader` + timm"] = lambda: run(sys.executable, script, "torch", source)
    return found


def sizes(folder: Path) -> None:
    """Print large photographs and small images."""
    rows = []
    for source, network in ((large(folder), "mobilenet_v2_100_224"), (small(folder), "mobilenet_v1_025_128")):
        found = in_turn(
            {
                "loop": lambda source=source, network=network: recipe3(source, network),
                "frieze": lambda source=source, network=network: frieze(folder, source, network),
            }
        )
        loop, ours = (median(found[name]) for name in ("loop", "frieze"))
        start = median(found["frieze"], "startup_seconds")
        n_images = found["loop"][0]["images"]
        rows.append(
            [source.name, n_images, network, f"{loop:,.1f}", f"{ours:,.1f}", f"{ours / loop:.2f}", f"{start:.1f}"]
        )
    show(
        "Large photographs (12 megapixels) and small images (32 x 32)",
        "images | n | backbone | recipe 3's loop | `frieze` | x | start, s",
        rows,
    )


def precisions(folder: Path) -> None:
    """Print what engines and precisions do to speed and vectors, the network alone."""
    rows = []
    for network in NETWORKS:
        table = folder / f"{network}.features"
        source = DATA / "images" / "imagenette_val"
        common = (FRIEZE, "embed", source, "--backbone", model(network), "--json", "--out")
        run(*common, table, "--engine", "tensorflow")
        reference = open_features(table)
        rate = {}
        for engine, precision in (("tensorflow", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")):
            alone = network_alone(network, engine, precision)
            rate[engine, precision] = alone["images_per_second"]
            other = folder / f"{network}-{engine}-{precision}.features"
            run(*common, other, "--engine", engine, "--precision", precision, "--accept-drift")
            stored = open_features(other)
            drift = measure_drift(stored.embeddings(), reference.embeddings())
            figures = [f"{drift[name]:.4f}" for name in ("least_cosine", "median_cosine", "recall_at_10")]
            times = rate[engine, precision] / max(rate[one] for one in rate if one[1] == "float32")
            setting = f"{alone['batch_size']} x {alone['streams'] or 1}"
            speed = [setting, f"{alone['images_per_second']:,.0f}", f"{times:.2f}"]
            rows.append([network, engine, precision, *speed, *figures, f"{nearest(stored):.3f}"])
    show(
        "Engines and precisions, the network alone; vectors of imagenette_val",
        "backbone | engine | precision | batch x streams | images/s | x best float32 | least cosine | median |"
        " recall@10 | 1-NN",
        rows,
    )


def nearest(table: Any) -> float:
    """Give leave-one-out cosine 1-NN accuracy."""
    embeddings, labels = table.embeddings(), table.labels
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    return float((labels[scores.argmax(axis=1)] == labels).mean())


def workers(folder: Path) -> None:
    """Print how the decoding grows with threads."""
    rows = []
    for source, side in ((natural(folder), 224), (large(folder), 224), (small(folder), 128)):
        found = [decoding(source, side) for _ in range(ROUNDS)]
        one, many, held = (median(found, name) for name in ("one", "many", "interpreter_s"))
        rows.append([source.name, f"{one:,.0f}", f"{many:,.0f}", f"{many / one:.2f}", f"{held * 1e3:.2f}"])
    header = f"images | 1 thread | {count_cores()} threads | x | interpreter held, ms an image"
    show("Decoding by threads, images/s", header, rows)


def memory(folder: Path) -> None:
    """Print the peak of memory by the number of images and by batch size."""
    rows = []
    for count, batch in ((200, 32), (2000, 8), (2000, 32), (2000, 128), (2000, 512)):
        source = natural(folder, count // 200)
        words = (FRIEZE, "embed", source, "--backbone", model("mobilenet_v2_100_224"), "--out", folder / "m.features")
        for engine in ("tensorflow", "openvino"):
            shutil.rmtree(folder / "m.features", ignore_errors=True)
            _, _, peak = scale.run(*words, "--engine", engine, "--batch-size", batch)
            rows.append([engine, count, batch, f"{peak:,.0f}"])
    show("Peak of memory, MB", "engine | images | batch | MB", rows)


PASSAGES = {"speed": speed, "sizes": sizes, "precisions": precisions, "workers": workers, "memory": memory}


def main() -> None:
    """Run the passages asked for, or all."""
    with tempfile.TemporaryDirectory(prefix="frieze-embed-") as folder:
        for name in sys.argv[1:] or PASSAGES:
            PASSAGES[name](Path(folder))


if __name__ == "__main__":
    main()
