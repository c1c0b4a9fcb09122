"""Thumbnails: the judge is Pillow on the original."""

import hashlib
import io
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError, InputError
from frieze.reports.thumbnails import draw, draw_whole
from frieze.web import thumbnails
from frieze.web.thumbnails import THUMBNAIL_PX, Thumbnails


@pytest.fixture
def pictures(tmp_path):
    """A folder with a noisy photograph and one that lies on its side by EXIF."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "0.png")
    lying = Image.new("RGB", (400, 200), "red")
    lying.paste("blue", (0, 0, 200, 200))
    exif = lying.getexif()
    exif[274] = 6  # to be turned right
    lying.save(tmp_path / "lying.jpg", exif=exif)
    return tmp_path


def opened(data):
    """Decode a thumbnail."""
    return Image.open(io.BytesIO(data))


def test_upright(pictures):
    """A thumbnail stands upright, whole, and no longer than its limit."""
    image = opened(Thumbnails(pictures / "cache").get(str(pictures / "lying.jpg"), ""))
    assert image.size == (THUMBNAIL_PX // 2, THUMBNAIL_PX)
    top, bottom = image.getpixel((40, 20)), image.getpixel((40, 170))
    assert top[2] > 200
    assert top[0] < 60
    assert bottom[0] > 200
    assert bottom[2] < 60


def test_made_once(pictures, monkeypatch):
    """A thumbnail is drawn once, also for the next process; another version of the image is drawn again."""
    drawn = []
    real = thumbnails.draw
    monkeypatch.setattr(thumbnails, "draw", lambda *requested, **_: drawn.append(requested) or real(*requested))
    uri = str(pictures / "0.png")
    for version in ("a", "a", "b"):
        Thumbnails(pictures / "cache").get(uri, version)
    assert len(drawn) == 2


def test_threads_share_the_cache(pictures, monkeypatch):
    """A thumbnail that one thread drew is cached for all threads."""
    drawn = []
    monkeypatch.setattr(thumbnails, "draw", lambda uri, _px, **_: drawn.append(uri) or b"drawn")
    cache = Thumbnails(pictures / "cache")
    for _ in range(2):
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(cache.get, "a.png", "").result() == b"drawn"
    assert drawn == ["a.png"]


def test_stored_together(pictures, monkeypatch):
    """Thumbnails that are stored together are drawn once all the same; the last of them are stored at the end."""
    drawn = []
    monkeypatch.setattr(thumbnails, "draw", lambda uri, _px, **_: drawn.append(uri) or uri.encode())
    for _ in range(2):
        cache = Thumbnails(pictures / "cache", n_together=2)
        assert [cache.get(uri, "") for uri in ("a", "b", "c", "a", "c")] == [b"a", b"b", b"c", b"a", b"c"]
        cache.close()
    assert drawn == ["a", "b", "c"]


def test_small_files(pictures):
    """A small JPEG without metadata is its own thumbnail, as long as it has not changed and no band was chosen."""
    path, other = pictures / "small.jpg", pictures / "other.jpg"
    Image.open(pictures / "0.png").resize((80, 60)).save(path, quality=97)
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    assert draw(str(path), 192, sha256=sha256) == draw(str(path), 80, sha256=sha256) == data
    assert opened(draw(str(path), 79, sha256=sha256)).size == (79, 59)
    assert data not in (draw(str(path), 192), draw(str(path), 192, sha256=sha256, decoding="pillow-1+scale=0..255"))
    other.write_bytes(data + b"more")
    with pytest.raises(ImageError, match="has changed"):
        draw(str(other), 192, sha256=sha256)


@pytest.mark.parametrize("content", [b"no database", None])
def test_no_such_file(tmp_path, content):
    """Where the file can't be had, the message names it, and thumbnails."""
    path = tmp_path / "below" / "cache"
    path.parent.touch() if content is None else path.parent.mkdir()
    if content is not None:
        path.write_bytes(content * 100)
    with pytest.raises(InputError, match=f"Thumbnails can't be stored in {path}"):
        Thumbnails(path)


def test_broken_meanwhile(pictures):
    """A file that breaks while it is used costs the keeping, not the picture."""
    kept = Thumbnails(pictures / "cache")
    with sqlite3.connect(pictures / "cache") as file:
        file.execute("DROP TABLE pictures")
    file.close()
    assert opened(kept.get(str(pictures / "0.png"), "")).size == (192, 144)


def test_a_missing_image(pictures):
    """An image that is missing is refused, and drawn once it is there."""
    kept = Thumbnails(pictures / "cache")
    with pytest.raises(ImageError):
        kept.get(str(pictures / "late.png"), "")
    shutil.copy(pictures / "0.png", pictures / "late.png")
    assert opened(kept.get(str(pictures / "late.png"), "")).size == (192, 144)


def test_whole(pictures):
    """A part is drawn in its image, which stands upright, with a line around it; a whole image is drawn as it is."""
    lying = f"{pictures}/lying.jpg"
    image = opened(draw_whole(f"{lying}#20,100,100,200", 200))
    assert image.size == (100, 200)
    plain, inside, line = (image.getpixel(at) for at in ((5, 5), (30, 75), (10, 100)))
    assert plain == opened(draw(lying, 200)).getpixel((5, 5))
    assert sum(line) < sum(plain) or line[1] > 150
    assert inside[2] > 200
    assert draw_whole(lying, 200) == draw(lying, 200)


@pytest.mark.parametrize("box", ["-5,-5,20,20", "390,290,50,50", "0,0,1,1", "600,600,5,5"])
def test_box_at_the_edge(pictures, box):
    """A box at the edge, beyond it or of a pixel is drawn without an error."""
    assert opened(draw_whole(f"{pictures}/0.png#{box}", 100)).size == (100, 75)
