import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder import embed_images
from frieze.features import open_features


def test_agrees_with_stored(folder, tiny, opened, embed, tmp_path):
    """A query image has the vector that it has when stored, in the order asked for."""
    embed(folder, tmp_path / "out")
    got = embed_images([folder / "h.jpg", str(folder / "b.jpg")], opened(str(tiny)))
    assert (got.shape, got.dtype) == ((2, 16), np.float32)
    assert np.abs(got - open_features(tmp_path / "out").embeddings()[[7, 1]]).max() < 1e-4


@pytest.mark.parametrize(("content", "reason"), [(None, "read, unreadable"), (b"text", "decode, not an image")])
def test_of_no_use(content, reason, folder, tiny, opened):
    """A file that can't be used is named, with the stage, the reason and what to give instead."""
    path = folder / "query.jpg"
    if content:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        embed_images([folder / "a.jpg", path], opened(str(tiny)))
    assert caught.value.message.startswith(f"{path} can't be used ({reason})")
    assert "JPEG" in caught.value.hint
