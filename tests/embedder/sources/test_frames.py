"""Frames of videos, animations and TIFF files as rows of a folder."""

import io

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions, open_source
from frieze.embedder.sources.frames import FrameRule
from frieze.embedder.sources.open import read_image


def grey(level, size=(64, 48)):
    """Return a picture of one grey."""
    return Image.new("RGB", size, (level,) * 3)


def write_video(path, n_frames=40, rate=4):
    """Write a video of which frame n is a grey of 6 n."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.gop_size = 64, 48, 8
        for number in range(n_frames):
            container.mux(stream.encode(av.VideoFrame.from_image(grey(6 * number))))
        container.mux(stream.encode())


@pytest.fixture
def mixed(tmp_path):
    """A photograph, an animation, a scan of three pages, and a clip of ten seconds in a folder `a`."""
    folder = tmp_path / "mixed"
    (folder / "a").mkdir(parents=True)
    grey(9).save(folder / "photo.png")
    grey(10).save(folder / "anim.gif", save_all=True, append_images=[grey(60), grey(90), grey(130)])
    grey(20).save(folder / "scan.tif", save_all=True, append_images=[grey(70), grey(200)])
    write_video(folder / "a" / "clip.mp4")
    return folder


def listed(folder, frames):
    """Return the opened source, its ids and its URIs."""
    source = open_source(folder, SourceOptions(frames=frames))
    images = source.listing.images
    return source, images["id"].to_pylist(), images["uri"].to_pylist()


def levels(contents):
    """Return the grey of each image's first pixel, None for a failure."""
    return [
        None if isinstance(one, ImageError) else np.asarray(Image.open(io.BytesIO(one)).convert("L"))[0, 0]
        for one in contents
    ]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ("first", ["anim.gif", "photo.png", "scan.tif"]),
        (
            "2",
            [
                "anim.gif/0",
                "anim.gif/3",
                "photo.png",
                "scan.tif/0",
                "scan.tif/2",
                "a/clip.mp4/00:00.0",
                "a/clip.mp4/00:09.75",
            ],
        ),
        ("4s", ["anim.gif", "photo.png", "scan.tif", "a/clip.mp4/00:00.0", "a/clip.mp4/00:04.0", "a/clip.mp4/00:08.0"]),
    ],
)
def test_rows(frames, expected, mixed):
    """The rule decides which frames are rows; files of one picture stay as they are."""
    assert sorted(listed(mixed, frames)[1]) == sorted(expected)


def test_each_frame_is_read(mixed):
    """Each row is its frame: of a page and of an animation exactly, of a video at its time; also by its URI alone."""
    for frames in ("all", "2s", "7s"):
        source, ids, uris = listed(mixed, frames)
        greys = levels(source.read(np.arange(len(ids))))
        for one, level, alone in zip(ids, greys, levels(map(read_image, uris)), strict=True):
            assert level == alone
            if one.startswith("a/"):
                assert abs(level - 24 * float(one.rpartition(":")[2])) < 5
        by_id = dict(zip(ids, greys, strict=True))
        assert frames != "all" or [by_id[f"scan.tif/{page}"] for page in range(3)] == [20, 70, 200]
        assert frames != "all" or [by_id[f"anim.gif/{page}"] for page in range(4)] == [10, 60, 90, 130]


def test_the_folder_of_a_clip_is_its_label(mixed):
    """The label of a frame is the folder of its file."""
    images = open_source(mixed, SourceOptions(frames="4s")).listing.images
    assert {one["label"] for one in images.to_pylist() if one["id"].startswith("a/")} == {"a"}


def test_a_broken_end(mixed):
    """A clip whose end is overwritten gives its first frames, and failures after them."""
    clip = mixed / "a" / "clip.mp4"
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat")
    middle = start + (data.index(b"moov") - start) // 2
    data[middle : data.index(b"moov") - 4] = bytes(data.index(b"moov") - 4 - middle)
    clip.write_bytes(data)
    source, ids, _ = listed(clip, "1s")
    greys = levels(source.read(np.arange(len(ids))))
    assert greys[0] is not None
    assert None in greys


def test_videos_are_named(mixed):
    """Without the option, one line names the videos and what to type; one that is no video is a failure with it."""
    assert "1 video is left out: a/clip.mp4" in " ".join(open_source(mixed, SourceOptions()).notes)
    (mixed / "b.mp4").write_bytes(b"no video")
    assert [one.id for one in open_source(mixed, SourceOptions(frames="2s")).listing.failures] == ["b.mp4"]


@pytest.mark.parametrize("text", ["0", "0s", "-1", "s", "two"])
def test_no_such_rule(text):
    """What is no choice of frames is refused."""
    with pytest.raises(InputError, match="`frames="):
        FrameRule.of(text)
