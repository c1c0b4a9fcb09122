"""Which devices run the backbone."""

from frieze.core import InputError, import_tensorflow

AUTO = "auto"


def find_devices(asked: str = AUTO) -> tuple[str, ...]:
    """Resolve what `--device` says.

    Args:
        asked: `auto` (every GPU, else the CPU), `cpu`, `gpu`, or names such as `gpu:1`, several with commas.

    Returns:
        Their names as TensorFlow has them, one or more; the same for any spelling.

    Raises:
        InputError: There is no such device.
    """
    there = [device.name.rpartition("device:")[2] for device in import_tensorflow().config.list_logical_devices()]
    if asked == AUTO:
        gpus = [name for name in there if name.startswith("GPU")]
        return tuple(gpus or (name for name in there if name.startswith("CPU")))
    found = [_matching(name.strip().upper().removeprefix("/"), there) for name in asked.split(",")]
    if not all(found):
        raise InputError(
            f"There is no device {asked} here; there are: {', '.join(name.lower() for name in there)}.",
            hint="Leave --device out, or name one of these.",
        )
    names = tuple(dict.fromkeys(name for names in found for name in names))
    if len({name.partition(":")[0] for name in names}) > 1:
        raise InputError(f"--device {asked} names several kinds of device.", hint="Give GPUs alone, or the CPU.")
    return names


def _matching(name: str, there: list[str]) -> list[str]:
    return [one for one in there if name in (one, one.partition(":")[0])]


def are_gpus(devices: tuple[str, ...]) -> bool:
    """Tell whether devices are GPUs.

    >>> are_gpus(("GPU:0", "GPU:1")), are_gpus(("CPU:0",))
    (True, False)
    """
    return devices[0].startswith("GPU")
