"""`frieze embed` with several `--out`: a table each, by command and in Python."""

import numpy as np
import pytest
from PIL import Image

import frieze
from frieze.core import InputError
from frieze.features import open_features


@pytest.fixture
def source(tmp_path):
    """Three images of noise."""
    (tmp_path / "photos").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


def embed(source, out, *arguments):
    """Return the arguments of a run that makes `a`, of cropped images, and `b`, of padded ones."""
    fits = ["--fit", "crop", "--fit", "pad"]
    return ["embed", source, "--out", out / "a", "--out", out / "b", *fits, *arguments]


def test_command(source, tmp_path, run_json):
    """Each `--out` is a table with its own value of a repeated option; the document has one of each."""
    exit_code, document = run_json(*embed(source, tmp_path, "--pixels", ""))
    fits = [open_features(tmp_path / one).spec.fit for one in "ab"]
    assert (exit_code, [one["out"] for one in document["tables"]]) == (0, [str(tmp_path / one) for one in "ab"])
    assert fits == ["crop", "pad"]


def test_python(source, tmp_path):
    """A list of folders gives a list of documents, and the vectors of runs one by one."""
    outs = [tmp_path / "a", tmp_path / "b"]
    documents = frieze.embed(source, out=outs, fit=["squash", "pad"])
    alone = frieze.embed(source, out=tmp_path / "c", fit="pad")
    assert [one["embedded"] for one in documents] == [3, 3]
    assert np.array_equal(open_features(outs[1]).embeddings(), open_features(tmp_path / "c").embeddings())
    assert documents[1].keys() == alone.keys()


def test_a_rerun_recalls_the_options_of_each(source, tmp_path):
    """Omitted options keep the value of each table."""
    outs = [tmp_path / "a", tmp_path / "b"]
    frieze.embed(source, out=outs, fit=["crop", "pad"])
    rerun = frieze.embed(source, out=outs)
    assert [one["remembered"]["fit"] for one in rerun] == ["crop", "pad"]
    assert [one["unchanged"] for one in rerun] == [3, 3]


def test_generators_are_listed_once(tmp_path):
    """A generator of images, which can be read once, fills all tables."""
    images = (np.full((40, 40, 3), level, np.uint8) for level in range(4))
    documents = frieze.embed(images, out=[tmp_path / "a", tmp_path / "b"], fit=["crop", "pad"])
    assert [one["rows"] for one in documents] == [4, 4]


def test_skipped_images(source, tmp_path, run):
    """Images that can't be used are named for each table, and the exit code is 3."""
    (source / "broken.jpg").write_text("none")
    result = run(*embed(source, tmp_path))
    assert result.exit_code == 3
    assert all(
        f"1 image can't be used (not an image 1): see {tmp_path / one}/failures.parquet" in result.stderr
        for one in "ab"
    )


def test_dry_run(source, tmp_path, run_json):
    """A dry run writes nothing, and estimates each table."""
    exit_code, document = run_json(*embed(source, tmp_path, "--dry-run"))
    assert (exit_code, [one["to_embed"] for one in document["tables"]]) == (0, [3, 3])
    assert not (tmp_path / "a").exists()


def test_other_numbers_of_values(source, tmp_path):
    """Two values of an option for three tables are refused, and so are two backbones for one folder."""
    outs = [tmp_path / one for one in "abc"]
    with pytest.raises(InputError, match="`layer` has 2 values, for 3 tables"):
        frieze.embed(source, out=outs, layer=["x", "y"])
    with pytest.raises(InputError, match="`backbone` has 2 values, for 1 table"):
        frieze.embed(source, out=outs[0], backbone=["builtin", "keras:MobileNetV2"])


def test_a_table_in_another_one(world, tmp_path):
    """A table's folder that lies in another table's is refused."""
    with pytest.raises(InputError, match="lies in another table"):
        frieze.embed(world / "photos", out=[tmp_path / "a", tmp_path / "a" / "b"], layer=None)
