"""Other tools on the same folder of images; each prints JSON: images, seconds, images_per_second.

Usage: python -m benchmarks.embedding.peers keras FOLDER NETWORK.keras
       python -m benchmarks.embedding.peers onnx FOLDER SAVED_MODEL
       python -m benchmarks.embedding.peers torch FOLDER            timm's MobileNetV2, random weights: speed alone
"""

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import count_cores, import_keras
from frieze.embedder import BackboneRequest, decode_for, open_backbone

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
    """`DataLoader` with a worker a core, and timm's preprocessing."""
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


def run_onnx(folder: str, model: str) -> Callable[[], int]:
    """The network alone in ONNX Runtime: one single-threaded session a core, one image at a time (the fastest here)."""
    import onnxruntime
    import tf2onnx

    backbone = open_backbone(BackboneRequest(handle=model))
    (entry,), (last,) = backbone.frozen.inputs, backbone.frozen.outputs
    graph, _ = tf2onnx.convert.from_graph_def(
        backbone.frozen.graph.as_graph_def(), input_names=[entry.name], output_names=[last.name], opset=17
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    paths = [path for path in sorted(Path(folder).rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    pixels = [decode_for(path.read_bytes(), backbone.spec)[0][None] for path in paths]
    code = graph.SerializeToString()
    sessions = [onnxruntime.InferenceSession(code, options) for _ in range(count_cores())]
    shares = [pixels[number :: len(sessions)] for number in range(len(sessions))]

    def share(session: Any, images: list[Any]) -> int:
        return sum(len(session.run(None, {entry.name: image})[0]) for image in images)

    def embed() -> int:
        with ThreadPoolExecutor(len(sessions)) as pool:
            return sum(pool.map(share, sessions, shares))

    embed()
    return embed


def main() -> None:
    """Time one peer, without loading."""
    run = {"keras": run_keras, "torch": run_torch, "onnx": run_onnx}[sys.argv[1]](*sys.argv[2:])
    start = time.perf_counter()
    n_images = run()
    seconds = time.perf_counter() - start
    print(json.dumps({"images": n_images, "seconds": seconds, "images_per_second": n_images / seconds}))


if __name__ == "__main__":
    main()
