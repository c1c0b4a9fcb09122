"""`frieze finetune` against the linear probe and 1-NN on the same held-out photographs.

Usage: FRIEZE_DATA=... python -m benchmarks.heads.finetuning [PASSAGE ...]   prints docs/benchmarks.md's tables.

`seeds` (half an hour on two cores): three seeds, MobileNetV2 at 128 x 128 on flowers5_128, the last block and the last
four blocks unfrozen. 1-NN: each held-out image takes the label of its nearest training image, by the backbone before
fine-tuning and after it (`frieze embed --backbone MODEL`). `cache`: seconds of an epoch with and without `--cache`, no
augmentation, one seed, without the first epoch, which compiles. `rates`: learning rates on few images, MobileNetV2's
last 20 layers on up to 70 photographs a class of four sets at 96 pixels, two draws. `recipe2`: examples/recipe2.py at
224 pixels, VGG16 with random weights, beside plain Keras on the same split.
"""

import csv
import io
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

import frieze
from benchmarks import DATA
from benchmarks.tables import show
from frieze.core import unit_rows
from frieze.features import Features, open_features

WEIGHTS = DATA / "backbones" / "mobilenet_v2_100_224" / "keras" / "mobilenet_v2_notop.keras"
IMAGES, SIDE_PX = "flowers5_128", 128
BLOCK, BLOCKS = "block_16_expand", "block_13_expand"
SEEDS = (0, 1, 2)
EARLIER = 1e-4  # the learning rate of `seeds` and `cache`


def embed(folder: Path) -> Features:
    """Embed the photographs by the backbone before fine-tuning."""
    out = folder / "before.features"
    options = {"backbone": "keras:MobileNetV2", "weights": str(WEIGHTS), "image_size": SIDE_PX}
    frieze.embed(DATA / "images" / IMAGES, out=out, **options)
    return open_features(out)


def nearest_accuracy(table: Features, parts: dict[str, str]) -> float:
    """Return the share of held-out images whose nearest training image has their label."""
    unit, labels = unit_rows(table.embeddings()), table.labels
    is_test = np.array([parts[name] == "test" for name in table.ids])
    nearest = (unit[is_test] @ unit[~is_test].T).argmax(axis=1)
    return float((labels[~is_test][nearest] == labels[is_test]).mean())


def one_seed(before: Features, folder: Path, first: str, seed: int) -> list[float]:
    """Fine-tune once; return accuracies of probe and model, calibration errors, and 1-NN before and after."""
    model, after = folder / f"{first}-{seed}.model", folder / f"{first}-{seed}.features"
    tuned = frieze.finetune(before.path, out=model, unfreeze=first, seed=seed, learning_rate=EARLIER)
    frieze.embed(DATA / "images" / IMAGES, out=after, backbone=str(model))
    parts = {row["id"]: row["part"] for row in pq.read_table(model / "split.parquet").to_pylist()}
    tables = (before, open_features(after))
    errors = (tuned["probe"]["expected_calibration_error"], tuned["expected_calibration_error"])
    near = [nearest_accuracy(table, parts) for table in tables]
    return [
        tuned["probe_accuracy"],
        tuned["accuracy"],
        *tuned["confidence_interval"],
        *errors,
        *near,
        tuned["best_epoch"],
    ]


def seeds(folder: Path) -> None:
    """Print accuracies by unfrozen layers and seed, and their means."""
    before = embed(folder)
    header = (
        "free from | seed | probe | fine-tuned | its interval | calibration error of both | 1-NN before | 1-NN after"
        " | best epoch"
    )
    show("finetuning seeds", header, _by_seed(before, folder), f"{IMAGES}, {SIDE_PX} x {SIDE_PX}.")


def _by_seed(before: Features, folder: Path) -> Iterator[list[Any]]:
    for first in (BLOCK, BLOCKS):
        results = []
        for seed in SEEDS:
            results.append(one_seed(before, folder, first, seed))
            yield [first, *_row(str(seed), results[-1])]
        yield [first, *_row("mean", np.mean(results, axis=0).tolist())]


def _row(name: str, figures: list[float]) -> list[Any]:
    probe, tuned, low, high, was, now, before, after, epoch = figures
    return [name, probe, tuned, f"{low:.3f} to {high:.3f}", f"{was:.3f}, {now:.3f}", before, after, f"{epoch:.3g}"]


