"""Do the colours of two aligned pictures agree, and if not, may one be recoloured?"""

import dataclasses
import itertools

import numpy as np

from frieze.core import Floats
from frieze.indexing.duplicates.laid import Laid, Mask, to_luma
from frieze.indexing.duplicates.local_features import Pixels

_N_FITTED = 4_000  # pixels that decide on a function of colours
_DEGREE, _RIDGE = 3, 1e-6
_OUTLIER = 30.0  # levels: pixels that differ by more do not decide
_BLUR = 9  # pixels
_CHANGED_LEVELS = 24.0  # of a channel, in the mean of a neighbourhood
_LIGHTEST, _MIN_CLIPPED, _SHADES = 250, 0.02, 6.0  # luma; share of the pixels; levels that these differ by
_SAME_LUMA = 8.0  # levels between something on a plain ground and its grey copy, at most
_MAX_CHANGED = 0.01  # of the overlap, for the colours to be the same
_MAX_UNEXPLAINED = 0.012  # of the overlap, for one change of all colours to explain the rest
_GREY_CHROMA, _COLOUR_CHROMA = 4.0, 8.0  # levels between the channels of a pixel, in the mean
_N_FREQUENT, _FREQUENT_LEVELS = 3, 20  # colours of a drawing or a frame; levels of each channel
_GROUND_LEVELS, _MIN_GROUND = 4, 0.45  # of a picture's pixels near one colour: something on a plain ground


def match_colours(laid: Laid, luma: Floats) -> Floats:
    """Fit the luma of the first picture to the colours of the second, by one polynomial for all pixels.

    Args:
        laid: The two.
        luma: float32 [H, W], of the first.

    Returns:
        The fitted luma, float32 [H, W].
    """
    return fit_colours(laid, luma[..., None])[..., 0]


