"""What the camera wrote: read from files, and never trusted."""

import pytest
from PIL import ExifTags, Image

from frieze.core import ImageError
from frieze.web.exif import read_exif

BASE = ExifTags.Base


@pytest.fixture
def photograph(tmp_path):
    """Write a photograph with some tags; return its path."""

    def write(tags, inner=()):
        exif = Image.Exif()
        exif.update(tags)
        exif.get_ifd(ExifTags.IFD.Exif).update(inner)
        Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg", exif=exif)
        return tmp_path / "a.jpg"

    return write


def test_read(photograph):
    """Camera, lens, time, exposure and orientation are read as cameras show them."""
    inner = {
        BASE.DateTimeOriginal: "2024:05:06 07:08:09",
        BASE.OffsetTimeOriginal: "+02:00",
        BASE.ExposureTime: 0.004,
        BASE.FNumber: 2.8,
        BASE.ISOSpeedRatings: 100,
        BASE.FocalLength: 35.0,
        BASE.LensModel: "35mm F1.8",
    }
    path = photograph({BASE.Make: "Canon", BASE.Model: "Canon EOS 5D", BASE.Orientation: 6}, inner)
    assert read_exif(str(path)) == {
        "camera": "Canon EOS 5D",
        "lens": "35mm F1.8",
        "taken": "2024-05-06 07:08:09 +02:00",
        "exposure": "1/250 s, f/2.8, ISO 100, 35 mm",
        "orientation": "turned by 90 degrees",
    }


def test_of_a_part(photograph):
    """A part of an image has the tags of its image."""
    assert read_exif(f"{photograph({BASE.Model: 'X100'})}#0,0,4,4") == {"camera": "X100"}


@pytest.mark.parametrize("tags", [{}, {BASE.Orientation: 99}, {BASE.Make: "\0 \0"}])
def test_nothing_to_tell(photograph, tags):
    """Tags that say nothing are left out."""
    assert read_exif(str(photograph(tags))) == {}


def test_hostile(photograph, tmp_path):
    """Damaged, endless and unprintable tags neither fail nor reach the page as they are."""
    path = photograph({BASE.Model: "a\n\x07b" + "c" * 999, BASE.Make: ""})
    assert read_exif(str(path))["camera"] == ("a b" + "c" * 999)[:200]
    data = path.read_bytes()
    for at in range(30, 120):
        (tmp_path / "broken.jpg").write_bytes(data[:at] + b"\xff" + data[at + 1 :])
        read_exif(str(tmp_path / "broken.jpg"))


def test_missing(tmp_path):
    """A file that is gone is an ImageError, which the page tells."""
    with pytest.raises(ImageError):
        read_exif(str(tmp_path / "gone.jpg"))
