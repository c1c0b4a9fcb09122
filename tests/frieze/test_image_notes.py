import numpy as np
import pytest
from PIL import Image, ImageCms

PHOTO = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


@pytest.fixture
def odd(tmp_path):
    """Two animations, a picture with a profile of other pixels (Lab), and a plain one."""
    folder = tmp_path / "odd"
    folder.mkdir()
    first, second = Image.fromarray(PHOTO), Image.fromarray(PHOTO[::-1])
    for kind in ("gif", "webp"):
        first.save(folder / f"moves.{kind}", save_all=True, append_images=[second])
    proof = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    first.save(folder / "proof.png", icc_profile=proof)
    second.save(folder / "plain.png")
    return folder


def test_embed_prints_notes(odd, run, run_json, tmp_path):
    """What embeddings do not show of images is counted, with one note each; a rerun prints none."""
    code, document = run_json("embed", odd, "--out", tmp_path / "a")
    assert (code, document["embedded"], document["first_of_several"]) == (0, 4, 2)
    assert (document["converted_profiles"], document["unusable_profiles"]) == ({}, 1)
    stderr = run("embed", odd, "--out", tmp_path / "b").stderr
    assert "Note: 2 images are animations or have several pages: their first picture alone is read.\n" in stderr
    assert (
        "Note: 1 image has a colour profile that is broken, or of another kind of pixels: it is read as sRGB.\n"
        in stderr
    )
    assert "Note" not in run("embed", odd, "--out", tmp_path / "b").stderr


def test_search_prints_notes(odd, run, world):
    """So it is of an image that is searched for."""
    assert (
        "1 image is an animation or has several pages"
        in run("search", world / "photos.index", odd / "moves.gif").stderr
    )


def test_predict_prints_notes(odd, run, run_json, world, tmp_path):
    """So it is of images that a head predicts."""
    _, document = run_json("predict", world / "photos.head", odd, "--out", tmp_path / "a.csv")
    assert (document["first_of_several"], document["unusable_profiles"]) == (2, 1)
    assert "2 images are animations" in run("predict", world / "photos.head", odd, "--out", tmp_path / "b.csv").stderr


def test_what_leaves_the_table_is_said(run, tmp_path):
    """How many rows go, and of which folders these are all, is said in one line; so is which stay though empty now."""
    folder = tmp_path / "photos"
    for name in ("a/1.png", "a/2.png", "b/3.png", "4.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), int(name[-5]) * 20, np.uint8)).save(folder / name)
    run("embed", folder, "--out", tmp_path / "out")
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        (folder / name).unlink()
    (folder / "a").rmdir()
    dry, rerun = (run("embed", folder, "--out", tmp_path / "out", *options) for options in (["--dry-run"], []))
    assert "Note: would remove 2 rows whose images the source no longer has, among them all of a (2).\n" in dry.stderr
    assert "Note: removed 2 rows whose images the source no longer has, among them all of a (2).\n" in rerun.stderr
    assert "Note: empty now, and all rows of it stay: b (1); mount the disk" in rerun.stderr
    assert rerun.exit_code == 3
