"""Select the engine of a run: the fastest in trials whose embeddings agree with the reference."""

import dataclasses
import importlib.metadata
import importlib.util
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from frieze.core import Floats, InputError, MismatchError, ModelError, TablePath, count_cores
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines import AUTO, EngineSettings, are_gpus
from frieze.embedder.engines.accuracy import check_drift, measure_drift
from frieze.embedder.engines.base import ENGINES, Engine, devices_for, usable_engines
from frieze.embedder.engines.benchmark import Trial, images_per_call, measure_rate, try_engines
from frieze.embedder.engines.calibrate import Calibration, calibrate
from frieze.embedder.engines.keep_graph import keep_graph
from frieze.embedder.engines.settings import INT8
from frieze.embedder.images.resize import Pixels
from frieze.embedder.job.calibration_sample import CalibrationSample
from frieze.embedder.job.decode_parallelism import can_pay, needs_processes
from frieze.embedder.job.options import JobOptions
from frieze.features import BackboneSpec, Manifest, read_graph, write_graph

_FEW = 32
"""So many images show whether an engine agrees with the reference in float32."""
_SPARE = 1.5
"""How much faster decoding may be than the network: the network must never wait for it."""
_CALL_MULTIPLE, _LONGEST_CALL_S = 8, 0.1
"""Images decoded in one call are a multiple of this; a call with more than that takes at most so long."""
_LOADING_S, _LOADING_SHARE = 6.0, 0.05
"""What TensorFlow takes to be loaded and tried, and the fraction of a run that this may take."""
_GROWTH = 4
"""A choice is made anew for a run that is so many times as large: then more trials pay."""
_CALLS_PER_CORE = 4
"""A small run has at least so many calls a core, so that all cores end together."""
_LIBRARIES = ("frieze", "openvino", "tensorflow")


@dataclasses.dataclass(frozen=True)
class EngineChoice:
    """The engine of a run, and how the pipeline feeds it.

    Attributes:
        engine: The engine, warm.
        batch_size: Images that are decoded in one call and submitted at once.
        workers: Images that are decoded at once.
        processes: Processes that decode them; 0 for threads of this process.
        tuning: What features.json keeps, so that the next run needs no trials; empty where nothing was tried.
        spec: The backbone's, with the measured drift.
        int8_graph: The graph in int8, which belongs to the table; None in other precisions.
    """

    engine: Engine
    batch_size: int
    workers: int
    processes: int
    tuning: dict[str, Any]
    spec: BackboneSpec
    int8_graph: bytes | None = None

    def store_graph(self, table: TablePath) -> None:
        """Store the graph in int8 with the table, before features.json names it."""
        if self.int8_graph is not None:
            write_graph(table, self.int8_graph)


def choose_engine(
    backbone: Backbone, options: JobOptions, sample: CalibrationSample, stored: Manifest, table: TablePath
) -> EngineChoice:
    """Select the engine of a run and its settings.

    The choice stored in the table is reused while options, libraries and machine stay the same. Otherwise a large run
    benchmarks each engine on a sample of the images and takes the fastest; a small run takes the reference. Every
    engine or precision other than the reference in float32 is compared with that one.

    Args:
        backbone: The network.
        options: Engine, device, batch size and workers, where they are given.
        sample: Some of the images.
        stored: The table's manifest.
        table: Its folder. In int8 the graph there is used; where there is none, one is calibrated on the sample.

    Raises:
        InputError: No engine here supports the options.
        FeatureFileError: The table's graph in int8 is missing or altered.
        ModelError: The engine of the options can't run the backbone.
        MismatchError: The embeddings drift too far from the reference's.
    """
    devices = devices_for(backbone, options.device)
    precision = _query_precision(backbone.spec) if options.is_query else backbone.spec.precision
    settings = EngineSettings(precision=precision, devices=devices, batch_size=options.batch_size)
    names = usable_engines(options.engine, settings, backbone)
    conditions = _conditions(options, settings)
    if settings.precision == INT8:
        calibration = _find_calibration(backbone, sample, stored, table)
        settings = dataclasses.replace(settings, int8_graph=calibration.graph)
        stored = dataclasses.replace(stored, tuning=stored.tuning | {INT8: calibration.document})
    n_images = len(sample.rows)
    if stored.tuning.get("asked") == conditions and _is_valid(stored.tuning, names, n_images):
        choice = _reuse(backbone, options, settings, stored, n_images)
        return dataclasses.replace(choice, int8_graph=settings.int8_graph)
    if not sample.is_full:
        names = sorted(names, key=lambda name: not _is_kept(backbone, name, settings))
        trials, conditions = [[Trial(name, settings)] for name in names], {}
    else:
        trials = _try_engines(backbone, options, names, settings, sample)
    choice = _Trials(backbone, options, sample, stored).select(trials, conditions)
    choice = dataclasses.replace(choice, int8_graph=settings.int8_graph)
    if not are_gpus(devices) and options.engine == AUTO:
        keep_graph(backbone)
    return choice


