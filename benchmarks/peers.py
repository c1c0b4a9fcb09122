"""What others do with the same folder of images; each prints JSON: images, seconds, images_per_second.

Usage: python benchmarks/peers.py keras FOLDER NETWORK.keras
       python benchmarks/peers.py torch FOLDER            MobileNetV2 of timm with random weights: speed alone
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from features import import_keras

SIDE, BATCH = 224, 32


def run_keras(folder: str, network: str) -> Callable[[], int]:
    """`image_dataset_from_directory` and `predict`, all defaults."""
    keras = import_keras()
    model = keras.Sequential([keras.layers.Rescaling(2 / 255, -1), keras.saving.load_model(network, compile=False)])
    model.predict(np.zeros((BATCH, SIDE, SIDE, 3), np.float32), verbose=0)
    dataset = keras.utils.image_dataset_from_directory(
        folder, labels=None, shuffle=False, image_size=(SIDE, SIDE), batch_size=BATCH, verbose=False
    )
    return lambda: len(model.predict(dataset, verbose=0))


def run_torch(folder: str, _network: str = "") -> Callable[[], int]:
    """`DataLoader` with a worker a core, and timm's own preprocessing."""
    import os

    import timm
    import torch
    from PIL import Image

    model = timm.create_model("mobilenetv2_100", pretrained=False, num_classes=0).eval()
    prepare = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    paths = sorted(Path(folder).rglob("*.jpg"))

    class Images(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, row: int) -> Any:
            return prepare(Image.open(paths[row]).convert("RGB"))

    loader = torch.utils.data.DataLoader(Images(), batch_size=BATCH, num_workers=os.cpu_count() or 1)

    def embed() -> int:
        with torch.inference_mode():
            return sum(len(model(batch)) for batch in loader)

    return embed


def main() -> None:
    """Time one peer, loading left out."""
    run = {"keras": run_keras, "torch": run_torch}[sys.argv[1]](*sys.argv[2:])
    start = time.perf_counter()
    n_images = run()
    seconds = time.perf_counter() - start
    print(json.dumps({"images": n_images, "seconds": seconds, "images_per_second": n_images / seconds}))


if __name__ == "__main__":
    main()
