"""The contestants of throughput.py and their images; each contestant is a process that prints JSON."""

import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks import DATA, FRIEZE

ROUNDS = 3
NETWORKS = {
    "mobilenet_v2_100_224": 224,
    "mobilenet_v2_100_224_bn": 224,
    "mobilenet_v1_025_128": 128,
    "resnet8_cifar10_32": 32,
}
Result = dict[str, Any]


def model(name: str) -> Path:
    """Return a SavedModel's folder."""
    return DATA / "backbones" / name / "saved_model"


def photographs(name: str) -> list[Path]:
    """List the images of a set, in the order in which every contestant reads them."""
    return sorted(path for path in (DATA / "images" / name).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


def natural(folder: Path, repeats: int = 10) -> Path:
    """Write 2,000 byte-distinct photographs: bytes after a JPEG's end make the repeats distinct."""
    return _copies(folder / f"natural-{repeats}", "flowers_ccby_200", repeats)


def _copies(out: Path, name: str, repeats: int) -> Path:
    for path in photographs(name) if not out.exists() else ():
        for number in range(repeats):
            copy = out / path.parent.name / f"{path.stem}-{number}.jpg"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes() + str(number).encode())
    return out


def real_large(folder: Path) -> Path:
    """Write ten byte-distinct copies of the real photographs of 2 to 24 megapixels."""
    return _copies(folder / "real-large", "large_photos", 10)


def large(folder: Path) -> Path:
    """Write 200 photographs, upscaled to 12 megapixels."""
    out = folder / "large"
    for path in photographs("flowers_ccby_200") if not out.exists() else ():
        copy = out / path.parent.name / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        image = Image.open(path).convert("RGB")
        size = (4000, 3000) if image.width > image.height else (3000, 4000)
        image.resize(size, Image.Resampling.BICUBIC).save(copy, quality=90)
    return out


def small(folder: Path) -> Path:
    """Unpack the 10,000 images of the CIFAR-10 test set."""
    out = folder / "small"
    for shard in sorted((DATA / "images" / "cifar10_test_webdataset").glob("*.tar")) if not out.exists() else ():
        with tarfile.open(shard) as opened:
            members = [member for member in opened if member.name.endswith(".jpg")]
            opened.extractall(out / shard.stem, members, filter="data")
    return out


def run(*command: object) -> Result:
    """Run a process and return the JSON that it prints."""
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr}")
    result: Result = json.loads(done.stdout)
    return result


def run_module(name: str, *arguments: object) -> Result:
    """Run a module of this folder."""
    return run(sys.executable, "-m", f"benchmarks.embedding.{name}", *arguments)


def embed(folder: Path, source: Path, network: str, *options: object) -> Result:
    """Run `frieze embed` into a new table, `folder / "out.features"`."""
    out = folder / "out.features"
    shutil.rmtree(out, ignore_errors=True)
    return run(FRIEZE, "embed", source, "--backbone", model(network), "--out", out, "--json", *options)


def tutorial_loop(source: Path, network: str) -> Result:
    """Run the loop of the tutorials."""
    return run_module("tutorial_loop", source, model(network), NETWORKS[network])


def in_turn(contestants: dict[str, Callable[[], Result]], *, rounds: int = ROUNDS) -> dict[str, list[Result]]:
    """Run the contestants in turn; return the results of each."""
    results: dict[str, list[Result]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            results[name].append(contestant())
            print(f"  {name}: {results[name][-1]['images_per_second']:.1f}", file=sys.stderr)
    return results


def decoding(source: Path, side: int) -> Result:
    """Decode alone."""
    result = run_module("decode_and_infer", "decode", source, side)
    return result | {"images_per_second": result["many"]}


def network_alone(network: str, engine: str, *options: object) -> Result:
    """Run the network alone on photographs, with options of `decode_and_infer forward`."""
    source = DATA / "images" / "imagenette_val"
    return run_module("decode_and_infer", "forward", source, model(network), engine, *options)


def peers(source: Path, network: str) -> dict[str, Callable[[], Result]]:
    """Return the other tools that are installed."""
    results: dict[str, Callable[[], Result]] = {}
    if network == "mobilenet_v2_100_224":
        weights = DATA / "backbones" / network / "keras" / "mobilenet_v2_notop.keras"
        keras = "Keras `image_dataset_from_directory` + `predict`"
        results[keras] = lambda: run_module("peers", "keras", source, weights)
        if importlib.util.find_spec("timm"):
            results["PyTorch `DataLoader` + timm"] = lambda: run_module("peers", "torch", source)
    if importlib.util.find_spec("tf2onnx"):
        onnx = ("peers", "onnx", DATA / "images" / "imagenette_val", model(network))
        results["the network alone, ONNX Runtime"] = lambda: run_module(*onnx)
    return results
