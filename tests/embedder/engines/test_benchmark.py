import numpy as np
import pytest

from frieze.core import ModelError
from frieze.embedder.engines import Setting
from frieze.embedder.engines import benchmark as tuning
from frieze.embedder.engines.benchmark import Trial, images_per_call, measure_rate, try_engines

PIXELS = np.zeros((40, 4, 4, 3), np.uint8)
ANY = Setting()


class Fake:
    """An engine that embeds in no time."""

    depth = 2

    def __init__(self, backbone, setting):
        self.batch_size = setting.batch_size or 7
        self.flying, self.most = 0, 0

    def infer(self, pixels):
        """Embed at once."""
        return np.zeros((len(pixels), 2), np.float32)

    def submit(self, pixels):
        """Begin to embed."""
        self.flying += 1
        self.most = max(self.most, self.flying)

        def wait():
            self.flying -= 1
            return self.infer(pixels)

        return wait

    @staticmethod
    def settings(setting):
        """Give three settings."""
        return iter([Setting(batch_size=size) for size in (1, 4, 16)])


@pytest.fixture
def rates(monkeypatch):
    """`rates(name=[rates of its settings])`: engines of these names, that run so many images a second."""

    def set_up(**by_name):
        kinds = {name: type(name, (Fake,), {"rates": list(values)}) for name, values in by_name.items()}
        monkeypatch.setattr(tuning, "ENGINES", kinds)
        monkeypatch.setattr(tuning, "measure_rate", lambda engine, _: type(engine).rates.pop(0))
        return list(kinds)

    return set_up


def tried(names, setting=ANY, asked="auto"):
    """Try engines; gives of each its name, batch sizes and rates."""
    found = try_engines(asked, names, None, setting, PIXELS)
    return [[(trial.engine, trial.setting.batch_size, trial.images_per_second) for trial in one] for one in found]


def test_fastest_first(rates):
    """Of the engines the fastest stands first, and of each engine its fastest setting."""
    names = rates(slow=[10, 20, 15], fast=[30, 90, 40])
    assert tried(names) == [
        [("fast", 4, 90), ("fast", 1, 30), ("fast", 16, 40)],
        [("slow", 4, 20), ("slow", 1, 10), ("slow", 16, 15)],
    ]


def test_small_batches_win_ties(rates):
    """A smaller batch that is as good but for the noise is taken: it wants less memory."""
    assert tried(rates(one=[98, 99, 100]))[0][0] == ("one", 1, 98)


def test_batch_size_asked_for(rates):
    """A batch size that was asked for is the only one tried."""
    assert tried(rates(one=[50]), Setting(batch_size=9)) == [[("one", 9, 50)]]


def test_slow_network(rates):
    """A batch that would take longer than a second is not tried."""
    assert tried(rates(one=[2, 3])) == [[("one", 1, 2)]]


def test_engine_that_can_not(rates, monkeypatch):
    """An engine that can't run the backbone is left out, but an error where it was asked for."""
    names = rates(one=[10, 20, 15], other=[1])

    def refuse(*_):
        raise ModelError("no")

    tuning.ENGINES["other"].__init__ = refuse
    assert [trials[0][0] for trials in tried(names)] == ["one"]
    with pytest.raises(ModelError, match="no"):
        tried(["other"], asked="other")


def test_rate(monkeypatch):
    """The rate is that of images which came back, several batches under way, the first one not counted."""
    now = iter(np.arange(1000.0))
    monkeypatch.setattr(tuning, "count_cores", lambda: 2)
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: next(now))
    engine = Fake(None, Setting(batch_size=20))
    # The clock is asked at the start, before each of the 3 batches and once at the end of them, and for the rate.
    assert measure_rate(engine, PIXELS, seconds=4) == pytest.approx(3 * 20 / 5)
    assert (engine.most, engine.flying) == (2, 0)


def test_rate_of_a_slow_network(monkeypatch):
    """Where already the first batches take long, their rate is taken: a trial is a moment."""
    now = iter(np.arange(0, 1000.0, 40))
    monkeypatch.setattr(tuning, "count_cores", lambda: 2)
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: next(now))
    assert measure_rate(Fake(None, Setting(batch_size=20)), PIXELS) == pytest.approx(2 * 20 / 40)


@pytest.mark.parametrize(("batch_size", "wanted"), [(1, 32), (4, 32), (5, 35), (32, 32), (64, 64)])
def test_together(batch_size, wanted):
    """The pipeline hands over whole batches of an engine, enough for few calls."""
    assert images_per_call(Fake(None, Setting(batch_size=batch_size))) == wanted


def test_words_of_a_stem():
    """A trial says where its first layers stay in float32; one that was not tried has nothing to tell."""
    trial = Trial("openvino", Setting(batch_size=4, has_float32_stem=True))
    assert trial.words == "openvino, batches of 4, first layers in float32"
    assert trial.told == {}


def test_json():
    """A trial is told with its setting."""
    trial = Trial("openvino", Setting(batch_size=4, streams=2), 123.456)
    assert trial.words == "openvino, batches of 4, 2 streams"
    assert trial.to_json() == {
        "engine": "openvino",
        "precision": "float32",
        "batch_size": 4,
        "streams": 2,
        "has_float32_stem": False,
        "images_per_second": 123.5,
    }
