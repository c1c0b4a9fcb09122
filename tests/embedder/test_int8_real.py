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
@pytest.mark.parametrize("name", ["mobilenet_v2_100_224", "mobilenet_v2_100_224_bn"])
def test_recall(name, shared_data):
    """Of networks that int8 throughout would spoil, few layers are left in float32, and the neighbours stay."""
    backbone = open_backbone(BackboneRequest(handle=str(shared_data / "backbones" / name / "saved_model")))
    photographs = sorted((shared_data / "images" / "imagenette_val").glob("*/*"))[::2]
    pixels = np.stack([decode_for(path.read_bytes(), backbone.spec)[0] for path in photographs])
    calibration = calibrate(backbone, pixels[1::2], pixels[::2])
    settings = EngineSettings(precision="int8", devices=("CPU:0",), int8_graph=calibration.graph)
    drift = measure_drift(
        OpenVINOEngine(backbone, settings).infer(pixels[::2]), TensorFlowEngine(backbone).infer(pixels[::2])
    )
    assert drift["recall_at_10"] >= LEAST_RECALL
    assert 0 < len(calibration.document["float32_layers"]) < calibration.document["layers"] / 2