def cache(folder: Path) -> None:
    """Print seconds of an epoch without and with cached activations."""
    before = embed(folder)
    runs = [
        frieze.finetune(
            before.path,
            out=folder / f"{kept}.model",
            unfreeze=BLOCK,
            augment=False,
            cache=kept,
            patience=9,
            learning_rate=EARLIER,
        )
        for kept in (False, True)
    ]
    per_epoch = [float(np.median([epoch["seconds"] for epoch in one["history"][2:]])) for one in runs]
    rows = [
        [name, seconds, per_epoch[0] / seconds, one["accuracy"], one["probe_accuracy"], one["seconds"]]
        for name, seconds, one in zip(("images", "kept maps"), per_epoch, runs, strict=True)
    ]
    show("finetuning cache", "learns from | seconds an epoch | times faster | accuracy | probe | seconds in all", rows)


FEW = {"flowers5_128": (70, 150), "imagenette_val": (70, 30), "cifar10": (70, 80), "flowers_ccby_200": (28, 12)}
"""Set -> training images a class, a tenth of them for validation, and held-out images a class."""
RATES = (1e-4, 3e-4, 1e-3)


def rates(folder: Path) -> None:
    """Print accuracies of few images a class by learning rate."""
    tables = {(name, seed): _few(folder, name, seed) for name in FEW for seed in SEEDS[:2]}
    header = "set | draw | held out | probe | " + " | ".join(f"at {rate:g}" for rate in RATES)
    show("finetuning rates", header, (_by_rate(folder, table, *key) for key, table in tables.items()))


def _by_rate(folder: Path, table: Path, name: str, seed: int) -> list[Any]:
    results = [
        frieze.finetune(table, out=folder / f"{name}-{seed}-{rate}.model", split="part", seed=seed, learning_rate=rate)
        for rate in RATES
    ]
    return [name, seed, results[0]["n_test"], results[0]["probe_accuracy"], *(one["accuracy"] for one in results)]


