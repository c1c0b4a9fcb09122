"""The reference engine: the backbone as one frozen TensorFlow graph, on the CPU or the first GPU."""

from typing import Any

import numpy as np

from embedder.backbones import Backbone
from features import Floats, import_tensorflow

_CPU_BATCH = 32
_GPU_BATCH = 128


class TensorFlowEngine:
    """Runs a backbone's frozen graph.

    Attributes:
        name: `tensorflow`.
        device: The GPU's name, None on a CPU.
        batch_size: Images a batch that suit the device.
    """

    name = "tensorflow"

    def __init__(self, backbone: Backbone) -> None:
        tf = import_tensorflow()
        gpus = tf.config.list_logical_devices("GPU")
        self.device: str | None = gpus[0].name if gpus else None
        self.batch_size = _GPU_BATCH if gpus else _CPU_BATCH
        self._dim = backbone.spec.dim
        self._run = freeze(backbone)
        self.infer(np.zeros((1, *backbone.spec.image_size, 3), np.uint8))  # what is slow once is slow here

    def infer(self, pixels: Any) -> Floats:
        """Embed uint8 [B, H, W, 3] as float32 [B, D]."""
        if len(pixels) == 0:  # convolutions of no images fail
            return np.empty((0, self._dim), np.float32)
        # By keyword: positional arguments make a frozen function try, and print, another signature first.
        (embeddings,) = self._run(pixels=import_tensorflow().convert_to_tensor(pixels))
        return np.asarray(embeddings.numpy(), np.float32)


def freeze(backbone: Backbone) -> Any:
    """Turn a backbone into a TensorFlow function without variables: uint8 [B, H, W, 3] -> float32 [B, D].

    Constants in place of variables let TensorFlow fold batch norm into convolutions.
    """
    tf = import_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def embed(pixels: Any) -> Any:
        return backbone.call(tf.cast(pixels, tf.float32) / 255.0)

    pixels = tf.TensorSpec([None, *backbone.spec.image_size, 3], tf.uint8)
    return convert_variables_to_constants_v2(tf.function(embed, autograph=False).get_concrete_function(pixels))