def _find_calibration(backbone: Backbone, sample: CalibrationSample, stored: Manifest, table: TablePath) -> Calibration:
    """Return the calibration that made the table's rows, which new rows share; a new one where there are no rows."""
    graph = read_graph(table, stored)
    if graph is not None:
        return Calibration(graph, stored.tuning[INT8])
    return calibrate(backbone, sample.other_pixels, sample.pixels)


def _try_engines(
    backbone: Backbone, options: JobOptions, names: list[str], settings: EngineSettings, sample: CalibrationSample
) -> list[list[Trial]]:
    """Try the engines, the fastest first; only that of a kept graph where loading TensorFlow does not pay."""
    names, n_images = sorted(names, key=lambda name: name == backbone.reference), len(sample.rows)  # mostly the slowest
    kept = [name for name in names if options.engine == AUTO and _is_kept(backbone, name, settings)]
    if not kept:
        return try_engines(options.engine, names, backbone, settings, sample.pixels, n_images)
    trials = try_engines(AUTO, kept, backbone, settings, sample.pixels, n_images)
    if trials:
        expected_s = len(sample.rows) / (trials[0][0].images_per_second or math.inf)
        if _LOADING_SHARE * expected_s < _LOADING_S:
            return trials
    others = [name for name in names if name not in kept]
    trials += try_engines(AUTO, others, backbone, settings, sample.pixels, n_images)
    return sorted(trials, key=lambda one: one[0].images_per_second or 0.0, reverse=True)


def _is_kept(backbone: Backbone, engine: str, settings: EngineSettings) -> bool:
    """Return whether an engine runs a kept graph, whose drift was measured: then TensorFlow need not be loaded."""
    is_exact = settings.precision == "float32" and not are_gpus(settings.devices)
    return engine == "openvino" and backbone.graph_path is not None and is_exact


def default_engine(backbone: Backbone) -> Engine:
    """Make an engine for a few images: one that runs a kept graph, else the reference, else any for the precision.

    Where no engine here supports it, float32 replaces it: it is more accurate.
    """
    settings = EngineSettings(precision=_query_precision(backbone.spec), devices=devices_for(backbone))
    try:
        names = usable_engines(AUTO, settings, backbone)
    except InputError:
        names, settings = [backbone.reference], dataclasses.replace(settings, precision="float32")
    name = min(names, key=lambda name: not _is_kept(backbone, name, settings))
    try:
        engine = ENGINES[name](backbone, settings)
    except ModelError:  # the graph was deleted meanwhile, or OpenVINO does not start here
        if not _is_kept(backbone, name, settings):
            raise
        engine = ENGINES[backbone.reference](backbone, settings)
    if not are_gpus(settings.devices):
        keep_graph(backbone)
    return engine


def _query_precision(spec: BackboneSpec) -> str:
    """Return the precision of images that meet a table's rows: float32 for int8, whose graph is with the table.

    In float32 they find more of the true neighbours among rows in int8 than in int8: .946 of the ten nearest against
    .937, measured on MobileNetV2 with one layer in float32.
    """
    return "float32" if spec.precision == INT8 else spec.precision


