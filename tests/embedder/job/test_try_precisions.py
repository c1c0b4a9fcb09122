import itertools

import pytest

from frieze.core import InputError
from frieze.embedder import ENGINES, PRECISIONS, BackboneRequest, SourceOptions, open_source
from frieze.embedder.engines import benchmark
from frieze.embedder.job import try_precisions

_QUICK = ((try_precisions, "_ROUNDS", 1), (try_precisions, "_ROUND_S", 0.01), (benchmark, "_TRIAL_S", 0.01))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Trials that take a moment."""
    for module, name, value in _QUICK:
        monkeypatch.setattr(module, name, value)


def tried(folder, tiny):
    """Try all engines and precisions with the tiny network."""
    source = open_source(folder, SourceOptions())
    return try_precisions.try_precisions(source, [BackboneRequest(handle=str(tiny))])


@pytest.fixture(scope="module")
def rows(tiny, write_photos, tmp_path_factory):
    """The rows of one trial."""
    folder = write_photos(tmp_path_factory.mktemp("tried"), ["a.jpg", "b.jpg"])
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in _QUICK:
            patch.setattr(module, name, value)
        return tried(folder, tiny)


def test_each_is_listed(rows):
    """Each engine is tried in each precision: with its figures, or the reason why it is not available here."""
    assert {(row["engine"], row["precision"]) for row in rows} == set(itertools.product(ENGINES, PRECISIONS))
    for row in rows:
        is_measured = row["images_per_second"] is not None
        assert is_measured == (row["drift"] is not None)
        assert is_measured or row["reason"]
    (first, *_) = rows
    assert (first["engine"], first["precision"], first["reason"]) == ("tensorflow", "float32", None)
    assert (first["drift"]["least_cosine"], first["float32_layers"]) == (1.0, None)


@pytest.mark.usefixtures("needs_openvino")
def test_refused_ones_are_measured(folder, tiny, monkeypatch):
    """What embed would refuse has its figures all the same, and the reason."""
    monkeypatch.setattr("frieze.embedder.engines.accuracy.LEAST_COSINE", 1.1)
    (row,) = (row for row in tried(folder, tiny) if (row["engine"], row["precision"]) == ("openvino", "float32"))
    assert row["reason"] == "its embeddings drift too far"
    assert row["images_per_second"] > 0


def test_ratio_is_to_the_best_in_float32(rows):
    """Rates are compared with the fastest engine in float32, which has a ratio of 1."""
    assert max(row["times_float32"] or 0 for row in rows if row["precision"] == "float32") == 1.0


def test_no_usable_image(folder, tiny):
    """Without a usable image there is nothing to try on."""
    for path in folder.iterdir():
        path.write_text("text")
    with pytest.raises(InputError, match="no usable image to try engines on"):
        tried(folder, tiny)


@pytest.mark.usefixtures("needs_openvino")
def test_onnx(folder, onnx_network):
    """An ONNX file is tried in OpenVINO, whose float32 is its reference; TensorFlow's rows say why not there."""
    request = BackboneRequest(handle=str(onnx_network("tokens")), pixels="torch", pool="cls")
    rows = try_precisions.try_precisions(open_source(folder, SourceOptions()), [request])
    assert {row["engine"] for row in rows if row["drift"]} == {"openvino"}
    assert next(row["drift"]["least_cosine"] for row in rows if row["drift"]) == 1.0
    assert {row["reason"] for row in rows if row["engine"] == "tensorflow"} == {
        "tokens is an ONNX file, which only OpenVINO runs"
    }
