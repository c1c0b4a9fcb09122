"""Which engine runs a backbone in this run, how, and whether its vectors hold."""

import dataclasses
import importlib.metadata
import importlib.util
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from frieze.core import Floats, InputError, MismatchError, ModelError, count_cores
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines import AUTO, Setting, are_gpus, find_devices
from frieze.embedder.engines.accuracy import check_drift, measure_drift
from frieze.embedder.engines.base import ENGINES, REFERENCE, Engine, usable
from frieze.embedder.engines.benchmark import Trial, images_per_call, measure_rate, try_engines
from frieze.embedder.images.resize import Pixels
from frieze.embedder.job.calibration_sample import CalibrationSample
from frieze.embedder.job.options import JobOptions
from frieze.features import BackboneSpec, Manifest

_FEW = 32
"""Images that show whether an engine computes the same in float32."""
_SPARE = 1.5
"""How much faster decoding may be than the network: it must never be waited for."""
_LEAST_TOGETHER, _LONGEST_DECODE_S = 8, 0.1
"""Images decoded in one call are a multiple of this, and how long it may be expected to take where it has more."""
_CALLS_A_CORE = 4
"""Into how many calls a core's share of a few images is cut at least, so that all cores end together."""
_LIBRARIES = ("frieze", "openvino", "tensorflow")


@dataclasses.dataclass(frozen=True)
class Choice:
    """What runs the backbone.

    Attributes:
        engine: The engine, warm.
        batch_size: Images that are decoded together and handed to it at once.
        workers: Threads that decode.
        tuning: What features.json keeps, so that the next run need not try again; empty where nothing was tried.
        spec: The backbone's, with the drift that was measured.
    """

    engine: Engine
    batch_size: int
    workers: int
    tuning: dict[str, Any]
    spec: BackboneSpec


def choose_engine(backbone: Backbone, options: JobOptions, probe: CalibrationSample, stored: Manifest) -> Choice:
    """Choose an engine and its setting for a run.

    What an earlier run on this table chose is taken again as long as the same is asked, by the same libraries on the
    same kind of machine. Else, where there are many images, each engine is tried on some of them for a moment and the
    fastest is taken; where there are few, the reference. Every other engine or precision than the reference in float32
    is held against that one.

    Args:
        backbone: What is run.
        options: What is asked.
        probe: Some of the images.
        stored: What features.json says.

    Raises:
        InputError: What is asked can't be had here.
        ModelError: The engine asked for can't run the backbone.
        MismatchError: The vectors would be too far from the reference's.
    """
    devices = find_devices(options.device)
    setting = Setting(precision=backbone.spec.precision, devices=devices, batch_size=options.batch_size)
    names = usable(options.engine, setting)
    asked = _asked(options, setting)
    if stored.tuning.get("asked") == asked and _is_sound(stored.tuning, names):
        return _as_before(backbone, options, setting, stored)
    if not probe.is_full:
        return _Trials(backbone, options, probe, stored).choose([[Trial(name, setting)] for name in names], {})
    trials = try_engines(options.engine, names, backbone, setting, probe.pixels)
    return _Trials(backbone, options, probe, stored).choose(trials, asked)


def default_engine(backbone: Backbone) -> Engine:
    """Give an engine for a few images: the reference, or another where only that has the precision.

    Where nothing here has it, float32 takes its place: that is the truer vector.
    """
    setting = Setting(precision=backbone.spec.precision, devices=find_devices())
    try:
        return ENGINES[usable(AUTO, setting)[0]](backbone, setting)
    except InputError:
        return ENGINES[REFERENCE](backbone, dataclasses.replace(setting, precision="float32"))


def _asked(options: JobOptions, setting: Setting) -> dict[str, Any]:
    """Say what a choice depends on."""
    installed = [name for name in _LIBRARIES if importlib.util.find_spec(name)]
    return {
        "engine": options.engine,
        "precision": setting.precision,
        "batch_size": options.batch_size,
        "devices": list(setting.devices),
        "cores": count_cores(),
        "versions": {name: importlib.metadata.version(name) for name in installed},
    }


def _is_sound(tuning: dict[str, Any], names: Sequence[str]) -> bool:
    """Tell whether a stored choice can be taken again: it may come from another machine, or from somebody's hand."""
    numbers = [tuning.get(name) for name in ("batch_size", "decode_batch", "workers")]
    streams, has_stem = tuning.get("streams"), tuning.get("has_float32_stem", False)
    return (
        tuning.get("engine") in names
        and all(isinstance(number, int) and number > 0 for number in numbers)
        and (streams is None or (isinstance(streams, int) and streams > 0))
        and isinstance(has_stem, bool)
    )


def _as_before(backbone: Backbone, options: JobOptions, setting: Setting, stored: Manifest) -> Choice:
    tuning, drift = stored.tuning, stored.spec.drift
    if drift is not None and not options.accept_drift:
        check_drift(drift, engine=tuning["engine"], precision=setting.precision)
    setting = dataclasses.replace(
        setting,
        batch_size=tuning["batch_size"],
        streams=tuning["streams"],
        has_float32_stem=tuning.get("has_float32_stem", False),
    )
    engine = Trial(tuning["engine"], setting).make(backbone)
    spec = dataclasses.replace(backbone.spec, drift=drift)
    return _choice(engine, options, tuning, tuning, spec)