def _few(folder: Path, name: str, seed: int) -> Path:
    """Embed a random draw of a set; return its table."""
    images, (n_train, n_test) = _cifar(folder) if name == "cifar10" else DATA / "images" / name, FEW[name]
    rng, listed, out = np.random.default_rng(seed), folder / f"{name}-{seed}.csv", folder / f"{name}-{seed}.features"
    with listed.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "part"])
        for label in sorted(path for path in images.iterdir() if path.is_dir()):
            drawn = rng.permutation(sorted(path for path in label.iterdir() if path.suffix == ".jpg"))
            for number, path in enumerate(drawn[: n_train + n_test]):
                part = "val" if number < max(3, n_train // 10) else "train" if number < n_train else "test"
                rows.writerow([path, label.name, part])
    frieze.embed(listed, out=out, backbone="keras:MobileNetV2", weights=str(WEIGHTS), image_size=96)
    return out


def _cifar(folder: Path) -> Path:
    """Extract the images of two WebDataset shards into one folder a class, unless they are there."""
    out = folder / "cifar10"
    for shard in [] if out.exists() else sorted((DATA / "images" / "cifar10_test_webdataset").glob("*.tar"))[:2]:
        with tarfile.open(shard) as tar:
            names = [name.removesuffix(".jpg") for name in tar.getnames() if name.endswith(".jpg")]
            for name in names:
                image, label = (tar.extractfile(f"{name}.{kind}") for kind in ("jpg", "cls"))
                path = out / f"class{label.read().decode().strip()}" / f"{Path(name).name}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(image.read())
    return out


RECIPE2 = {"learning_rate": 1e-4, "schedule": "constant", "epochs": 4, "patience": 4}


def recipe2(folder: Path) -> None:
    """Print recipe 2 beside plain Keras: trainable parameters, losses and accuracy by seed."""
    header = (
        "by | seed | dense units | numbers that learn | loss, first epoch | last | validation loss, least | accuracy"
    )
    show("finetuning recipe2", header, _recipe2_rows(folder), "flowers_ccby_200: 40 held out, 15 for validation.")


def _recipe2_rows(folder: Path) -> Iterator[list[Any]]:
    import keras

    keras.utils.set_random_seed(11)
    network = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
    network.save_weights(folder / "vgg16.weights.h5")
    images, before = DATA / "images" / "flowers_ccby_200", folder / "vgg16.features"
    backbone = {"backbone": "keras:VGG16", "weights": str(folder / "vgg16.weights.h5"), "image_size": 224}
    frieze.embed(images, out=before, layer="block5_pool:flatten", **backbone)
    maps = _frozen_maps(network, sorted(images.glob("*/*.jpg")))
    for seed in SEEDS:
        out = folder / f"recipe2-{seed}.model"
        options = RECIPE2 | {"unfreeze": "block5_conv1", "layers": "256", "augment": False, "cache": True}
        tuned = frieze.finetune(before, out=out, seed=seed, **options)
        head = frieze.open_head(out).classifier.network
        losses = [epoch["loss"] for epoch in tuned["history"][1:]]
        least = min(epoch["val_loss"] for epoch in tuned["history"])
        n_trainable = tuned["n_unfrozen"] + head.count_params()
        yield ["frieze", seed, _units(head), n_trainable, losses[0], losses[-1], least, tuned["accuracy"]]
        yield ["Keras", seed, *_plain(network, maps, out, seed)]


def _units(network: Any) -> str:
    """Return the units of a network's dense layers, in order."""
    return ", ".join(str(layer.units) for layer in network.layers if hasattr(layer, "units"))


def _frozen_maps(network: Any, paths: list[Path]) -> dict[str, np.ndarray]:
    """Return the frozen blocks' activations of each image, by its id."""
    import keras

    lower = keras.Model(network.inputs[0], network.get_layer("block4_pool").output)
    opened = [Image.open(io.BytesIO(path.read_bytes())).convert("RGB") for path in paths]
    pixels = np.stack([np.asarray(one.resize((224, 224), Image.Resampling.BILINEAR), np.float32) for one in opened])
    maps = lower.predict(keras.applications.vgg16.preprocess_input(pixels), batch_size=16, verbose=0)
    return {f"{path.parent.name}/{path.name}": one for path, one in zip(paths, maps, strict=True)}


def _plain(network: Any, maps: dict[str, np.ndarray], model: Path, seed: int) -> list[Any]:
    """Train the last block under Flatten, Dense(256) and a softmax as a script would, on the model's split."""
    import keras

    keras.utils.set_random_seed(seed)
    convolutions = [network.get_layer(f"block5_conv{number}") for number in (1, 2, 3)]
    copies = [keras.layers.Conv2D.from_config(layer.get_config()) for layer in convolutions]
    rest = [keras.layers.MaxPooling2D(2, 2), keras.layers.Flatten(), keras.layers.Dense(256, activation="relu")]
    top = keras.Sequential([keras.Input((14, 14, 512)), *copies, *rest, keras.layers.Dense(5, activation="softmax")])
    for copy, layer in zip(copies, convolutions, strict=True):
        copy.set_weights(layer.get_weights())
    rows = pq.read_table(model / "split.parquet").to_pylist()
    classes = sorted({row["id"].split("/")[0] for row in rows})
    parts = {}
    for part in ("train", "validation", "test"):
        ids = [row["id"] for row in rows if row["part"] == part]
        codes = np.array([classes.index(name.split("/")[0]) for name in ids])
        parts[part] = (np.stack([maps[name] for name in ids]), codes)
    adam = keras.optimizers.Adam(RECIPE2["learning_rate"])
    top.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    best = keras.callbacks.EarlyStopping(patience=RECIPE2["patience"], restore_best_weights=True)
    watched = {"validation_data": parts["validation"], "callbacks": [best]}
    history = top.fit(*parts["train"], epochs=RECIPE2["epochs"], verbose=0, **watched).history
    accuracy = top.evaluate(*parts["test"], verbose=0)[1]
    losses = history["loss"]
    return [_units(top), top.count_params(), losses[0], losses[-1], min(history["val_loss"]), accuracy]


PASSAGES = {"seeds": seeds, "cache": cache, "rates": rates, "recipe2": recipe2}


def main() -> None:
    """Run the passages named on the command line, or all."""
    for name in sys.argv[1:] or PASSAGES:
        with tempfile.TemporaryDirectory(prefix="frieze-finetuning-") as folder:
            PASSAGES[name](Path(folder))


if __name__ == "__main__":
    main()
