"""Who runs in benchmarks/embed.py, and on which images; each contestant is a process that prints JSON."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).parent
DATA = Path(os.environ.get("FRIEZE_DATA", HERE.parents[1] / "shared" / "data"))
FRIEZE = Path(sys.executable).with_name("frieze")
ROUNDS = 3
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


def photographs(name: str) -> list[Path]:
    """List the images of a set, in the order in which all here read them."""
    return sorted(path for path in (DATA / "images" / name).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


def natural(folder: Path, repeats: int = 10) -> Path:
    """Make 2,000 photographs of other bytes: what follows a JPEG's end makes the repeats distinct."""
    made = folder / f"natural-{repeats}"
    for path in photographs("flowers_ccby_200") if not made.exists() else ():
        for number in range(repeats):
            copy = made / path.parent.name / f"{path.stem}-{number}.jpg"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes() + str(number).encode())
    return made


def large(folder: Path) -> Path:
    """Make 200 photographs of 12 megapixels, blown up."""
    made = folder / "large"
    for path in photographs("flowers_ccby_200") if not made.exists() else ():
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


def embed(folder: Path, source: Path, network: str, *words: object) -> Result:
    """Run `frieze embed` into a new table, which it leaves in `folder / "out.features"`."""
    out = folder / "out.features"
    shutil.rmtree(out, ignore_errors=True)
    return run(FRIEZE, "embed", source, "--backbone", model(network), "--out", out, "--json", *words)


def recipe3(source: Path, network: str) -> Result:
    """Run the loop of the tutorials."""
    return run(sys.executable, HERE / "recipe3.py", source, model(network), NETWORKS[network])


def in_turn(contestants: dict[str, Callable[[], Result]], *, rounds: int = ROUNDS) -> dict[str, list[Result]]:
    """Let contestants run in turn."""
    found: dict[str, list[Result]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            found[name].append(contestant())
            print(f"  {name}: {found[name][-1]['images_per_second']:.1f}", file=sys.stderr)
    return found


def decoding(source: Path, side: int) -> Result:
    """Decode alone."""
    found = run(sys.executable, HERE / "parts.py", "decode", source, side)
    return found | {"images_per_second": found["many"]}


def network_alone(network: str, engine: str, *words: object) -> Result:
    """Run the network alone on photographs; words are what `parts.py forward` takes behind the engine."""
    source = DATA / "images" / "imagenette_val"
    return run(sys.executable, HERE / "parts.py", "forward", source, model(network), engine, *words)


def peers(source: Path, network: str) -> dict[str, Callable[[], Result]]:
    """Name the other tools that are installed."""
    script = HERE / "peers.py"
    found: dict[str, Callable[[], Result]] = {}
    if network == "mobilenet_v2_100_224":
        weights = DATA / "backbones" / network / "keras" / "mobilenet_v2_notop.keras"
        keras = "Keras `image_dataset_from_directory` + `predict`"
        found[keras] = lambda: run(sys.executable, script, "keras", source, weights)
        if importlib.util.find_spec("timm"):
            found["PyTorch `DataLoader` + timm"] = lambda: run(sys.executable, script, "torch", source)
    if importlib.util.find_spec("tf2onnx"):
        words = (sys.executable, script, "onnx", DATA / "images" / "imagenette_val", model(network))
        found["the network alone, ONNX Runtime"] = lambda: run(*words)
    return found
