import numpy as np
import pytest
from PIL import Image, ImageCms

PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


@pytest.fixture
def odd(tmp_path):
    """Two animations, a picture with the colours of a printer's proof, and a plain one."""
    folder = tmp_path / "odd"
    folder.mkdir()
    first, second = Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1])
    for kind in ("gif", "webp"):
        first.save(folder / f"moves.{kind}", save_all=True, append_images=[second])
    proof = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    first.save(folder / "proof.png", icc_profile=proof)
    second.save(folder / "plain.png")
    return folder


def test_embed_tells(odd, run, run_json, tmp_path):
    """What vectors do not tell of images is counted, and said in one line each; a rerun has nothing to say."""
    code, document = run_json("embed", odd, "--out", tmp_path / "a")
    assert (code, document["embedded"], document["first_of_several"]) == (0, 4, 2)
    assert document["colour_profiles"] == {"Lab identity built-in": 1}
    told = run("embed", odd, "--out", tmp_path / "b").stderr
    assert "Note: 2 images are animations or have several pages: their first picture alone is read.\n" in told
    assert "Note: 1 image has colours other than sRGB (Lab identity built-in 1): it is read as sRGB.\n" in told
    assert "Note" not in run("embed", odd, "--out", tmp_path / "b").stderr


def test_a_query_tells(odd, run, world):
    """So it is of an image that is searched for."""
    assert (
        "1 image is an animation or has several pages"
        in run("search", world / "photos.index", odd / "moves.gif").stderr
    )


def test_predict_tells(odd, run, run_json, world, tmp_path):
    """So it is of images that a head predicts."""
    _, document = run_json("predict", world / "photos.head", odd, "--out", tmp_path / "a.csv")
    assert (document["first_of_several"], document["colour_profiles"]) == (2, {"Lab identity built-in": 1})
    assert "2 images are animations" in run("predict", world / "photos.head", odd, "--out", tmp_path / "b.csv").stderr