def _choice(
    engine: Engine, options: JobOptions, pipeline: dict[str, Any], tuning: dict[str, Any], spec: BackboneSpec
) -> Choice:
    """Let what was asked for overrule what the pipeline was found to need."""
    batch_size = options.batch_size or pipeline["decode_batch"]
    return Choice(engine, batch_size, options.workers or pipeline["workers"], tuning, spec)


def _check_is_lower(embeddings: Floats, reference: Floats, trial: Trial) -> None:
    """Refuse a precision that only stands in the name: where a processor lacks it, nothing is rewritten."""
    precision = trial.setting.precision
    if precision != "float32" and np.array_equal(embeddings, reference, equal_nan=True):
        raise ModelError(
            f"{trial.engine} runs this backbone in float32 here: {precision} changes nothing of it.",
            hint="Leave --precision out.",
        )


@dataclasses.dataclass(frozen=True)
class _Trials:
    """What was tried, and how its vectors are judged."""

    backbone: Backbone
    options: JobOptions
    probe: CalibrationSample
    stored: Manifest
    references: dict[int, Floats] = dataclasses.field(default_factory=dict)

    def choose(self, found: list[list[Trial]], asked: dict[str, Any]) -> Choice:
        """Take the fastest whose vectors hold."""
        problem: InputError | None = None
        tried = {name: rate for one in found for trial in one for name, rate in trial.told.items()}
        for trial in self._in_order(found):
            try:
                engine = trial.make(self.backbone)
                drift = self._drift(trial, engine)
            except (MismatchError, ModelError) as error:
                problem = problem or error
                continue
            timed = self._timed(trial, engine)
            pipeline = {"decode_batch": self._decode_batch(engine), "workers": self._workers(timed)}
            tuning = {"asked": asked, **timed.to_json(), **pipeline, "tried": tried | timed.told}
            spec = dataclasses.replace(self.backbone.spec, drift=drift)
            return _choice(engine, self.options, pipeline, tuning if asked else self.stored.tuning, spec)
        raise problem or ValueError("no engine was tried")

    def _in_order(self, found: list[list[Trial]]) -> Iterator[Trial]:
        """Give each engine's best trial, and after it what is truer."""
        for best, *_ in found:
            yield best
            for setting in ENGINES[best.engine].truer(best.setting):
                yield Trial(best.engine, setting)

    def _timed(self, trial: Trial, engine: Engine) -> Trial:
        if trial.images_per_second is not None or not self.probe.is_full:
            return trial
        return dataclasses.replace(trial, images_per_second=measure_rate(engine, self.probe.pixels))

    def _drift(self, trial: Trial, engine: Engine) -> dict[str, Any] | None:
        """Hold an engine's vectors against the reference's in float32."""
        precision = trial.setting.precision
        if (trial.engine, precision) == (REFERENCE, "float32"):
            return self.stored.spec.drift  # of rows that are there
        pixels = self.probe.pixels[:_FEW] if precision == "float32" else self.probe.pixels
        embeddings, wanted = engine.infer(pixels), self._wanted(pixels, trial.setting.devices)
        _check_is_lower(embeddings, wanted, trial)
        drift = {"engine": trial.engine} | measure_drift(embeddings, wanted)
        if not self.options.accept_drift:
            check_drift(drift, engine=trial.engine, precision=precision)
        before = self.stored.spec.drift
        is_better = before is not None and before.get("engine") == trial.engine and before["images"] > drift["images"]
        return before if is_better else drift

    def _wanted(self, pixels: Pixels, devices: tuple[str, ...]) -> Floats:
        """Give the reference's embeddings, made once for all that are held against them."""
        if len(pixels) not in self.references:
            self.references[len(pixels)] = ENGINES[REFERENCE](self.backbone, Setting(devices=devices)).infer(pixels)
        return self.references[len(pixels)]

    def _decode_batch(self, engine: Engine) -> int:
        """Give how many images to decode in one call: many where it is quick, few where cores would wait at the end."""
        if self.probe.is_full:
            most = math.ceil(_LONGEST_DECODE_S / self.probe.decode_s)
        else:
            most = len(self.probe.rows) // (_CALLS_A_CORE * count_cores())
        return min(images_per_call(engine), max(_LEAST_TOGETHER, most // _LEAST_TOGETHER * _LEAST_TOGETHER))

    def _workers(self, trial: Trial) -> int:
        """Divide the cores as decoding and the network divide the work."""
        cores, rate = count_cores(), trial.images_per_second
        if rate is None or are_gpus(trial.setting.devices):
            return cores
        share = self.probe.decode_s / (self.probe.decode_s + cores / rate)
        return min(cores, math.ceil(_SPARE * cores * share))
