"""The device that benchmarks/gpu.py measures, the first that TensorFlow finds: its facts and the memory it takes."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import format_size, import_tensorflow, peak_memory, trim_memory
from frieze.embedder import find_devices


def find_device() -> tuple[str, str]:
    """Return TensorFlow's name of the first GPU, else of the CPU, and its kind: `GPU` or `CPU`."""
    name = find_devices()[0]
    return name, name[:3]


def split_device(memory_mb: int) -> list[str]:
    """Split the device into two logical ones before TensorFlow's runtime starts.

    Args:
        memory_mb: Memory of each half of a GPU; a CPU's is not limited.

    Returns:
        TensorFlow's names of both.

    Raises:
        RuntimeError: The runtime has started.
    """
    config = import_tensorflow().config
    kind = "GPU" if config.list_physical_devices("GPU") else "CPU"  # `find_device` starts the runtime
    halves = [config.LogicalDeviceConfiguration(memory_limit=memory_mb if kind == "GPU" else None) for _ in range(2)]
    config.set_logical_device_configuration(config.list_physical_devices(kind)[0], halves)
    return [one.name.rpartition("device:")[2] for one in config.list_logical_devices(kind)][:2]


def describe_devices() -> Iterator[list[object]]:
    """Yield names and values: the GPUs that TensorFlow finds, their memory, and what TensorFlow was built for."""
    tf = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    yield ["GPUs that TensorFlow finds", len(gpus)]
    for gpu in gpus:
        details = tf.config.experimental.get_device_details(gpu)
        capability = ".".join(map(str, details.get("compute_capability", ("unknown",))))
        yield [gpu.name, f"{details.get('device_name', 'unknown')}, compute capability {capability}"]
    yield from _memory_limits()
    build = tf.sysconfig.get_build_info()
    cuda, cudnn = (build.get(f"{name}_version", "none") for name in ("cuda", "cudnn"))
    yield ["TensorFlow", f"{tf.__version__}, built for CUDA {cuda}, cuDNN {cudnn}"]


def _memory_limits() -> Iterator[list[object]]:
    from tensorflow.python.client import device_lib  # there is no public name for a GPU's memory

    for one in device_lib.list_local_devices():
        if one.device_type == "GPU":
            yield [f"memory that TensorFlow takes of {one.name}", format_size(one.memory_limit)]


def put(pixels: np.ndarray, device: str) -> Any:
    """Return the pixels as a tensor in a device's memory."""
    tf = import_tensorflow()
    with tf.device(device):
        return tf.identity(tf.constant(pixels))


def reset_peak(device: str) -> None:
    """Start to measure the peak anew."""
    if device.startswith("GPU"):
        import_tensorflow().config.experimental.reset_memory_stats(device)
        return
    trim_memory()
    with contextlib.suppress(OSError):  # elsewhere than on Linux it is the peak since the process started
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device: str) -> str:
    """Return the peak in megabytes: what a GPU's allocator handed out, or the resident memory of this process."""
    if device.startswith("GPU"):
        n_bytes = import_tensorflow().config.experimental.get_memory_info(device)["peak"]
    else:
        n_bytes = peak_memory()
    return f"{n_bytes / 1e6:,.0f}"