def fit_colours(laid: Laid, target: Floats) -> Floats:
    """Fit channels, float32 [H, W, n], to the colours of the second picture, by one polynomial of degree 3 each."""
    pixels = laid.second.reshape(-1, 3)
    inside = np.flatnonzero(laid.mask.ravel())
    inside = inside[:: max(1, len(inside) // _N_FITTED)]
    terms, values = _polynomials(pixels[inside]), target.reshape(-1, target.shape[-1])[inside]
    weights = _fit(terms, values)
    is_near = np.abs(weights @ terms - values.T).max(axis=0) < _OUTLIER
    if is_near.sum() > len(inside) // 2:
        weights = _fit(terms[:, is_near], values[is_near])
    fitted: Floats = (weights @ _polynomials(pixels)).T.reshape(target.shape).astype(np.float32)
    return fitted


def _polynomials(rgb: Pixels) -> Floats:
    """Return the products of up to three channels of each pixel, uint8 [n, 3]: float32 [20, n]."""
    channels = np.ascontiguousarray(rgb.T).astype(np.float32) / 255
    factors = [
        one for degree in range(_DEGREE + 1) for one in itertools.combinations_with_replacement(range(3), degree)
    ]
    terms = np.ones((len(factors), channels.shape[1]), np.float32)
    for number, (*others, last) in enumerate(factors[1:], 1):
        np.multiply(terms[factors.index(tuple(others))], channels[last], out=terms[number])
    return terms


def _fit(terms: Floats, values: Floats) -> Floats:
    """Return the weights, [n, n_terms], whose products with terms, [n_terms, N], come nearest to values, [N, n]."""
    normal = terms @ terms.T + _RIDGE * len(values) * np.eye(len(terms))
    weights: Floats = np.linalg.solve(normal, terms @ values).T.astype(np.float32)
    return weights


@dataclasses.dataclass(frozen=True)
class Colours:
    """How the colours of two pictures compare.

    Attributes:
        agree: Whether they are the same, or one change explains all.
        changed: Whether they differ.
        grey: Whether the first, and the second, lost its colours.
        clipped: Whether the first, and the second, lost its lights: they are at the end of the scale.
    """

    agree: bool
    changed: bool
    grey: tuple[bool, bool]
    clipped: tuple[bool, bool] = (False, False)


def compare_colours(laid: Laid) -> Colours:
    """Compare the colours of two aligned pictures.

    A photograph may be recoloured as a whole. A thing on a plain ground that has another colour is another thing.
    """
    import cv2

    mask = _inner(laid.mask)
    first, second = (cv2.blur(side, (_BLUR, _BLUR))[mask] for side in (laid.first, laid.second))
    grey = _lost_colours(first, second)
    changed = _changed_share(first, second)
    if changed <= _MAX_CHANGED:
        return Colours(agree=True, changed=False, grey=grey)
    clipped = _lost_lights(laid.first[mask], laid.second[mask])
    grounds = [share for share, lost in zip(ground_shares(laid), clipped, strict=True) if not lost]
    if max(grounds, default=1.0) >= _MIN_GROUND:  # what is white for it lost its lights is no ground
        luma, other = (to_luma(side[None])[0][:, None] for side in (first, second))
        agree = any(grey) and _changed_share(luma, other, _SAME_LUMA) <= _MAX_CHANGED
    else:
        agree = _is_explained(laid)
    return Colours(agree=agree, changed=True, grey=grey, clipped=clipped)


def has_plain_ground(laid: Laid) -> bool:
    """Tell whether the overlap has mostly one colour in one of the pictures."""
    return max(ground_shares(laid)) >= _MIN_GROUND


def ground_shares(laid: Laid) -> tuple[float, float]:
    """Return the share of the overlap that has the most frequent colour, in each of the pictures."""
    return _ground_share(laid.first[laid.mask]), _ground_share(laid.second[laid.mask])


def few_colours_share(colours: Pixels) -> float:
    """Return the share of colours, uint8 [n, 3], that are near the three most frequent ones; 0 of none."""
    left = np.ascontiguousarray(colours.T)
    for _ in range(_N_FREQUENT):
        if not left.size:
            break
        codes = np.array([64, 8, 1], np.int32) @ (left // 32).astype(np.int32)
        frequent = left[:, codes == np.bincount(codes).argmax()]
        centre = np.array([[np.median(channel)] for channel in frequent], np.float32)
        left = left[:, np.abs(left - centre).max(axis=0) > _FREQUENT_LEVELS]
    return 1 - left.shape[1] / len(colours) if len(colours) else 0.0


def _inner(mask: Mask) -> Mask:
    """Return where whole neighbourhoods lie in a mask; the mask where none does."""
    import cv2

    inner: Mask = cv2.erode(mask.astype(np.uint8), np.ones((_BLUR, _BLUR), np.uint8)) > 0
    return inner if inner.any() else mask


def _ground_share(colours: Pixels) -> float:
    channels = np.ascontiguousarray(colours.T)
    codes = np.array([1024, 32, 1], np.int32) @ (channels // 8).astype(np.int32)
    frequent = channels[:, codes == np.bincount(codes).argmax()]
    ground = np.array([[np.median(channel)] for channel in frequent], np.float32)
    return float((np.abs(channels - ground).max(axis=0) <= _GROUND_LEVELS).mean())


def _lost_colours(first: Pixels, second: Pixels) -> tuple[bool, bool]:
    """Tell of each of two pictures whether it is grey where the other has colours."""
    chroma = [float(np.ptp(side.astype(np.int16), axis=1).mean()) for side in (first, second)]
    is_grey = [chroma[at] < _GREY_CHROMA and chroma[1 - at] > _COLOUR_CHROMA for at in (0, 1)]
    return is_grey[0], is_grey[1]


def _lost_lights(first: Pixels, second: Pixels) -> tuple[bool, bool]:
    """Tell of each of two pictures whether it is white where the other has shades."""
    return _is_clipped(first, second), _is_clipped(second, first)


def _is_clipped(colours: Pixels, others: Pixels) -> bool:
    luma, other = (to_luma(side[None])[0] for side in (colours, others))
    is_lost = (luma >= _LIGHTEST) & (other < _LIGHTEST)
    return bool(is_lost.mean() > _MIN_CLIPPED and other[is_lost].std() > _SHADES)


def _changed_share(first: Floats | Pixels, second: Floats | Pixels, levels: float = _CHANGED_LEVELS) -> float:
    """Return the share of pixels, [n, channels], that differ by more than some levels."""
    differences = np.abs(first.astype(np.float32) - second).max(axis=1)
    return float((differences > levels).mean()) if len(differences) else 0.0


def _is_explained(laid: Laid) -> bool:
    """Tell whether one function of colours makes one of the pictures from the other, whichever it is."""
    return any(_unexplained_share(side) <= _MAX_UNEXPLAINED for side in (laid, laid.swapped()))


def _unexplained_share(laid: Laid) -> float:
    import cv2

    fitted = fit_colours(laid, laid.first.astype(np.float32))
    difference = cv2.blur(laid.first.astype(np.float32) - fitted, (_BLUR, _BLUR))[_inner(laid.mask)]
    return float((np.abs(difference).max(axis=1) > _CHANGED_LEVELS).mean())
