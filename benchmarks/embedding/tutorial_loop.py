"""The loop of the tutorials, the baseline of throughput.py: Pillow, then batches into a hub.KerasLayer, all defaults.

Usage: python -m benchmarks.embedding.tutorial_loop FOLDER SAVED_MODEL [SIDE]   prints images, seconds,
images_per_second as JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from frieze.core import import_tensorflow_hub

BATCH = 32


def read(path: Path, side: int) -> np.ndarray:
    """Decode and resize one image the way the tutorials do; float32 [side, side, 3] in [0, 1]."""
    image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32) / 255


def embed(paths: list[Path], layer: Any, side: int) -> np.ndarray:
    """Embed images in batches of 32."""
    batches = (paths[start : start + BATCH] for start in range(0, len(paths), BATCH))
    return np.concatenate([layer(np.stack([read(path, side) for path in batch])).numpy() for batch in batches])


def main() -> None:
    """Time the loop, without loading."""
    folder, model, side = Path(sys.argv[1]), sys.argv[2], int((sys.argv[3:] or ["224"])[0])
    layer = import_tensorflow_hub().KerasLayer(model, trainable=False)
    paths = sorted(folder.rglob("*.jpg"))
    layer(np.zeros((BATCH, side, side, 3), np.float32))
    start = time.perf_counter()
    n_images = len(embed(paths, layer, side))
    seconds = time.perf_counter() - start
    print(json.dumps({"images": n_images, "seconds": seconds, "images_per_second": n_images / seconds}))


if __name__ == "__main__":
    main()