def _conditions(options: JobOptions, settings: EngineSettings) -> dict[str, Any]:
    """Return what a choice depends on: options, machine, versions."""
    installed = [name for name in _LIBRARIES if importlib.util.find_spec(name)]
    needs = {} if options.limits.image_timeout is None else {"image_timeout": True}
    return needs | {
        "engine": options.engine,
        "precision": settings.precision,
        "batch_size": options.batch_size,
        "devices": list(settings.devices),
        "cores": count_cores(),
        "versions": {name: importlib.metadata.version(name) for name in installed},
    }


def _is_valid(tuning: dict[str, Any], names: Sequence[str], n_images: int) -> bool:
    """Check that a stored choice can be reused for so many images: it may be another machine's, or edited by hand."""
    numbers = [tuning.get(name) for name in ("batch_size", "decode_batch", "workers")]
    streams, has_float32_stem = tuning.get("streams"), tuning.get("has_float32_stem", False)
    rate, tried_for = tuning.get("images_per_second"), tuning.get("tried_for", n_images)
    return (
        tuning.get("engine") in names
        and all(isinstance(number, int) and number > 0 for number in numbers)
        and (streams is None or (isinstance(streams, int) and streams > 0))
        and isinstance(has_float32_stem, bool)
        and isinstance(tuning.get("decode_processes", False), bool)
        and (rate is None or (isinstance(rate, int | float) and rate > 0))
        and isinstance(tried_for, int)
        and n_images <= _GROWTH * tried_for
    )


def _reuse(
    backbone: Backbone, options: JobOptions, settings: EngineSettings, stored: Manifest, n_images: int
) -> EngineChoice:
    tuning, drift = stored.tuning, stored.spec.drift
    if drift is not None and not options.accept_drift:
        check_drift(drift, engine=tuning["engine"], precision=settings.precision)
    settings = dataclasses.replace(
        settings,
        batch_size=tuning["batch_size"],
        streams=tuning["streams"],
        has_float32_stem=tuning.get("has_float32_stem", False),
    )
    engine = Trial(tuning["engine"], settings).make(backbone)
    spec = dataclasses.replace(backbone.spec, drift=drift)
    workers, rate = options.workers or tuning["workers"], tuning.get("images_per_second") or math.inf
    is_shared = options.limits.image_timeout is not None or (
        tuning.get("decode_processes", False) and can_pay(n_images, workers, images_per_second=rate)
    )
    pipeline = tuning | {"decode_processes": is_shared}
    return _to_choice(engine, options, pipeline, tuning, spec)


def _to_choice(
    engine: Engine, options: JobOptions, pipeline: dict[str, Any], tuning: dict[str, Any], spec: BackboneSpec
) -> EngineChoice:
    """Return the choice; options that are given overrule the measured ones."""
    batch_size, workers = options.batch_size or pipeline["decode_batch"], options.workers or pipeline["workers"]
    processes = workers if pipeline.get("decode_processes") else 0
    return EngineChoice(engine, batch_size, workers, processes, tuning, spec)


def check_is_lower(embeddings: Floats, reference: Floats, trial: Trial) -> None:
    """Check that a lower precision took effect: where a processor lacks it, the graph is not rewritten."""
    precision = trial.settings.precision
    if precision != "float32" and np.array_equal(embeddings, reference, equal_nan=True):
        raise ModelError(
            f"{trial.engine} runs this backbone in float32 here: {precision} changes nothing of it.",
            hint="Leave `precision` out.",
        )


