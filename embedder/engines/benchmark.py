"""Short trials: which engine is fastest here, with which batch size and how many streams."""

import collections
import dataclasses
import time
from collections.abc import Iterator, Sequence
from typing import Any

from frieze.core import ModelError, count_cores
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines import AUTO, Setting
from frieze.embedder.engines.base import ENGINES, Engine
from frieze.embedder.images.resize import Pixels

_TRIAL_S, _LONGEST_BATCH_S = 0.2, 1.0
"""How long a setting is tried, and how long a batch of it may be expected to take."""
_AS_GOOD = 0.97
"""A smaller batch, which takes less memory, wins with this share of the best speed."""
_TOGETHER = 32
_HANDED_A_CORE = 4
"""Images a core that a trial hands over at once: enough to keep every stream busy, few enough to end soon."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """An engine's setting, and how fast it was.

    Attributes:
        engine: Key in `ENGINES`.
        setting: How it ran.
        images_per_second: Of the network alone; None where it was not tried.
    """

    engine: str
    setting: Setting
    images_per_second: float | None = None

    @property
    def words(self) -> str:
        """Say what was tried."""
        streams = "" if self.setting.streams is None else f", {self.setting.streams} streams"
        stem = ", first layers in float32" if self.setting.has_float32_stem else ""
        return f"{self.engine}, batches of {self.setting.batch_size}{streams}{stem}"

    @property
    def told(self) -> dict[str, float | None]:
        """Say what was tried and how many images a second it ran; empty where it was not tried."""
        return {} if self.images_per_second is None else {self.words: round(self.images_per_second, 1)}

    def make(self, backbone: Backbone) -> Engine:
        """Make the engine."""
        return ENGINES[self.engine](backbone, self.setting)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON values."""
        rate = self.images_per_second
        return {"engine": self.engine, **self.setting.to_json(), "images_per_second": rate and round(rate, 1)}


def try_engines(
    asked: str, names: Sequence[str], backbone: Backbone, setting: Setting, pixels: Pixels
) -> list[list[Trial]]:
    """Try each engine in its settings.

    Args:
        asked: An engine, or `auto`: then one that can't run the backbone is left out.
        names: The engines.
        backbone: What they run.
        setting: Precision, devices and, where it is given, batch size.
        pixels: uint8 [n, H, W, 3], n >= 1.

    Returns:
        Each engine's trials, the winner first; of the engines the fastest first.

    Raises:
        ModelError: The engine that was asked for can't run the backbone.
    """
    found = []
    for name in names:
        try:
            trials = list(_trials(name, backbone, setting, pixels))
        except ModelError:
            if asked != AUTO:
                raise
            continue
        found.append(_best_first(trials))
    return sorted(found, key=lambda trials: -_rate(trials[0]))


def _trials(name: str, backbone: Backbone, setting: Setting, pixels: Pixels) -> Iterator[Trial]:
    best = 0.0
    for one in _settings(name, setting):
        if best and (one.batch_size or 1) / best > _LONGEST_BATCH_S:
            return
        engine = ENGINES[name](backbone, one)
        best = max(best, rate := measure_rate(engine, pixels))
        yield Trial(name, dataclasses.replace(one, batch_size=engine.batch_size), rate)  # as memory has it


def _settings(name: str, setting: Setting) -> Iterator[Setting]:
    settings = ENGINES[name].settings(setting)
    return settings if setting.batch_size is None else iter([setting])


def _best_first(trials: list[Trial]) -> list[Trial]:
    best = max(_rate(trial) for trial in trials)
    winner = next(trial for trial in trials if _rate(trial) >= _AS_GOOD * best)
    return [winner, *(trial for trial in trials if trial is not winner)]


def _rate(trial: Trial) -> float:
    return trial.images_per_second or 0.0


def measure_rate(engine: Engine, pixels: Pixels, *, seconds: float = _TRIAL_S) -> float:
    """Run a network on the same pixels again and again.

    Args:
        engine: Runs it.
        pixels: uint8 [n, H, W, 3], n >= 1.
        seconds: For how long at least, after batches that are not counted; where these take long, they are.

    Returns:
        Images per second.
    """
    step = _whole_batches(engine, _HANDED_A_CORE * count_cores())
    pieces = [pixels[at : at + step] for at in range(0, len(pixels), step)]
    start = time.perf_counter()
    n_warm = sum(len(wait()) for wait in [engine.submit(pieces[0]) for _ in range(engine.depth)])
    if (warm_s := time.perf_counter() - start) > _LONGEST_BATCH_S:
        return n_warm / warm_s
    flying, n_begun, n_done, start = collections.deque[Any](), 0, 0, time.perf_counter()
    while time.perf_counter() - start < seconds or not n_done:
        piece = pieces[n_begun % len(pieces)]
        flying.append(engine.submit(piece))
        n_begun += 1
        if len(flying) >= engine.depth:
            n_done += len(flying.popleft()())
    n_done += sum(len(wait()) for wait in flying)
    return n_done / (time.perf_counter() - start)


def images_per_call(engine: Engine) -> int:
    """Give how many images the pipeline hands to an engine at once: whole batches, and enough for few calls."""
    return _whole_batches(engine, _TOGETHER)


def _whole_batches(engine: Engine, n_images: int) -> int:
    return engine.batch_size * -(-n_images // engine.batch_size)
