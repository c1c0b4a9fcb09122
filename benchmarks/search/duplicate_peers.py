"""imagededup's encodings of a folder of images, for search/duplicate_edits.py; runs in imagededup's own environment.

Usage: python -m benchmarks.search.duplicate_peers phash|cnn FOLDER OUT.npz

Writes `names`, and `encodings` float32 [N, D]: of `phash` the 64 bits as -1 and 1, of `cnn` vectors of unit length, so
that products of encodings are 64 - 2 x the Hamming distance, and the cosine. Prints JSON: images and seconds.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def phash(folder: Path) -> dict[str, Array]:
    """Return the bits of each image's hash, 64 of -1 or 1."""
    from imagededup.methods import PHash

    hashes = PHash(verbose=False).encode_images(folder)
    return {
        name: 2.0 * np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8)) - 1 for name, text in hashes.items()
    }


def cnn(folder: Path) -> dict[str, Array]:
    """Return the unit vector of each image, of its network with the usual weights."""
    from imagededup.methods import CNN

    vectors = CNN(verbose=False).encode_images(folder)
    return {name: vector / np.linalg.norm(vector) for name, vector in vectors.items()}


def main() -> None:
    """Encode a folder by one method."""
    method, folder, out = sys.argv[1:]
    start = time.perf_counter()
    encodings = {"phash": phash, "cnn": cnn}[method](Path(folder))
    seconds = time.perf_counter() - start
    names = sorted(encodings)
    np.savez(out, names=names, encodings=np.array([encodings[name] for name in names], np.float32))
    print("\n" + json.dumps({"images": len(names), "seconds": seconds}))


if __name__ == "__main__":
    main()