@dataclasses.dataclass(frozen=True)
class _Trials:
    """Trials of engines, and the check of their embeddings against the reference."""

    backbone: Backbone
    options: JobOptions
    sample: CalibrationSample
    stored: Manifest
    references: dict[int, Floats] = dataclasses.field(default_factory=dict)

    def select(self, trials: list[list[Trial]], conditions: dict[str, Any]) -> EngineChoice:
        """Return the fastest engine whose embeddings agree with the reference."""
        problem: InputError | None = None
        tried = {name: rate for by_engine in trials for trial in by_engine for name, rate in trial.timings.items()}
        has_reference = any(best.engine == self.backbone.reference and best.timings for best, *_ in trials)
        for trial in self._in_order(trials):
            try:
                engine = trial.make(self.backbone)
                drift = self._drift(trial, engine, has_reference=has_reference)
            except (MismatchError, ModelError) as error:
                problem = problem or error
                continue
            timed = self._timed(trial, engine)
            pipeline = self._pipeline(engine, timed)
            tuning = {"asked": conditions, **timed.to_json(), **pipeline, "tried": tried | timed.timings}
            tuning["tried_for"] = len(self.sample.rows)
            tuning |= {INT8: self.stored.tuning[INT8]} if INT8 in self.stored.tuning else {}
            spec = dataclasses.replace(self.backbone.spec, drift=drift)
            tuning = tuning if conditions else self.stored.tuning
            return _to_choice(engine, self.options, pipeline, tuning, spec)
        raise problem or ValueError("no engine was tried")

    def _in_order(self, trials: list[list[Trial]]) -> Iterator[Trial]:
        """Yield each engine's best trial, and after it the more accurate fallbacks."""
        for best, *_ in trials:
            yield best
            for settings in ENGINES[best.engine].fallbacks(best.settings):
                yield Trial(best.engine, settings)

    def _timed(self, trial: Trial, engine: Engine) -> Trial:
        if trial.images_per_second is not None or not self.sample.is_full:
            return trial
        return dataclasses.replace(trial, images_per_second=measure_rate(engine, self.sample.pixels))

    def _drift(self, trial: Trial, engine: Engine, *, has_reference: bool) -> dict[str, Any] | None:
        """Measure how far an engine's embeddings are from the reference's in float32.

        A kept graph was compared when it was written; TensorFlow is not loaded to compare it once more.
        """
        precision = trial.settings.precision
        if (trial.engine, precision) == (self.backbone.reference, "float32"):
            return self.stored.spec.drift  # of the stored rows
        if not has_reference and _is_kept(self.backbone, trial.engine, trial.settings):
            return self.stored.spec.drift or {"engine": trial.engine} | (self.backbone.graph_drift or {})
        pixels = self.sample.pixels[:_FEW] if precision == "float32" else self.sample.pixels
        embeddings, reference = engine.infer(pixels), self._reference(pixels, trial.settings.devices)
        check_is_lower(embeddings, reference, trial)
        drift = {"engine": trial.engine} | measure_drift(embeddings, reference)
        if not self.options.accept_drift:
            check_drift(drift, engine=trial.engine, precision=precision)
        before = self.stored.spec.drift
        is_better = before is not None and before.get("engine") == trial.engine and before["images"] > drift["images"]
        return before if is_better else drift

    def _reference(self, pixels: Pixels, devices: tuple[str, ...]) -> Floats:
        """Return the reference's embeddings, computed once for all trials."""
        if len(pixels) not in self.references:
            reference = ENGINES[self.backbone.reference](self.backbone, EngineSettings(devices=devices))
            self.references[len(pixels)] = reference.infer(pixels)
        return self.references[len(pixels)]

    def _pipeline(self, engine: Engine, timed: Trial) -> dict[str, Any]:
        workers = self._workers(timed)
        is_shared = self.options.limits.image_timeout is not None or (
            self.sample.is_full and needs_processes(self.sample, self.options.workers or workers)
        )
        return {"decode_batch": self._decode_batch(engine), "workers": workers, "decode_processes": is_shared}

    def _decode_batch(self, engine: Engine) -> int:
        """Return how many images to decode in one call: many if decoding is fast, few if cores would end up idle."""
        if self.sample.is_full:
            most = math.ceil(_LONGEST_CALL_S / self.sample.decode_s)
        else:
            most = len(self.sample.rows) // (_CALLS_PER_CORE * count_cores())
        return min(images_per_call(engine), max(_CALL_MULTIPLE, most // _CALL_MULTIPLE * _CALL_MULTIPLE))

    def _workers(self, trial: Trial) -> int:
        """Return how many images are decoded at once: the share of the cores that decoding needs beside the network."""
        cores, rate = count_cores(), trial.images_per_second
        if rate is None or are_gpus(trial.settings.devices):
            return cores
        share = self.sample.decode_s / (self.sample.decode_s + cores / rate)
        return min(cores, math.ceil(_SPARE * cores * share))
