"""Try every engine in every precision on some images: how fast it is here, and how far its embeddings drift."""

import dataclasses
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from frieze.core import Floats, InputError, MismatchError
from frieze.embedder.backbones import PRECISIONS, Backbone, BackboneRequest
from frieze.embedder.backbones.open import open_backbone
from frieze.embedder.engines import EngineSettings
from frieze.embedder.engines.accuracy import check_drift, measure_drift
from frieze.embedder.engines.base import ENGINES, Engine, devices_for, unsupported_reason
from frieze.embedder.engines.benchmark import Trial, measure_rate, try_engines
from frieze.embedder.engines.calibrate import Calibration, calibrate
from frieze.embedder.engines.settings import INT8
from frieze.embedder.images.resize import Pixels
from frieze.embedder.job.calibration_sample import CalibrationSample
from frieze.embedder.job.select_engine import check_is_lower
from frieze.embedder.sources import Source

_ROUNDS, _ROUND_S = 5, 0.6
"""The engines run in turn, so many times for so long: what other programs take, they take of each."""
FIRST = "first"
"""The layers that stay in float32 are the first ones."""


def try_precisions(source: Source, requests: Sequence[BackboneRequest]) -> list[dict[str, Any]]:
    """Measure each engine and precision with each backbone on some of a source's images.

    Args:
        source: The images.
        requests: The backbones.

    Returns:
        For each `backbone`, `engine` and `precision`: `float32_layers` (None, `first`, or the numbers of those left out
        of int8), `images_per_second` of the network alone, `times_float32`, how many times the fastest engine's rate in
        float32 that is, `drift` as stored in a spec, and `reason`, why `frieze embed` refuses it here, None where it
        does not. Figures that could not be measured are None.

    Raises:
        InputError: There is no usable image, or no such backbone.
    """
    return [row for request in requests for row in _try(source, open_backbone(request))]


def _try(source: Source, backbone: Backbone) -> list[dict[str, Any]]:
    sample = CalibrationSample(source, np.arange(len(source.listing.images)), backbone.spec)
    if not len(sample.rows) or not len(sample.pixels):
        raise InputError("There is no usable image to try engines on.", hint="Give a source with images.")
    reference = ENGINES[backbone.reference](backbone, EngineSettings(devices=devices_for(backbone))).infer(
        sample.pixels
    )
    forms = [form for engine in ENGINES for form in _forms(engine, backbone, sample, reference)]
    _measure(forms, sample.pixels)
    full = max((form.rate or 0 for form in forms if form.settings.precision == "float32"), default=0)
    return [form.to_json(backbone.spec.name, full) for form in forms]


@dataclasses.dataclass
class _Form:
    """An engine in a precision."""

    name: str
    settings: EngineSettings
    engine: Engine | None = None
    calibration: Calibration | None = None
    drift: dict[str, Any] | None = None
    reason: str | None = None
    rate: float | None = None

    def to_json(self, backbone: str, full_rate: float) -> dict[str, Any]:
        """Return the row; `full_rate` is the best one in float32."""
        first = FIRST if self.settings.has_float32_stem else None
        return {
            "backbone": backbone,
            "engine": self.name,
            "precision": self.settings.precision,
            "float32_layers": self.calibration.document["float32_layers"] if self.calibration else first,
            "images_per_second": self.rate and round(self.rate, 1),
            "times_float32": round(self.rate / full_rate, 2) if self.rate and full_rate else None,
            "drift": self.drift,
            "reason": self.reason,
        }


def _forms(name: str, backbone: Backbone, sample: CalibrationSample, reference: Floats) -> Iterator[_Form]:
    """Make an engine in each precision, and in each of its fallbacks."""
    for precision in PRECISIONS:
        settings = EngineSettings(precision=precision, devices=devices_for(backbone))
        for one in (settings, *ENGINES[name].fallbacks(settings)):
            form = _Form(name, one, reason=unsupported_reason(name, one, backbone))
            if form.reason is None:
                _make(form, backbone, sample, reference)
            yield form
            if form.engine is None:
                break


def _make(form: _Form, backbone: Backbone, sample: CalibrationSample, reference: Floats) -> None:
    """Make a form's engine with its fastest settings, and measure its drift; an error is its reason."""
    try:
        if form.settings.precision == INT8:
            form.calibration = calibrate(backbone, sample.other_pixels, sample.pixels)
            form.settings = dataclasses.replace(form.settings, int8_graph=form.calibration.graph)
        trial, *_ = try_engines(form.name, [form.name], backbone, form.settings, sample.pixels)[0]
        engine = Trial(form.name, trial.settings).make(backbone)
        embeddings = engine.infer(sample.pixels)
        check_is_lower(embeddings, reference, trial)
        form.settings, form.engine = trial.settings, engine
        form.drift = {"engine": form.name} | measure_drift(embeddings, reference)
        check_drift(form.drift, engine=form.name, precision=form.settings.precision)
    except MismatchError:
        form.reason = "its embeddings drift too far"
    except InputError as error:
        form.reason = error.message


def _measure(forms: Sequence[_Form], pixels: Pixels) -> None:
    """Measure images per second, in turn; the median of the rounds counts."""
    running = [(form, form.engine, list[float]()) for form in forms if form.engine is not None]
    for _ in range(_ROUNDS):
        for _, engine, rates in running:
            rates.append(measure_rate(engine, pixels, seconds=_ROUND_S))
    for form, _, rates in running:
        form.rate = statistics.median(rates)
