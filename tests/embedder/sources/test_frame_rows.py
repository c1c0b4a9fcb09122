"""Frames of animations and TIFF files inside archives and buckets: the folder on disk is the judge."""

import json
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions, open_source
from frieze.embedder.sources.open import read_image


def grey(level):
    """Return a picture of one grey."""
    return Image.new("RGB", (24, 16), (level,) * 3)


@pytest.fixture
def folder(tmp_path):
    """A photograph, an animation, a broken one, and a scan of three pages."""
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    grey(9).save(folder / "photo.png")
    grey(10).save(folder / "a" / "anim.gif", save_all=True, append_images=[grey(60), grey(90), grey(130)])
    grey(20).save(folder / "a" / "scan.tif", save_all=True, append_images=[grey(70), grey(200)])
    (folder / "broken.gif").write_bytes(b"GIF89a")
    return folder


def listed(source, frames):
    """Return what a source holds: id below the archive -> label, file, and bytes or the reason, each read two ways."""
    opened = open_source(str(source), SourceOptions(frames=frames))
    images = opened.listing.images
    contents = list(opened.read(np.arange(len(images))))
    for uri, content in zip(images["uri"].to_pylist(), contents, strict=True):
        assert isinstance(content, ImageError) or read_image(uri) == content
    start = "".join(opened.listing.source.rpartition("/")[2:]) + "/"
    return {
        row["id"].removeprefix(start): (
            row["label"],
            (row["file"] or "").removeprefix(start),
            getattr(content, "reason", content),
        )
        for row, content in zip(images.to_pylist(), contents, strict=True)
    }


@pytest.mark.parametrize("frames", ["all", "2"])
@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_archives(folder, tmp_path, kind, frames):
    """Frames of an archive's members are the rows, and have the pixels, that they have in a folder."""
    archive = shutil.make_archive(str(tmp_path / "x"), kind, folder)
    on_disk = listed(folder, frames)
    assert listed(archive, frames) == on_disk
    assert {name for name in on_disk if "scan" in name} >= {"a/scan.tif/0", "a/scan.tif/2"}


def test_bucket(folder, bucket):
    """So are those of a bucket's objects."""
    bucket.put_folder(folder, "p")
    assert listed(f"{bucket.url}/p", "all") == listed(folder, "all")


def test_seconds_are_of_videos(folder, tmp_path):
    """With seconds, animations give their first picture, and no member is read for it."""
    archive = shutil.make_archive(str(tmp_path / "x"), "zip", folder)
    assert "x.zip/a/anim.gif" in open_source(archive, SourceOptions(frames="2s")).listing.images["id"].to_pylist()


def test_a_column_named_file(folder, tmp_path):
    """A user's column `file` stays, as `source_file`."""
    (folder / "a" / "anim.json").write_text(json.dumps({"file": "mine"}))
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in ("anim.gif", "anim.json"):
            archive.add(folder / "a" / name, name)
    images = open_source(str(tmp_path / "x.tar"), SourceOptions(frames="2")).listing.images
    assert images["file"].to_pylist() == ["x.tar/anim.gif"] * 2
    assert images["source_file"].to_pylist() == ["mine"] * 2


def test_other_sources(tmp_path, folder):
    """A list, a manifest and images in memory have no frames: the option is refused."""
    (tmp_path / "list.txt").write_text(f"{folder}/a/anim.gif\n")
    (tmp_path / "m.csv").write_text(f"path,label\n{folder}/a/anim.gif,x\n")
    for source in (str(tmp_path / "list.txt"), str(tmp_path / "m.csv"), [grey(1)]):
        with pytest.raises(InputError, match="`frames` is for folders"):
            open_source(source, SourceOptions(frames="all"))
