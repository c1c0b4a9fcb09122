import pytest

import frieze.embedder
from frieze.web.inference import Inference


@pytest.fixture
def loads():
    """The calls of the function that loads the backbone."""
    return []


@pytest.fixture
def inference(loads):
    """Inference with the built-in network."""
    backbone = frieze.embedder.open_backbone(frieze.embedder.BackboneRequest())
    inference = Inference(backbone.spec, lambda: loads.append(1) or backbone, lambda: None)
    yield inference
    inference.close()


@pytest.mark.parametrize("is_kept", [True, False])
def test_only_a_kept_graph_is_loaded_early(is_kept, inference, loads, monkeypatch):
    """Before the first upload a backbone is loaded where its graph is kept, once; TensorFlow never is."""
    monkeypatch.setattr("frieze.embedder.has_graph", lambda _: is_kept)
    for _ in range(2):
        inference.begin_if_kept()
    inference._worker.submit(int).result()  # after those before it
    if is_kept:
        inference._engine.get()
    assert (len(loads), inference.state) == ((1, "ready") if is_kept else (0, "idle"))


def test_builtin_has_a_graph(inference):
    """The graph of the built-in network is always kept, where OpenVINO is installed."""
    pytest.importorskip("openvino")
    assert frieze.embedder.has_graph(inference._spec)
