"""Infers the pixel range that a network was trained on from the scale and offset of its first layers."""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_RANGES = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0), "0..255": (0.0, 255.0)}
"""Possible input ranges, the narrowest first, which wins a tie."""

_TARGETS = ((0.0, 1.0), (-1.0, 1.0), (-0.5, 0.5), (0.0, 255.0), (-127.5, 127.5))
"""Ranges after scaling. Standardised pixels have none: they are recognized by mean and deviation."""

_MEANS = ((0.0, 1.0, "0..1"), (-1.0, 0.0, "-1..1"), (16.0, 240.0, "0..255"))
"""Lower and upper bound of the mean for networks that only subtract it."""

_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
_TOLERANCE = 0.01  # of a range: some divide by 256, or by 128
_NO_OFFSET = 0.01  # of the deviation
_LARGE_DEVIATION = 0.4  # of pixels in 0..1: natural images have less, unlike those in -1..1
_SMALL_DEVIATION = 1e-4  # of an empty channel
_DARKEST_MEAN = 2.0  # of pixels in 0..255
_VANISHING, _BYTES = 1 / 50, 255.0


def infer_pixel_range(scale: npt.ArrayLike, offset: npt.ArrayLike) -> str | None:
    """Infer the range of the pixels in `pixels * scale + offset`.

    Args:
        scale: Per channel, [C].
        offset: Per channel, [C].

    Returns:
        `0..1`, `-1..1` or `0..255`; None if the numbers are ambiguous.

    >>> [infer_pixel_range([scale] * 3, [offset] * 3) for scale, offset in ((1 / 127.5, -1), (2, -1), (1, 0))]
    ['0..255', '0..1', None]
    """
    scales, offsets = np.atleast_1d(np.asarray(scale, np.float64)), np.atleast_1d(np.asarray(offset, np.float64))
    if not (np.isfinite(scales).all() and np.isfinite(offsets).all() and scales.all()):
        return None
    deviation, mean = 1 / np.abs(scales), -offsets / scales  # as if it were (pixels - mean) / deviation
    if (np.abs(mean) <= _NO_OFFSET * deviation).all():
        return _from_scale(np.abs(scales))
    if (np.abs(deviation - 1) <= _TOLERANCE).all():
        return next((name for low, high, name in _MEANS if ((low < mean) & (mean < high)).all()), None)
    exact = [name for name, ends in _RANGES.items() if _meets_target(ends, scales, offsets)]
    if exact:
        return exact[0] if len(exact) == 1 else None
    return _from_statistics(mean, deviation)


def _from_scale(scales: Numbers) -> str | None:
    """Infer the range from a scale alone: other ranges would nearly vanish, or reach thousands."""
    if scales.max() <= _VANISHING:
        return "0..255"
    return "0..1" if (np.abs(scales - _BYTES) <= _TOLERANCE * _BYTES).all() else None


def _meets_target(ends: tuple[float, float], scales: Numbers, offsets: Numbers) -> bool:
    """Return whether scaling maps the ends of a range to those of a target range, in all channels."""
    mapped = np.sort(np.multiply.outer(np.array(ends), scales) + offsets, axis=0)  # [2, C]
    return any(
        (np.abs(mapped - np.array(target)[:, None]) <= _TOLERANCE * (target[1] - target[0])).all()
        for target in _TARGETS
    )


def _from_statistics(mean: Numbers, deviation: Numbers) -> str | None:
    """Infer the range from the mean and deviation of the training images."""
    is_used = deviation > _SMALL_DEVIATION
    mean, deviation = mean[is_used], deviation[is_used]
    range_ = next((name for name, ends in _RANGES.items() if mean.size and _can_have(ends, mean, deviation)), None)
    if range_ == "0..1":
        is_known = mean.size == _IMAGENET_MEAN.size and np.allclose(mean, _IMAGENET_MEAN, atol=0.005)
        return range_ if is_known or deviation.max() <= _LARGE_DEVIATION else None
    if range_ == "-1..1":
        return range_ if mean.min() < 0 else None  # others could be those of 0..1, roughly
    return range_ if mean.size and mean.max() >= _DARKEST_MEAN else None


def _can_have(ends: tuple[float, float], mean: Numbers, deviation: Numbers) -> bool:
    """Return whether numbers in a range can have this mean and deviation.

    Source: Bhatia and Davis, A better bound on the variance, 2000.
    """
    low, high = ends
    inside = (low <= mean) & (mean <= high)
    return bool((inside & (deviation**2 <= (mean - low) * (high - mean) * (1 + _TOLERANCE))).all())
