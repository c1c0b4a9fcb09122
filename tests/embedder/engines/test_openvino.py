import numpy as np
import pytest

from frieze.core import ModelError, count_cores
from frieze.embedder.engines import EngineSettings
from frieze.embedder.engines.openvino import OpenVINOEngine

pytest.importorskip("openvino")
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)


def test_requests_are_used_again(opened, tiny):
    """Inference requests are reused: as many are kept as were ever in flight at once."""
    engine = OpenVINOEngine(opened(str(tiny)), EngineSettings(batch_size=8))
    for _ in range(5):
        engine.infer(PIXELS)
    assert len(engine._free) == 4


def test_streams(opened, tiny):
    """`streams` sets how many batches run side by side; the default is one a core."""
    engine = OpenVINOEngine(opened(str(tiny)), EngineSettings(streams=1))
    assert engine._parts[0].get_property("NUM_STREAMS") == 1
    assert OpenVINOEngine(opened(str(tiny)))._parts[0].get_property("NUM_STREAMS") == count_cores()


@pytest.mark.parametrize(("precision", "kind"), [("float32", "float"), ("bfloat16", "bfloat16")])
def test_precision_of_the_settings(precision, kind, opened, tiny):
    """The network runs in the precision of the settings: float32 is never lowered, whatever the processor offers."""
    settings = EngineSettings(precision=precision, devices=("CPU:0",))
    if (reason := OpenVINOEngine.unsupported_reason(settings)) is not None:
        pytest.skip(reason)
    (compiled,) = OpenVINOEngine(opened(str(tiny)), settings)._parts
    assert kind in str(compiled.get_property("INFERENCE_PRECISION_HINT"))


def test_no_bfloat16(monkeypatch):
    """A processor that only emulates bfloat16 counts as one without it."""
    monkeypatch.setattr("frieze.embedder.engines.openvino._has_bfloat16", lambda: False)
    settings = EngineSettings(precision="bfloat16", devices=("CPU:0",))
    assert OpenVINOEngine.unsupported_reason(settings) == "this processor has no bfloat16"


def test_unsupported_graph(opened, tiny, monkeypatch):
    """A graph that OpenVINO refuses is an error that names the other engine."""
    import openvino

    def refuse(*_):
        raise RuntimeError("Exception from src/core\nNo translator found for Bespoke node.")

    monkeypatch.setattr(openvino.Core, "read_model", refuse)
    with pytest.raises(ModelError, match=r"OpenVINO can't run tiny: No translator .*\n.*`engine='tensorflow'`"):
        OpenVINOEngine(opened(str(tiny)))


def test_first_layers_in_float32(opened, tiny):
    """The first layers can stay in float32 while the rest is lower: two parts that compute what the whole does."""
    settings = EngineSettings(precision="bfloat16", devices=("CPU:0",), batch_size=8)
    if (reason := OpenVINOEngine.unsupported_reason(settings)) is not None:
        pytest.skip(reason)
    backbone = opened(str(tiny))
    (fallback,) = OpenVINOEngine.fallbacks(settings)
    engine = OpenVINOEngine(backbone, fallback)
    hints = [str(part.get_property("INFERENCE_PRECISION_HINT")) for part in engine._parts]
    assert ["bfloat16" in hint for hint in hints] == [False, True]
    whole = OpenVINOEngine(backbone).infer(PIXELS)
    assert np.abs(engine.infer(PIXELS) - whole).max() <= 0.02 * np.abs(whole).max()


def test_float32_has_no_fallback():
    """When float32 drifts too far, there is nothing more to try."""
    assert list(OpenVINOEngine.fallbacks(EngineSettings())) == []
