"""Training of the student: a checkpoint after every epoch, deterministic for a seed."""

import copy
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import frieze.core
import frieze.features
from tools.distill.batches import BATCH, TrainingData, batches
from tools.distill.loss import distillation_loss
from tools.distill.student import Student
from tools.distill.whitening import whitening

_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 0.05
_WARMUP_STEPS = 200
_AVERAGE_DECAY = 0.998
"""Decay of the moving average of the weights, which is exported."""
_N_WHITENING_VIEWS = 4
"""Views that the whitening is fitted on: the whole images and three crops of each."""


class _State:
    """The student, its moving average, the optimizer and the number of finished epochs."""

    def __init__(self, data: TrainingData) -> None:
        torch.manual_seed(data.seed)
        self.student = Student().to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.student).eval()
        gains = [weight for weight in self.student.parameters() if weight.ndim < 2]  # noqa: PLR2004  a vector
        kernels = [weight for weight in self.student.parameters() if weight.ndim >= 2]  # noqa: PLR2004
        groups = [{"params": kernels, "weight_decay": _WEIGHT_DECAY}, {"params": gains, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=_LEARNING_RATE, fused=True)
        self.epoch = 0

    def save(self, path: Path) -> None:
        document = {name: getattr(self, name).state_dict() for name in ("student", "average", "optimizer")}
        frieze.core.write_file(path, lambda file: torch.save(document | {"epoch": self.epoch}, file))

    def load(self, path: Path) -> None:
        document = torch.load(path, weights_only=True)
        for name in ("student", "average", "optimizer"):
            getattr(self, name).load_state_dict(document[name])
        self.epoch = document["epoch"]


def train(data: TrainingData, checkpoint: Path) -> dict[str, np.ndarray]:
    """Train a student, resuming from the checkpoint.

    Args:
        data: The training set.
        checkpoint: File written after every epoch.

    Returns:
        The weights, averaged over the steps and whitened, by their names in `Student`.
    """
    torch.set_num_threads(frieze.core.count_cores())
    state = _State(data)
    if checkpoint.exists():
        state.load(checkpoint)

    def embed(pixels: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        images = pixels.permute(0, 3, 1, 2) / 255  # the channels stay last in memory
        return state.student((images * gain + shift).clamp(0, 1))

    embed = torch.compile(embed) if data.compiles else embed
    while state.epoch < data.epochs:
        loss = _run_epoch(state, embed, data)
        state.epoch += 1
        state.save(checkpoint)
        _log(f"epoch {state.epoch}: loss {loss:.4f}")
    _whiten(state.average, data)
    return {name: weight.double().numpy() for name, weight in state.average.state_dict().items()}


def _run_epoch(state: _State, embed: Callable[..., torch.Tensor], data: TrainingData) -> float:
    losses = []
    state.student.train()
    n_steps = len(data.rows) // BATCH
    for step, batch in enumerate(batches(data, state.epoch)):
        pixels, gain, shift, targets = map(torch.from_numpy, batch)
        _set_learning_rate(state.optimizer, state.epoch * n_steps + step, data.epochs * n_steps)
        with torch.autocast("cpu", torch.bfloat16):
            embeddings = embed(pixels, gain, shift)
        loss = distillation_loss(embeddings, targets)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()
        _move_average(state, state.epoch * n_steps + step)
        losses.append(float(loss.detach()))
    return sum(losses) / len(losses)


def _set_learning_rate(optimizer: torch.optim.Optimizer, step: int, n_steps: int) -> None:
    warmup = max(1, min(_WARMUP_STEPS, n_steps // 10))
    rate = _LEARNING_RATE * min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / n_steps))
    for group in optimizer.param_groups:
        group["lr"] = rate


def _move_average(state: _State, step: int) -> None:
    share = 1 - min(_AVERAGE_DECAY, (step + 1) / (step + 10))
    ours, theirs = list(state.average.state_dict().values()), list(state.student.state_dict().values())
    floats = [(one, other) for one, other in zip(ours, theirs, strict=True) if one.is_floating_point()]
    with torch.no_grad():
        torch._foreach_lerp_([one for one, _ in floats], [other for _, other in floats], share)


def _whiten(student: Student, data: TrainingData) -> None:
    """Fold the whitening into the last layer; with one view there is none."""
    whole, *crops = (
        _embed(student, np.load(view, mmap_mode="r"), data.rows) for view in data.views[:_N_WHITENING_VIEWS]
    )
    if crops:
        last, change = student.units["embedding"], torch.from_numpy(whitening(whole, crops))
        with torch.no_grad():
            last.weight.copy_(change @ last.weight)
            last.bias.copy_(change @ last.bias)


def _embed(student: Student, pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return float32 [N, 256], of unit length."""
    batches = (torch.from_numpy(pixels[rows[at : at + BATCH]]) for at in range(0, len(rows), BATCH))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return frieze.core.unit_rows(
            np.concatenate([student(one.permute(0, 3, 1, 2) / 255).numpy() for one in batches])
        )


def _log(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
