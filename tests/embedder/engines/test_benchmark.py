import numpy as np
import pytest

from frieze.core import ModelError
from frieze.embedder.engines import EngineSettings, benchmark
from frieze.embedder.engines.benchmark import Trial, images_per_call, measure_rate, try_engines

PIXELS = np.zeros((40, 4, 4, 3), np.uint8)
ANY = EngineSettings()


class Fake:
    """An engine that embeds in no time."""

    depth = 2

    def __init__(self, backbone, settings):
        self.batch_size = settings.batch_size or 7
        self.in_flight, self.most = 0, 0

    def infer(self, pixels):
        """Embed at once."""
        return np.zeros((len(pixels), 2), np.float32)

    def submit(self, pixels):
        """Start to embed."""
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)

        def wait():
            self.in_flight -= 1
            return self.infer(pixels)

        return wait

    @staticmethod
    def candidate_settings(settings):
        """Yield three batch sizes."""
        return iter([EngineSettings(batch_size=size) for size in (1, 4, 16)])


@pytest.fixture
def rates(monkeypatch):
    """`rates(name=[images per second of each settings])`: fake engines of these names."""

    def set_up(**by_name):
        kinds = {name: type(name, (Fake,), {"rates": list(values)}) for name, values in by_name.items()}
        monkeypatch.setattr(benchmark, "ENGINES", kinds)
        monkeypatch.setattr(benchmark, "measure_rate", lambda engine, _: type(engine).rates.pop(0))
        return list(kinds)

    return set_up


def tried(names, settings=ANY, engine="auto", **options):
    """Return the name, batch sizes and rates of each engine that was tried."""
    by_engine = try_engines(engine, names, None, settings, PIXELS, **options)
    return [
        [(trial.engine, trial.settings.batch_size, trial.images_per_second) for trial in trials] for trials in by_engine
    ]


def test_fastest_first(rates):
    """The fastest engine comes first, and within each engine its fastest settings."""
    names = rates(slow=[10, 20, 15], fast=[30, 90, 40])
    assert tried(names) == [
        [("fast", 4, 90), ("fast", 1, 30), ("fast", 16, 40)],
        [("slow", 4, 20), ("slow", 1, 10), ("slow", 16, 15)],
    ]


@pytest.mark.parametrize(
    ("trial_s", "n_images", "n_tried"),
    [
        (0.3, 10, 6),  # 1.8 seconds in all
        (0.9, 10, 3),  # the third ends beyond 2 seconds, and the second engine is not tried
        (5.0, 10, 1),
        (5.0, 100_000, 6),  # at 100 images a second, 5 % of the run are 50 seconds
        (5.0, 30_000, 4),  # 15 seconds
    ],
)
def test_trials_end(trial_s, n_images, n_tried, rates, monkeypatch):
    """Trials end after two seconds, or after a twentieth of the run where that is more; one is always made."""
    now = [0.0]

    def measure(_engine, _pixels):
        now[0] += trial_s
        return 100

    names = rates(one=[], other=[])
    monkeypatch.setattr(benchmark, "measure_rate", measure)
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: now[0])
    assert sum(map(len, tried(names, n_images=n_images))) == n_tried


def test_small_batches_win_ties(rates):
    """A smaller batch wins when its speed is within the noise: it needs less memory."""
    assert tried(rates(one=[98, 99, 100]))[0][0] == ("one", 1, 98)


def test_explicit_batch_size(rates):
    """An explicit batch size is the only one tried."""
    assert tried(rates(one=[50]), EngineSettings(batch_size=9)) == [[("one", 9, 50)]]


def test_slow_network(rates):
    """A batch that would take longer than a second is not tried."""
    assert tried(rates(one=[2, 3])) == [[("one", 1, 2)]]


def test_engine_that_can_not(rates, monkeypatch):
    """With `auto` an engine that can't run the backbone is left out; named explicitly it is an error."""
    names = rates(one=[10, 20, 15], other=[1])

    def refuse(*_):
        raise ModelError("no")

    benchmark.ENGINES["other"].__init__ = refuse
    assert [trials[0][0] for trials in tried(names)] == ["one"]
    with pytest.raises(ModelError, match="no"):
        tried(["other"], engine="other")


def test_rate(monkeypatch):
    """The rate counts finished images, with several batches in flight and without the warm-up."""
    now = iter(np.arange(1000.0))
    monkeypatch.setattr(benchmark, "count_cores", lambda: 2)
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(now))
    engine = Fake(None, EngineSettings(batch_size=20))
    # The clock is asked at the start, before each of the 3 batches and once at the end of them, and for the rate.
    assert measure_rate(engine, PIXELS, seconds=4) == pytest.approx(3 * 20 / 5)
    assert (engine.most, engine.in_flight) == (2, 0)


@pytest.mark.parametrize(("batch_size", "expected"), [(1, 8), (3, 9), (20, 20)])
def test_images_measured_at_once(batch_size, expected, monkeypatch):
    """Calls that are measured have four images for each core, rounded up to whole batches."""
    monkeypatch.setattr(benchmark, "count_cores", lambda: 2)
    engine, sizes = Fake(None, EngineSettings(batch_size=batch_size)), []
    monkeypatch.setattr(engine, "infer", lambda pixels: sizes.append(len(pixels)) or pixels)
    measure_rate(engine, PIXELS, seconds=0)
    assert sizes[0] == expected


def test_rate_of_a_slow_network(monkeypatch):
    """When the warm-up batches already take long, their rate is the result."""
    now = iter(np.arange(0, 1000.0, 40))
    monkeypatch.setattr(benchmark, "count_cores", lambda: 2)
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(now))
    assert measure_rate(Fake(None, EngineSettings(batch_size=20)), PIXELS) == pytest.approx(2 * 20 / 40)


def test_a_first_batch_that_compiles(monkeypatch):
    """The time of a slow first batch, in which a GPU's algorithms are selected, is not in the rate."""
    now = iter([0, 40, 40, 40.5, *range(41, 100)])
    monkeypatch.setattr(benchmark, "count_cores", lambda: 2)
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(now))
    engine = Fake(None, EngineSettings(batch_size=20))
    assert measure_rate(engine, PIXELS, seconds=4) == pytest.approx(3 * 20 / 5)


@pytest.mark.parametrize(("batch_size", "expected"), [(1, 32), (4, 32), (5, 35), (32, 32), (64, 64)])
def test_images_per_call(batch_size, expected):
    """The pipeline submits whole batches of an engine, enough for few calls."""
    assert images_per_call(Fake(None, EngineSettings(batch_size=batch_size))) == expected


def test_label_of_first_layers():
    """The label of a trial names first layers in float32; a trial that was not measured has no timings."""
    trial = Trial("openvino", EngineSettings(batch_size=4, has_float32_stem=True))
    assert trial.label == "openvino, batches of 4, first layers in float32"
    assert trial.timings == {}


def test_json():
    """The JSON of a trial holds its settings."""
    trial = Trial("openvino", EngineSettings(batch_size=4, streams=2), 123.456)
    assert trial.label == "openvino, batches of 4, 2 streams"
    assert trial.to_json() == {
        "engine": "openvino",
        "precision": "float32",
        "batch_size": 4,
        "streams": 2,
        "has_float32_stem": False,
        "images_per_second": 123.5,
    }
