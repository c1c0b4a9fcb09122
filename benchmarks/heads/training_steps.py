"""Images a second of fine-tuning's steps in float32 and in mixed precision, for benchmarks/gpu.py."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import frieze
from benchmarks.devices import find_device, peak_mb, reset_peak
from frieze.classifiers import Devices, FinetuneConfig, FinetuneContext, finetune_head
from frieze.embedder import BackboneRequest, open_trainable

POLICIES = ("float32", "mixed_float16")
"""Keras' dtype policies of the backbone's layers."""


def by_precision(
    request: BackboneRequest, pixels: np.ndarray, work: Path, *, batch_size: int
) -> Iterator[list[object]]:
    """Fine-tune a whole backbone for two epochs by each policy.

    Args:
        request: A Keras model.
        pixels: uint8 [N, H, W, 3], of which two classes are made.
        work: Folder of tables and models, which are replaced.
        batch_size: Images a step.

    Yields:
        The policy, the precision that took effect, images a second by the median step of the second epoch, their ratio
        to float32's, and the peak memory in megabytes.
    """
    table, head, device, rates = work / "t.features", work / "t.head", find_device()[0], list[float]()
    items = [{"id": f"{row:06d}", "image": image, "label": "ab"[row % 2]} for row, image in enumerate(pixels)]
    frieze.embed(items, out=table, backbone=request.handle, weights=request.weights, image_size=request.image_size)
    frieze.train(table, out=head)
    for policy in POLICIES:
        reset_peak(device)
        rate, precision = _train(request, pixels, work / policy, policy, batch_size)
        rates.append(rate)
        yield [policy, precision, f"{rate:,.1f}", f"{rate / rates[0]:.2f}", peak_mb(device)]


def _train(request: BackboneRequest, pixels: np.ndarray, out: Path, policy: str, batch_size: int) -> tuple[float, str]:
    """Return images a second, and the precision that took effect."""
    backbone, ended, work = open_trainable(request, unfreeze="all"), list[float](), out.with_suffix(".work")
    work.mkdir()
    context = FinetuneContext(
        backbone,
        read=lambda rows: pixels[rows],
        save=lambda _: backbone.spec,
        work_dir=work,
        on_step=lambda *_: ended.append(time.perf_counter()),
        write_page=lambda _: None,
        devices=Devices((), policy),
    )
    table, probe = frieze.open_features(out.parent / "t.features"), frieze.open_head(out.parent / "t.head")
    config = FinetuneConfig(epochs=2, batch_size=batch_size)
    done = finetune_head(table, out, probe=probe, context=context, config=config)
    seconds = statistics.median(np.diff(ended[len(ended) // 2 :]))
    return batch_size / seconds, done["training_precision"]
