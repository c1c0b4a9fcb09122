"""Leakage of test images into a pool whose photographs are known."""

import numpy as np
import pytest
from PIL import Image

from tools.distill.leakage import Pool


def photograph(seed):
    """Draw a smooth picture, 300 x 200."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize((300, 200), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("quality", [95, 40])
@pytest.mark.parametrize("height", [200, 136, 60])
def test_finds_another_encoding(tmp_path, quality, height):
    """A photograph is found in the pool at any size and quality, and no other one is."""
    pool, ours = [tmp_path / f"pool-{seed}.jpg" for seed in range(20)], [tmp_path / "a.png", tmp_path / "b.png"]
    for seed, path in enumerate(pool):
        photograph(seed).resize((height * 3 // 2, height)).save(path, quality=quality)
    photograph(7).save(ours[0])
    photograph(100).save(ours[1])
    assert list(Pool(pool).find(ours)) == [(0, pool[7])]
