"""Images of a table, read and decoded anew, a batch at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from embedder.decoding import MAX_PIXELS
from embedder.pipeline import decode_for
from embedder.preprocessing import Pixels
from embedder.sources import read_image
from features import BackboneSpec, ImageError, InputError, Rows, count_cores


def image_reader(uris: Sequence[str], spec: BackboneSpec, *, max_pixels: int = MAX_PIXELS) -> Callable[[Rows], Pixels]:
    """Give a function that decodes images for a backbone, with as many threads as there are cores.

    Args:
        uris: Where each image is, as a table has it.
        spec: Says size and fit.
        max_pixels: Refuse images of more.

    Returns:
        Takes rows int64 [n], gives uint8 [n, H, W, 3]; it raises InputError for an image that is gone or broken.
    """
    pool = ThreadPoolExecutor(count_cores(), thread_name_prefix="frieze-images")

    def decode(row: int) -> Pixels:
        uri = str(uris[row])
        try:
            return decode_for(read_image(uri), spec, max_pixels=max_pixels)[0]
        except ImageError as error:
            raise InputError(
                f"{uri} can't be read any more ({error.stage}, {error.reason}): {error.message}.",
                mend="Put it back, or bring the table up to date with frieze embed, and run again.",
            ) from error

    return lambda rows: np.stack(list(pool.map(decode, rows.tolist())))
