import json
import shutil

import numpy as np
import pytest
from PIL import Image

from frieze.embedder import embed_images, reopen_backbone
from frieze.features import open_features

FIRST, NEWEST = "pillow-draft-bilinear-1", "pillow-draft-bilinear-3"


@pytest.fixture
def large(folder):
    """The photographs, `a.jpg` among them of 2,000 x 2,000 pixels with fine detail."""
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)
    Image.fromarray(noise).resize((2000, 2000), Image.Resampling.NEAREST).save(folder / "a.jpg", quality=95)
    return folder


def begin_with(version, out):
    """Let a table be one that was begun with another version of decoding."""
    document = json.loads((out / "features.json").read_text())
    document["backbone"]["decoding"] = version
    (out / "features.json").write_text(json.dumps(document))


def test_newest(large, embed, out):
    """A new table has the newest version."""
    embed(large, out)
    assert open_features(out).spec.decoding == NEWEST


def test_a_table_keeps_its_version(large, embed, out):
    """A table that was begun with the first version goes on with it: its vectors, and those of queries, stay alike."""
    embed(large, out)
    begin_with(FIRST, out)
    shutil.copy(large / "a.jpg", large / "z.jpg")
    with (large / "z.jpg").open("ab") as file:
        file.write(b"other bytes, the same picture")
    assert embed(large, out)["embedded"] == 1
    table = open_features(out)
    assert table.spec.decoding == FIRST
    vectors = dict(zip(table.ids, table.embeddings(), strict=True))
    (query,) = embed_images([large / "z.jpg"], reopen_backbone(table.spec, where="the table"))
    assert np.allclose(query, vectors["z.jpg"], atol=1e-5)
    assert not np.allclose(vectors["a.jpg"], vectors["z.jpg"], atol=1e-3)  # it was embedded by the newest version
