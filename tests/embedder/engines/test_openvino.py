import numpy as np
import pytest

from frieze.core import ModelError, count_cores
from frieze.embedder.engines import Setting
from frieze.embedder.engines.openvino import OpenVINOEngine

pytest.importorskip("openvino")
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)


def test_requests_are_used_again(opened, tiny):
    """As many inferences are kept as were ever under way at once, not one a batch."""
    engine = OpenVINOEngine(opened(str(tiny)), Setting(batch_size=8))
    for _ in range(5):
        engine.infer(PIXELS)
    assert len(engine._free) == 4


def test_streams(opened, tiny):
    """So many batches run side by side as were asked for, one a core unless told otherwise."""
    engine = OpenVINOEngine(opened(str(tiny)), Setting(streams=1))
    assert engine._parts[0].get_property("NUM_STREAMS") == 1
    assert OpenVINOEngine(opened(str(tiny)))._parts[0].get_property("NUM_STREAMS") == count_cores()


@pytest.mark.parametrize(("precision", "kind"), [("float32", "float"), ("bfloat16", "bfloat16")])
def test_precision_is_what_was_asked(precision, kind, opened, tiny):
    """The network runs in the precision asked for: float32 is never lowered by what the processor could do."""
    setting = Setting(precision=precision, devices=("CPU:0",))
    if (reason := OpenVINOEngine.unsupported_reason(setting)) is not None:
        pytest.skip(reason)
    (compiled,) = OpenVINOEngine(opened(str(tiny)), setting)._parts
    assert kind in str(compiled.get_property("INFERENCE_PRECISION_HINT"))


def test_no_bfloat16(monkeypatch):
    """A processor that would only imitate bfloat16 is told as what it is."""
    monkeypatch.setattr("frieze.embedder.engines.openvino._has_bfloat16", lambda: False)
    setting = Setting(precision="bfloat16", devices=("CPU:0",))
    assert OpenVINOEngine.unsupported_reason(setting) == "this processor has no bfloat16"


def test_graph_that_it_can_not_run(opened, tiny, monkeypatch):
    """A graph that OpenVINO refuses is an error that names the other engine."""
    import openvino

    def refuse(*_):
        raise RuntimeError("Exception from src/core\nNo translator found for Bespoke node.")

    monkeypatch.setattr(openvino.Core, "read_model", refuse)
    with pytest.raises(ModelError, match=r"OpenVINO can't run tiny: No translator .*\n.*--engine tensorflow"):
        OpenVINOEngine(opened(str(tiny)))


def test_float32_stem(opened, tiny):
    """The first layers can stay in float32 while the rest is lower: two parts that compute what the whole does."""
    setting = Setting(precision="bfloat16", devices=("CPU:0",), batch_size=8)
    if (reason := OpenVINOEngine.unsupported_reason(setting)) is not None:
        pytest.skip(reason)
    backbone = opened(str(tiny))
    (truer,) = OpenVINOEngine.truer(setting)
    engine = OpenVINOEngine(backbone, truer)
    hints = [str(part.get_property("INFERENCE_PRECISION_HINT")) for part in engine._parts]
    assert ["bfloat16" in hint for hint in hints] == [False, True]
    whole = OpenVINOEngine(backbone).infer(PIXELS)
    assert np.abs(engine.infer(PIXELS) - whole).max() <= 0.02 * np.abs(whole).max()


def test_nothing_is_truer_than_float32():
    """Where vectors in float32 don't hold, there is nothing more to try."""
    assert list(OpenVINOEngine.truer(Setting())) == []
