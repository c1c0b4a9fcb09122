"""Benchmark engines in short trials: which is fastest here, with which batch size and how many streams."""

import collections
import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

from frieze.core import ModelError, count_cores
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines import AUTO, EngineSettings
from frieze.embedder.engines.base import ENGINES, Engine
from frieze.embedder.images.resize import Pixels

_TRIAL_S, _LONGEST_BATCH_S = 0.2, 1.0
"""How long a trial runs, and how long one of its batches may be expected to take."""
_TRIALS_S, _TRIALS_SHARE = 2.0, 0.05
"""Trials end when they have taken so long, or this share of what the run will take, whichever is more."""
_AS_GOOD = 0.97
"""A smaller batch, which takes less memory, wins with this share of the best speed."""
_IMAGES_PER_CALL = 32
_IMAGES_PER_CORE = 4
"""Images a core that a trial submits at once: enough to keep every stream busy, few enough to end soon."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """An engine with its settings, and how fast it was.

    Attributes:
        engine: Key in `ENGINES`.
        settings: How it ran.
        images_per_second: Of the network alone; None where it was not measured.
    """

    engine: str
    settings: EngineSettings
    images_per_second: float | None = None

    @property
    def label(self) -> str:
        """Name of the trial in features.json."""
        streams = "" if self.settings.streams is None else f", {self.settings.streams} streams"
        first_layers = ", first layers in float32" if self.settings.has_float32_stem else ""
        return f"{self.engine}, batches of {self.settings.batch_size}{streams}{first_layers}"

    @property
    def timings(self) -> dict[str, float | None]:
        """Label -> images per second; empty where nothing was measured."""
        return {} if self.images_per_second is None else {self.label: round(self.images_per_second, 1)}

    def make(self, backbone: Backbone) -> Engine:
        """Make the engine."""
        return ENGINES[self.engine](backbone, self.settings)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        rate = self.images_per_second
        return {"engine": self.engine, **self.settings.to_json(), "images_per_second": rate and round(rate, 1)}


def try_engines(
    engine: str,
    names: Sequence[str],
    backbone: Backbone,
    settings: EngineSettings,
    pixels: Pixels,
    n_images: float = math.inf,
) -> list[list[Trial]]:
    """Measure each engine with each of its candidate settings, as long as the trials pay.

    Args:
        engine: `auto` to leave out an engine that can't run the backbone; else that is an error.
        names: The engines to try.
        backbone: What they run.
        settings: Precision, devices and, where it is given, batch size.
        pixels: uint8 [n, H, W, 3], n >= 1.
        n_images: How many the run will embed: for few, little time is spent on trials.

    Returns:
        Each engine's trials, its winner first; the fastest engine first.

    Raises:
        ModelError: The engine can't run the backbone.
    """
    by_engine, budget = [], _Budget(n_images)
    for name in names:
        try:
            trials = list(_trials(name, backbone, settings, pixels, budget))
        except ModelError:
            if engine != AUTO:
                raise
            continue
        if trials:
            by_engine.append(_best_first(trials))
    return sorted(by_engine, key=lambda trials: -_rate(trials[0]))


class _Budget:
    """The time that trials may take.

    Args:
        n_images: How many the run will embed.

    Attributes:
        best: Images per second of the fastest trial so far; 0 before the first.
    """

    def __init__(self, n_images: float) -> None:
        self.best = 0.0
        self._n_images = n_images
        self._started = time.perf_counter()

    @property
    def is_spent(self) -> bool:
        """Whether no further trial pays."""
        if not self.best:
            return False
        limit_s = max(_TRIALS_S, _TRIALS_SHARE * self._n_images / self.best)
        return time.perf_counter() - self._started > limit_s


def _trials(
    name: str, backbone: Backbone, settings: EngineSettings, pixels: Pixels, budget: _Budget
) -> Iterator[Trial]:
    best = 0.0
    for candidate in _candidates(name, settings):
        if budget.is_spent or (best and (candidate.batch_size or 1) / best > _LONGEST_BATCH_S):
            return
        engine = ENGINES[name](backbone, candidate)
        best = max(best, rate := measure_rate(engine, pixels))
        budget.best = max(budget.best, rate)
        yield Trial(name, dataclasses.replace(candidate, batch_size=engine.batch_size), rate)  # as memory has it


def _candidates(name: str, settings: EngineSettings) -> Iterator[EngineSettings]:
    candidates = ENGINES[name].candidate_settings(settings)
    return candidates if settings.batch_size is None else iter([settings])


def _best_first(trials: list[Trial]) -> list[Trial]:
    best = max(_rate(trial) for trial in trials)
    winner = next(trial for trial in trials if _rate(trial) >= _AS_GOOD * best)
    return [winner, *(trial for trial in trials if trial is not winner)]


def _rate(trial: Trial) -> float:
    return trial.images_per_second or 0.0


def measure_rate(engine: Engine, pixels: Pixels, *, seconds: float = _TRIAL_S) -> float:
    """Measure the throughput of an engine on the same pixels, run again and again.

    Args:
        engine: Runs the network.
        pixels: uint8 [n, H, W, 3], n >= 1.
        seconds: For how long at least, after warm-up batches; where these take long, they are the measurement.

    Returns:
        Images per second.
    """
    step = _round_up_to_batches(engine, _IMAGES_PER_CORE * count_cores())
    chunks = [pixels[at : at + step] for at in range(0, len(pixels), step)]
    for _ in range(2):  # the first may compile, or select the algorithms of a GPU
        start = time.perf_counter()
        n_warm = sum(len(wait()) for wait in [engine.submit(chunks[0]) for _ in range(engine.depth)])
        if (warm_s := time.perf_counter() - start) <= _LONGEST_BATCH_S:
            break
    else:
        return n_warm / warm_s
    in_flight, n_submitted, n_done, start = collections.deque[Any](), 0, 0, time.perf_counter()
    while time.perf_counter() - start < seconds or not n_done:
        chunk = chunks[n_submitted % len(chunks)]
        in_flight.append(engine.submit(chunk))
        n_submitted += 1
        if len(in_flight) >= engine.depth:
            n_done += len(in_flight.popleft()())
    n_done += sum(len(wait()) for wait in in_flight)
    return n_done / (time.perf_counter() - start)


def images_per_call(engine: Engine) -> int:
    """Return how many images the pipeline submits at once: whole batches, and enough for few calls."""
    return _round_up_to_batches(engine, _IMAGES_PER_CALL)


def _round_up_to_batches(engine: Engine, n_images: int) -> int:
    return engine.batch_size * -(-n_images // engine.batch_size)
