"""int8 on real weights and photographs: the neighbours stay, in time."""

import numpy as np
import pytest

from frieze.embedder import BackboneRequest, EngineSettings, decode_for, measure_drift, open_backbone
from frieze.embedder.engines.accuracy import LEAST_RECALL
from frieze.embedder.engines.calibrate import calibrate
from frieze.embedder.engines.openvino import OpenVINOEngine
from frieze.embedder.engines.tensorflow import TensorFlowEngine


@pytest.mark.slow
@pytest.mark.usefixtures("needs_nncf")
def test_recall(shared_data):
    """Of a network that int8 throughout would spoil, some layers are left in float32, and the neighbours stay."""
    path = shared_data / "backbones" / "mobilenet_v1_025_128" / "saved_model"
    backbone = open_backbone(BackboneRequest(handle=str(path)))
    photographs = sorted((shared_data / "images" / "imagenette_val").glob("*/*"))[::4]
    pixels = np.stack([decode_for(path.read_bytes(), backbone.spec)[0] for path in photographs])
    is_judged = np.arange(len(pixels)) % 5 > 0
    calibration = calibrate(backbone, pixels[~is_judged], pixels[is_judged])
    settings = EngineSettings(precision="int8", devices=("CPU:0",), int8_graph=calibration.graph)
    embeddings, reference = (
        engine.infer(pixels[is_judged]) for engine in (OpenVINOEngine(backbone, settings), TensorFlowEngine(backbone))
    )
    assert measure_drift(embeddings, reference)["recall_at_10"] >= LEAST_RECALL
    assert 0 < len(calibration.document["float32_layers"]) < calibration.document["layers"] * 2 / 3
